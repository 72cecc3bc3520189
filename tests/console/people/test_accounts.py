"""People come in by one-time links, prove who they are, and leave traces of every change."""

from __future__ import annotations

import os
import stat
import time

import pytest

from aegis.console.people.accounts import FIRST, HERE, LINK_S, Accounts
from aegis.console.people.book import FORMAT, Book, digest
from aegis.console.people.passwords import Passwords
from aegis.console.people.roles import Role
from aegis.errors import BadInput
from tests.console.people.conftest import CHEAP, PASSWORD, came


def test_the_first_link_makes_one_administrator_and_no_second(door):
    token = door.accounts.first_admin_link()
    assert door.accounts.link_for(token) == FIRST
    root = door.accounts.welcome(token, " Root ", PASSWORD)
    assert (root.name, root.roles, root.has_password) == ("root", {Role.ADMIN}, True)
    with pytest.raises(BadInput, match="works once"):
        door.accounts.welcome(token, "mallory", PASSWORD)
    assert door.accounts.first_admin_link() is None


def test_a_new_first_link_ends_the_one_before(door):
    old, new = door.accounts.first_admin_link(), door.accounts.first_admin_link()
    assert door.accounts.link_for(old) is None
    assert door.accounts.link_for(new) == FIRST


def test_a_first_link_that_was_never_used_ends_when_an_administrator_comes_otherwise(door):
    link = door.accounts.first_admin_link()
    came(door, "root", Role.ADMIN)
    assert door.accounts.first_admin_link() is None
    assert door.accounts.link_for(link) is None


def test_a_console_whose_only_administrator_is_disabled_gets_a_link_again(door):
    came(door, "root", Role.ADMIN)
    door.accounts.disable("root", HERE)
    assert door.accounts.first_admin_link() is not None


def test_a_link_is_good_for_a_day_and_once(door, clock):
    token = door.accounts.add("ana", [Role.VIEWER], "root")
    with pytest.raises(BadInput, match="at least 12"):
        door.accounts.welcome(token, "", "short")
    clock.now += LINK_S - 1
    assert door.accounts.link_for(token) == "ana"
    clock.now += 2
    assert door.accounts.link_for(token) is None
    with pytest.raises(BadInput, match="too old"):
        door.accounts.welcome(token, "", PASSWORD)


def test_the_name_of_an_invitation_cannot_be_changed_by_whoever_has_the_link(door):
    came(door, "root", Role.ADMIN)
    token = door.accounts.add("ana", [Role.VIEWER], "root")
    assert door.accounts.welcome(token, "root", PASSWORD).name == "ana"
    assert door.proofs.check("root", PASSWORD) is not None


def test_the_file_holds_no_link_no_session_no_password_and_is_its_owners_alone(door):
    link = door.accounts.add("ana", [Role.VIEWER], "root")
    came(door, "ben")
    session = door.sessions.open("ben")
    given = door.tokens.login("ben")
    kept = b"".join(path.read_bytes() for path in door.accounts.book.path.parent.glob("people.db*"))
    for secret in (link, session, given.refresh, given.access, PASSWORD):
        assert secret.encode() not in kept
    assert digest(link).encode() in kept
    for path in door.accounts.book.path.parent.glob("people.db*"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_only_what_fits_opens(door):
    came(door, "ana")
    assert door.proofs.check("ana", PASSWORD).name == "ana"
    for name, password in (
        ("ana", PASSWORD + " "),
        ("ana", ""),
        ("Ana", PASSWORD),
        ("ben", PASSWORD),
        ("", ""),
        ("*", PASSWORD),
    ):
        assert door.proofs.check(name, password) is None


def test_an_invited_person_without_a_password_cannot_come_in_by_an_empty_one(door):
    door.accounts.add("ana", [Role.VIEWER], "root")
    for password in ("", "nobody has this one"):
        assert door.proofs.check("ana", password) is None


def test_a_reset_takes_every_way_in(door):
    came(door, "ana")
    session, given = door.sessions.open("ana"), door.tokens.login("ana")
    token = door.accounts.reset("ana", "root")
    assert door.proofs.check("ana", PASSWORD) is None
    assert door.sessions.find(session) is None
    with pytest.raises(Exception, match="revoked"):
        door.tokens.person_of(given.access)
    door.accounts.welcome(token, "", PASSWORD + " again")
    assert door.proofs.check("ana", PASSWORD + " again") is not None


def test_nobody_changes_the_own_roles_or_account(door):
    came(door, "root", Role.ADMIN)
    with pytest.raises(BadInput, match="own roles"):
        door.accounts.set_roles("root", list(Role), "root", "north")
    with pytest.raises(BadInput, match="own account"):
        door.accounts.disable("root", "root")
    assert door.accounts.find("root").roles == {Role.ADMIN}


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "../ana", "ana\n", ".ana", "a" * 64, "\u0430na", "this machine", "*"]
)
def test_a_name_that_could_be_mistaken_is_refused(door, name):
    if name == "ana\n":  # what surrounds a name is taken off
        name = "an\na"
    with pytest.raises(BadInput, match="cannot be a person's name"):
        door.accounts.add(name, [Role.VIEWER], "root")


def test_roles_and_hospitals_must_fit_each_other(door):
    with pytest.raises(BadInput, match="without any role"):
        door.accounts.add("ana", [], "root")
    with pytest.raises(BadInput, match="without a hospital"):
        door.accounts.add("ana", [Role.HOSPITAL_OPERATOR], "root")
    assert door.accounts.everybody() == []


def test_everybody_at_a_hospitals_console_belongs_to_it(tmp_path):
    book = Book(tmp_path)
    Accounts(book, Passwords(CHEAP)).add("ana", [Role.VIEWER], HERE)
    accounts = Accounts(book, Passwords(CHEAP), hospital="north")
    accounts.add("ben", [Role.HOSPITAL_OPERATOR], HERE, "south")
    assert [one.hospital for one in accounts.everybody()] == ["north", "north"]
    book.close()


def test_every_change_is_on_record_and_told(tmp_path):
    told: list[tuple[str, str, str]] = []
    book = Book(tmp_path)
    accounts = Accounts(book, Passwords(CHEAP), None, lambda *said: told.append(said))
    token = accounts.add("ana", [Role.VIEWER], "root")
    accounts.welcome(token, "", PASSWORD)
    accounts.set_roles("ana", [Role.AUDITOR], "root")
    accounts.set_roles("ana", [Role.AUDITOR], "root")  # nothing changes, nothing is said
    accounts.disable("ana", "root")
    said = [(who, about, what) for _, who, about, what in reversed(book.changes())]
    assert said == told
    assert [(who, what.split()[0]) for who, _, what in told] == [
        ("root", "added"),
        ("ana", "set"),
        ("root", "roles"),
        ("root", "disabled"),
    ]
    book.close()


def test_a_provider_never_opens_the_account_of_a_name(door):
    came(door, "ana", Role.ADMIN)
    door.accounts.add("ana-2", [Role.VIEWER], "root")
    stranger = door.accounts.from_provider("https://idp|7", "Ana", frozenset({Role.VIEWER}))
    assert stranger.name == "ana-3"
    again = door.accounts.from_provider("https://idp|7", "root", frozenset({Role.AUDITOR}))
    assert (again.name, again.roles) == ("ana-3", {Role.AUDITOR})
    assert door.accounts.find("ana").roles == {Role.ADMIN}
    with pytest.raises(BadInput, match="single sign-on"):
        door.accounts.reset("ana-3", "root")
    assert door.proofs.check("ana-3", "") is None


def test_an_unknown_name_takes_as_long_as_a_known_one(door):
    """At the library's own cost, where a difference would be told over a network."""
    door.accounts.passwords = Passwords()
    came(door, "ana")
    door.proofs.check("nobody", PASSWORD)

    def seconds(name: str) -> float:
        began = time.process_time()
        assert door.proofs.check(name, "wrong wrong wrong") is None
        return time.process_time() - began

    pairs = [(seconds("ana"), seconds("nobody")) for _ in range(3)]
    known, unknown = (sorted(column)[1] for column in zip(*pairs, strict=True))
    assert known > 0.02
    assert 0.6 < unknown / known < 1.6


def test_a_book_of_another_format_is_refused(tmp_path):
    book = Book(tmp_path)
    book.write(f"PRAGMA user_version={FORMAT + 1}")
    book.close()
    with pytest.raises(BadInput, match=f"format {FORMAT + 1}"):
        Book(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "people.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(BadInput, match="cannot be opened"):
        Book(tmp_path)
