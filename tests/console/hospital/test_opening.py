"""The window with its guard, its port, and a node beside it."""

from __future__ import annotations

import json
import socket

import pytest

from aegis.console.hospital.opening import console, hospital_window
from aegis.console.people.roles import Role
from aegis.errors import BadInput
from aegis.operations.hospital.standing import say, standing
from tests.console.asking import Asking, stream_ends

HTML = {"Accept": "text/html"}


def test_the_first_person_comes_in_by_a_link_and_leaves_a_signed_row(north):
    with hospital_window(north, north.identity()) as window:
        asking = Asking(window, None)
        answer = asking.get("/h", headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/h")
        assert asking.get("/client/history/north").status_code == 401
        assert asking.get("/login", headers=HTML).status_code == 200
        link = window.door.accounts.first_admin_link()
        window.door.accounts.welcome(link, "ana", "kettle orbit walnut pier")
        given = window.door.sessions.open("ana")
        cookie = {"Cookie": f"{window.door.sessions.cookie}={given}", **HTML}
        page = asking.get("/h", headers=cookie)
        assert page.status_code == 200
        assert "content-security-policy" in page.headers
        assert window.desk.acts.check(north.keys.public("north").signing) >= 1


def test_a_name_that_was_pointed_at_this_machine_opens_no_page(north):
    """A stranger's page whose name is rebound to 127.0.0.1 would be of one origin with ours."""
    with hospital_window(north, north.identity()) as window:
        asking = Asking(window, None)
        assert asking.get("/login", headers=HTML).status_code == 200
        assert asking.get("/login", headers={**HTML, "Host": "rebound.test"}).status_code == 421
    with hospital_window(north, north.identity(), secure=True) as window:  # a certificate names it
        asking = Asking(window, None)
        assert asking.get("/login", headers={**HTML, "Host": "north.test"}).status_code == 200


def test_a_stream_ends_with_the_account_of_its_reader(north, monkeypatch):
    from aegis.console.coordinator import live

    monkeypatch.setattr(live, "HEARTBEAT_S", 0.2)
    with hospital_window(north, north.identity()) as window:
        window.door.accounts.add("otto", [Role.HOSPITAL_OPERATOR], "test")
        cookie = f"{window.door.sessions.cookie}={window.door.sessions.open('otto')}"
        by = {"Cookie": cookie}
        stream_ends(window, "/live/home", by, lambda: window.door.accounts.disable("otto", "x"))


def test_a_form_of_another_page_changes_nothing(north):
    with hospital_window(north, north.identity()) as window:
        link = window.door.accounts.add("otto", [Role.HOSPITAL_OPERATOR], "test")
        window.door.accounts.welcome(link, "", "kettle orbit walnut pier")
        given = window.door.sessions.open("otto")
        headers = {"Cookie": f"{window.door.sessions.cookie}={given}", **HTML}
        asking = Asking(window, None)
        files = {"file": ("a.csv", b"a,b\n1,2\n")}
        same = {"Sec-Fetch-Site": "same-origin"}
        answer = asking.post("/data", headers=headers | same, files=files)
        assert answer.status_code == 403
        cross = {"Sec-Fetch-Site": "cross-site"}
        answer = asking.post("/results/train", headers=headers | cross)
        assert answer.status_code == 403
        assert not window.desk.training.running


def test_a_table_goes_through_the_guard_with_its_token_first(north, sample):
    from aegis.console.people.sessions import csrf_of

    with hospital_window(north, north.identity()) as window:
        link = window.door.accounts.add("otto", [Role.HOSPITAL_OPERATOR], "test")
        window.door.accounts.welcome(link, "", "kettle orbit walnut pier")
        given = window.door.sessions.open("otto")
        headers = {"Cookie": f"{window.door.sessions.cookie}={given}", **HTML}
        headers["Sec-Fetch-Site"] = "same-origin"
        files = [
            ("csrf", (None, csrf_of(given))),
            ("task", (None, "vitals")),
            ("file", ("patients.csv", sample.read_bytes())),
        ]
        answer = Asking(window, None).post("/data", headers=headers, files=files)
        assert answer.status_code == 303, answer.text


def test_a_usual_port_that_is_taken_is_said_and_an_asked_one_is_refused(north, monkeypatch):
    said = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("aegis.console.hospital.opening.PORT", port)
        with console(north, None, "127.0.0.1", None, said.append) as window:
            assert window is None
        assert str(port) in said[0]["text"]
        assert "--console-port" in said[0]["text"]
        with (
            pytest.raises(BadInput, match="--console-port") as refused,
            console(north, None, "127.0.0.1", port, said.append),
        ):
            pass
        assert str(port) in str(refused.value)


def test_the_window_opens_a_port_and_prints_the_first_link_once(north):
    import httpx

    said = []
    with console(north, north.identity(), "127.0.0.1", 0, said.append) as window:
        assert window is not None
        url = next(one["url"] for one in said if one["event"] == "console")
        assert httpx.get(f"{url}/health", timeout=5).json()["hospital"] == "north"
        assert httpx.get(f"{url}/login", headers=HTML, timeout=5).status_code == 200
    (secret,) = [one["secret"] for one in said if "secret" in one]
    assert "/welcome?token=" in secret
    assert secret not in json.dumps([one for one in said if "secret" not in one])


def test_beyond_this_machine_a_hospital_that_has_not_joined_has_no_certificate(north):
    with (
        pytest.raises(BadInput, match="TLS"),
        console(north, None, "0.0.0.0", 0, lambda said: None),
    ):
        pass


def test_a_node_that_is_silent_counts_as_stopped(tmp_path):
    assert not standing(tmp_path).serving
    say(tmp_path, "connected")
    assert standing(tmp_path).connected
    seen = standing(tmp_path).seen
    assert seen is not None
    assert not standing(tmp_path, seen + 16).serving
    say(tmp_path, "stopped")
    assert not standing(tmp_path).serving
    (tmp_path / "standing.json").write_text("{")
    assert standing(tmp_path).seen is None
