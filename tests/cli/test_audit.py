"""``aegis audit verify`` and ``export``: what they say, how they exit, what they need."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from aegis.cli.app import run_command


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A data root with one small run."""
    home = tmp_path_factory.mktemp("audit") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEGIS_HOME", str(home))
        words = ("simulate", "--hospitals", "3", "--rounds", "2", "--set", "trust=open")
        assert run_command([*words, "--json"]) == 0
    return home


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "home")
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def the_run(home):
    return next((home / "results").iterdir()).name


def test_a_whole_data_root_one_run_and_the_latest_verify(home, aegis):
    code, out, _ = aegis("audit", "verify")
    assert code == 0
    assert out.count("yes, everything holds") == 2
    assert "of the coordinator itself" in out
    for name in (the_run(home), "latest"):
        code, out, _ = aegis("audit", "verify", name, "--json")
        document = json.loads(out)
        assert (code, document["verified"]) == (0, True)
        assert [log["run"] for log in document["logs"]] == [the_run(home)]


def test_an_export_verifies_without_the_data_root_and_is_put_on_record(home, aegis, monkeypatch):
    code, out, _ = aegis("audit", "export", "latest", "--out", "evidence.json")
    assert code == 0
    assert "aegis audit verify evidence.json" in out
    code, out, _ = aegis("audit", "verify")
    assert code == 0
    log = sqlite3.connect(home / "logs" / "audit.db")
    last = log.execute("SELECT entry FROM entries WHERE run='' ORDER BY number DESC").fetchone()[0]
    log.close()
    assert json.loads(last)["event"] == "Exported"
    shutil.rmtree(home)
    monkeypatch.setenv("AEGIS_HOME", str(home.parent / "elsewhere"))
    code, out, _ = aegis("audit", "verify", "evidence.json", "--json")
    assert code == 0
    assert json.loads(out)["logs"][0]["witnesses"] == ["hospital_01", "hospital_02", "hospital_03"]
    assert not (home.parent / "elsewhere").exists()


def test_a_changed_entry_exits_with_1_and_is_named(home, aegis):
    log = sqlite3.connect(home / "logs" / "audit.db")
    log.execute(
        "UPDATE entries SET entry=CAST(replace(CAST(entry AS TEXT), '.9', '.8') AS BLOB) "
        "WHERE run<>'' AND CAST(entry AS TEXT) LIKE '%RoundClosed%'"
    )
    log.commit()
    (number,) = log.execute(
        "SELECT MIN(number) FROM entries WHERE CAST(entry AS TEXT) LIKE '%RoundClosed%'"
    ).fetchone()
    log.close()
    code, out, _ = aegis("audit", "verify", "latest")
    assert code == 1
    assert f"BAD          entry {number}: its bytes are not those that were entered" in out
    assert "verified     NO" in out
    code, out, _ = aegis("audit", "verify", "latest", "--json")
    assert code == 1
    assert json.loads(out)["logs"][0]["first_bad"]["where"] == f"entry {number}"


def test_a_known_fingerprint_is_compared(home, aegis):
    keys = json.loads(aegis("audit", "verify", "latest", "--json")[1])["logs"][0]["keys"]
    right = f"coordinator={keys['coordinator']}"
    assert aegis("audit", "verify", "latest", "--key", right)[0] == 0
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    code, out, _ = aegis("audit", "verify", "latest", "--key", wrong)
    assert code == 1
    assert "not the one you know" in out


def test_a_damaged_export_exits_with_1(home, aegis):
    aegis("audit", "export", "--out", "evidence.json")
    path = Path("evidence.json")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"RoundClosed", b"RoundCloset", 1))
    code, out, _ = aegis("audit", "verify", path)
    assert code == 1
    assert "changed after it was exported" in out
    path.write_bytes(data[:-40])
    code, _, err = aegis("audit", "verify", path)
    assert code == 1
    assert "no audit export" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("verify", "nobody"), "neither a run nor a file"),
        (("verify", "latest", "--key", "coordinator"), "names no fingerprint"),
        (("export", "nobody", "--out", "x.json"), "neither a run nor a file"),
    ],
)
def test_bad_input_exits_with_2(home, aegis, words, expected):
    code, _, err = aegis("audit", *words)
    assert code == 2
    assert expected in err
    assert not Path("x.json").exists()


def test_an_empty_data_root_says_so_and_stays_empty(tmp_path, aegis, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "none"))
    for words in (("verify",), ("verify", "latest"), ("export", "--out", tmp_path / "x")):
        code, _, err = aegis("audit", *words)
        assert code == 2
        assert "aegis demo" in err
    assert not (tmp_path / "none").exists()
