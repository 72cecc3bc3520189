"""``aegis people`` on the machine itself."""

from __future__ import annotations

import json

import pytest

from aegis.cli.app import run_command
from aegis.console.people.accounts import Accounts
from aegis.console.people.book import Book
from aegis.console.people.passwords import Passwords
from aegis.console.people.proofs import Proofs
from aegis.console.people.roles import Role
from aegis.identity.identity import Identity
from aegis.identity.keyfile import Keys
from aegis.operations.hospital.acts import Acts
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN
from aegis.store.home import Home

PASSWORD = "kettle orbit walnut pier"


@pytest.fixture
def accounts(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path))
    book = Book(tmp_path)
    yield Accounts(book, Passwords((1, 8, 1)))
    book.close()


def told(capsys, *argv: str) -> object:
    assert run_command(["people", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_person_is_added_comes_in_by_the_link_and_is_listed(accounts, capsys):
    said = told(capsys, "add", "Ana", "--role", "researcher", "--role", "auditor")
    assert (said["status"], said["name"]) == ("added", "ana")
    path, _, token = said["link"].partition("=")
    assert path == "/welcome?token"
    assert told(capsys, "list")[0]["state"] == "invited"
    accounts.welcome(token, "", PASSWORD)
    assert told(capsys, "list") == [
        {
            "name": "ana",
            "roles": ["researcher", "auditor"],
            "hospital": None,
            "second_factor": False,
            "state": "active",
        }
    ]


def test_disabling_and_resetting_end_what_was_open(accounts, capsys):
    accounts.welcome(accounts.add("ana", [Role.VIEWER], "root"), "", PASSWORD)
    assert told(capsys, "disable", "ana") == {"status": "disabled", "name": "ana"}
    assert Proofs(accounts).check("ana", PASSWORD) is None
    told(capsys, "enable", "ana")
    assert Proofs(accounts).check("ana", PASSWORD) is not None
    link = told(capsys, "reset-link", "ana", "--url", "https://here:8081/")["link"]
    assert link.startswith("https://here:8081/welcome?token=")
    assert Proofs(accounts).check("ana", PASSWORD) is None
    assert accounts.book.changes()[0][1] == "this machine"


def test_a_hospitals_console_has_people_of_its_own(accounts, capsys, tmp_path):
    folder = tmp_path / "hospitals" / "north"
    folder.mkdir(parents=True)
    told(capsys, "add", "olga", "--role", "hospital-operator", "--hospital", "north",
         "--home", str(folder))  # fmt: skip
    assert told(capsys, "list") == []
    (one,) = told(capsys, "list", "--home", str(folder))
    assert (one["name"], one["hospital"]) == ("olga", "north")


def test_without_json_it_speaks_to_people(accounts, capsys):
    assert run_command(["people", "list"]) == 0
    assert "Nobody yet" in capsys.readouterr().out
    assert run_command(["people", "add", "ana", "--role", "viewer"]) == 0
    assert "/welcome?token=" in capsys.readouterr().out
    assert run_command(["people", "list"]) == 0
    assert capsys.readouterr().out == "ana: viewer (invited)\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["add", "a b", "--role", "viewer"], "cannot be a person's name"),
        (["add", "ana", "--role", "god"], "'god' is no role"),
        (["add", "ana", "--role", "hospital-operator"], "without a hospital"),
        (["disable", "ana"], "no person 'ana'"),
        (["reset-link", "ana"], "no person 'ana'"),
        (["list", "--home", "/nowhere/at/all"], "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_said(accounts, capsys, argv, said):
    assert run_command(["people", *argv]) == 2
    assert said in capsys.readouterr().err
    assert accounts.everybody() == []


def test_changes_by_the_command_line_stand_in_the_coordinators_own_log(accounts, tmp_path, capsys):
    told(capsys, "add", "ana", "--role", "viewer")
    told(capsys, "disable", "ana")
    log = AuditLog(Home(tmp_path).audit_log)
    said = [json.loads(one.data).get("what") for one in log.entries(OWN)]
    assert said[-2:] == [
        "account of ana: added with viewer (by this machine)",
        "account of ana: disabled (by this machine)",
    ]
    assert log.checkpoints(OWN)
    log.close()


def test_at_a_hospital_they_stand_among_its_signed_acts(tmp_path, capsys):
    folder = tmp_path / "hospitals" / "north"
    Keys(folder / "keys").write(Identity.generate("north"))
    (folder / "hospital.toml").write_text("[data]")
    told(capsys, "add", "ana", "--role", "viewer", "--home", str(folder))
    acts = Acts(folder)
    [act] = acts.all()
    assert (act.who, act.act, act.said) == (
        "this machine",
        "changed ana's account",
        "added with viewer",
    )
    acts.close()


def test_a_change_that_cannot_be_put_on_record_is_not_made(accounts, tmp_path, capsys):
    Keys(tmp_path / "keys").write(Identity.generate("coordinator"), "a long phrase of somebody")
    assert run_command(["people", "add", "ana", "--role", "viewer"]) == 2
    assert "the coordinator's key cannot be used here" in capsys.readouterr().err
    assert accounts.everybody() == []
