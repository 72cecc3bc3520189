"""What comes in at a hospital's own window: looked at, told by place, never repeated."""

from __future__ import annotations

import stat
import zipfile
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.operations.hospital import table_check, uploads
from aegis.operations.hospital.folder import Registered
from aegis.privacy.accounting import GaussianRelease
from tests.console.hospital.conftest import ANA, OTTO, VERA

HEADER = "heart_rate,systolic_bp,diastolic_bp,spo2,healthy\n"
ROWS = "".join(
    f"{60 + n % 40},{100 + n % 30},{70 + n % 20},{95 + n % 5},{n % 2}\n" for n in range(60)
)


def send(client, data, name="patients.csv", path="/data", **fields):
    return client.post(path, data={"task": "vitals", **fields}, files={"file": (name, data)})


def test_a_sound_table_is_kept_for_its_owner_alone_under_a_name_of_ours(window, desk):
    answer = send(window(OTTO), HEADER + ROWS, "../../etc/pass wd.csv")
    assert answer.status_code == 303
    (kept,) = uploads.uploads(desk.folder)
    path = uploads.file_of(desk.folder, kept.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept.name == "pass wd.csv"
    assert "wd" not in path.name
    page = window(OTTO).get(answer.headers["location"])
    assert page.status_code == 200
    assert "60 rows, ready for vitals" in page.text
    assert "mean" in page.text


def test_faults_are_told_by_row_and_column_and_never_by_what_stands_there(window, desk):
    bad = HEADER + "300,120,80,97,1\n60,SECRETNAME,80,97,1\n61,121,80,97,7\n"
    answer = send(window(OTTO), bad)
    assert answer.status_code == 422
    for said in ("row 2, column heart_rate", "row 3, column systolic_bp", "row 4, column healthy"):
        assert said in answer.text
    assert "SECRETNAME" not in answer.text
    assert "300" not in answer.text
    assert uploads.uploads(desk.folder) == []


def test_at_most_twenty_faults_are_listed_and_all_are_counted(window):
    answer = send(window(OTTO), HEADER + "999,120,80,97,1\n" * 500)
    assert answer.status_code == 422
    assert "rows 2 to 21, column heart_rate" in answer.text
    assert "the first 20 of 500" in answer.text


def _zip() -> bytes:
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("patients.csv", HEADER + ROWS)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (_zip(), "archive"),
        (b"\x00\x01\x02\x03" * 100, "not text"),
        (b"%PDF-1.7 something", "PDF"),
        (b"heart_rate\n1\n", "one column"),
        ((",".join(f"c{n}" for n in range(600)) + "\n").encode() + b"1," * 599 + b"1\n", "512"),
        (HEADER.encode() + b"1,2,3,4," + b"x" * 5000 + b"\n", "4,096"),
        (HEADER.encode() + b'"1,2,3,4,5\n', "quotation"),
        (HEADER.encode() + b"1,2,3\n", "3 cells"),
        (b"60,120,80,97,1\n61,121,81,97,0\n", "does not name the columns"),
        (HEADER.encode(), "no row"),
        (b"a,a\n1,2\n", "same name"),
        (HEADER.encode() + "ä,é,ü,ö,ß\n".encode("latin-1"), "not a number"),
        (HEADER.encode("utf-16") + "1,2,3,4,5\n".encode("utf-16-le"), "heart_rate"),
    ],
)
def test_what_is_no_table_is_refused_and_nothing_is_kept(window, desk, data, said):
    before = sorted(desk.folder.root.rglob("*"))
    answer = send(window(OTTO), data)
    assert answer.status_code == 422
    assert said in answer.text
    assert uploads.uploads(desk.folder) == []
    after = [path for path in sorted(desk.folder.root.rglob("*")) if path.name != "uploads"]
    assert after == before


@pytest.mark.parametrize("path", ["/data", "/client/upload-data/"])
def test_a_byte_too_many_is_refused_before_it_is_looked_at(window, desk, monkeypatch, path):
    monkeypatch.setattr("aegis.console.hospital.receiving.MOST_BYTES", 2000)
    answer = send(window(OTTO), b"x" * 2001, path=path)
    assert answer.status_code == 413
    assert "file" in answer.text
    answer = send(window(OTTO), b"x" * 200_000, path=path)
    assert answer.status_code == 413
    assert uploads.uploads(desk.folder) == []


def test_a_body_that_grows_past_its_limit_is_cut_off(window, monkeypatch):
    monkeypatch.setattr("aegis.console.hospital.receiving.MOST_BYTES", 2000)
    boundary = "xyz"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def growing():
        yield head.encode()
        for _ in range(50):
            yield b"y" * 10_000

    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert window(OTTO).post("/data", content=growing(), headers=kind).status_code == 413


def test_a_large_table_touches_no_folder_that_others_share(window, desk, monkeypatch):
    def forbidden(*more, **said):
        raise AssertionError("a temporary file")

    monkeypatch.setattr("tempfile.TemporaryFile", forbidden)
    answer = send(window(OTTO), HEADER + ROWS * 1300)
    assert answer.status_code == 303
    assert uploads.uploads(desk.folder)[0].bytes > 2**20


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"garbage", "multipart/form-data; boundary=xyz"),
        (b"garbage", "multipart/form-data"),
        (b"task=vitals", "application/x-www-form-urlencoded"),
    ],
)
def test_a_form_without_a_file_names_the_field(window, content, kind):
    answer = window(OTTO).post("/data", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert "file" in answer.text or "form" in answer.text
    answer = window(OTTO).post(
        "/client/upload-data/", content=content, headers={"Content-Type": kind}
    )
    assert answer.status_code == 400


def test_a_formula_is_said_and_neutralised_in_exports():
    assert table_check.neutral("=SUM(A1)") == "'=SUM(A1)"
    assert table_check.neutral("@x") == "'@x"
    assert table_check.neutral("-3.5") == "-3.5"
    assert table_check.neutral("word") == "word"


def test_formula_cells_of_a_table_are_worth_a_look(window, desk):
    rows = "".join(f"{n},{'=cmd()' if n == 3 else 'word'},{n % 2}\n" for n in range(40))
    answer = send(window(OTTO), "a,b,ill\n" + rows, task="table", label="ill", positive="1")
    assert answer.status_code == 303
    page = window(OTTO).get(answer.headers["location"])
    assert "begins like a formula" in page.text


def test_registering_is_written_down_and_signed(window, desk):
    client = window(OTTO)
    send(client, HEADER + ROWS)
    (kept,) = uploads.uploads(desk.folder)
    answer = client.post(f"/data/{kept.id}/register", data={"task": "vitals"})
    assert answer.status_code == 303
    assert kept.id in desk.folder.registered.path
    assert desk.acts.all(1)[0].act == "registered data"
    assert desk.acts.check(desk.folder.keys.public("north").signing) == 2
    page = client.get("/data").text
    assert "learns from 60 rows" in page
    refused = client.post(f"/data/{kept.id}/remove")
    assert refused.status_code == 422
    assert uploads.uploads(desk.folder) == [kept]


def test_data_that_spent_budget_keep_their_place(window, desk):
    from aegis.hospital.ledger import Ledger
    from aegis.operations.hospital.rows import data_sha256
    from aegis.privacy.filters import Cap

    before = desk.folder.registered
    ledger = Ledger.open(desk.folder.ledger, data_sha256(before))
    ledger.reserve("run", 1, "train", GaussianRelease(10.0), Cap(4.0, 1e-5))
    ledger.close()
    client = window(OTTO)
    send(client, HEADER + ROWS)
    (kept,) = uploads.uploads(desk.folder)
    answer = client.post(f"/data/{kept.id}/register", data={"task": "vitals"})
    assert answer.status_code == 422
    assert "have spent some" in answer.text
    assert desk.folder.registered == before
    said = send(client, HEADER + ROWS, path="/client/upload-data/")
    assert said.status_code == 409
    assert desk.folder.registered == before


def test_a_ledger_that_spent_nothing_is_put_aside(desk):
    from aegis.hospital.ledger import Ledger
    from aegis.operations.hospital.rows import data_sha256

    Ledger.open(desk.folder.ledger, data_sha256(desk.folder.registered)).close()
    uploads.register(desk.folder, Registered("vitals", desk.folder.registered.path, group="x"))
    assert not desk.folder.ledger.exists()
    assert list(desk.folder.root.glob("ledger-*.db"))


@pytest.mark.parametrize("id", ["nothing", "0" * 16, "..%2Fpolicy.toml", "%00"])
def test_a_file_that_is_not_there_is_not_found(window, id):
    for person in (OTTO, ANA):
        assert window(person).get(f"/data/{id}").status_code == 404
        assert window(person).post(f"/data/{id}/remove").status_code == 404
        assert window(person).post(f"/data/{id}/register").status_code in (404, 422)


def test_a_viewer_sees_statistics_and_no_rows(window):
    assert window(VERA).get("/data").status_code == 200
    assert send(window(VERA), HEADER + ROWS).status_code == 403


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_whatever_make_checking_raise_or_quote_themselves(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    found = table_check.checked(path, "vitals")
    assert found.faults
    assert all(len(one.what) < 120 for one in found.faults)


def test_a_column_with_any_name_can_be_the_label(window, desk):
    client = window(OTTO)
    for name in ("ill \N{SMILING FACE WITH OPEN MOUTH}", 'ill "so"', "ill\\n"):
        cell = '"' + name.replace('"', '""') + '"'
        rows = "".join(f"{n},{n * 7 % 11},{n % 2}\n" for n in range(60))
        answer = send(client, f"a,b,{cell}\n{rows}", task="table", label=name, positive="1")
        assert answer.status_code == 303, answer.text
        id = answer.headers["location"].split("/")[2].split("?")[0]
        said = {"task": "table", "label": name, "positive": "1"}
        assert client.post(f"/data/{id}/register", data=said).status_code == 303
        assert desk.folder.registered.label == name
