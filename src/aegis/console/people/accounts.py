"""The people of one console: who there is, with which roles, and how each came in.

Somebody new gets a link that works once within a day and sets the first password; nobody ever knows
the password of another. A reset is the same: the old password, second factor, sessions and tokens
are gone at once, so whoever is reset notices. Nobody changes the own roles or disables the own
account, so one administrator alone can neither add to its rights nor leave a console without any.
Every change stands in the table of changes, with who made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aegis.console.people.book import Book, Row, digest, secret
from aegis.console.people.passwords import Passwords, checked
from aegis.console.people.roles import Role
from aegis.errors import BadInput

LINK_S = 24 * 3600.0
MOST_PEOPLE = 10_000
FIRST = "*"  # whom the first link is for: nobody has a name yet
HERE = "this machine"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_SELECT = "SELECT name, roles, hospital, password, disabled, made, subject, totp FROM people"
Told = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class Account:
    """``subject`` is the identity at a single sign-on provider; such a person has no password."""

    name: str
    roles: frozenset[Role]
    hospital: str | None
    disabled: bool
    made: float
    has_password: bool = False
    subject: str | None = None
    second_factor: bool = False


class Accounts:
    """``hospital`` is the console's own: everybody at a hospital's console belongs to it. ``told``
    hears every change as (who, about, what)."""

    def __init__(
        self,
        book: Book,
        passwords: Passwords | None = None,
        hospital: str | None = None,
        told: Told = lambda who, about, what: None,
    ) -> None:
        self.book, self.hospital = book, hospital
        self.passwords = passwords or Passwords()
        self._told = told

    def find(self, name: str) -> Account | None:
        row = self.book.row(_SELECT + " WHERE name=?", name)
        return None if row is None else _account(row, self.hospital)

    def everybody(self) -> list[Account]:
        rows = self.book.rows(_SELECT + " ORDER BY name")
        return [_account(row, self.hospital) for row in rows]

    def invited(self) -> dict[str, float]:
        """When the open links end, by whom they are for."""
        now = self.book.clock()
        rows = self.book.rows("SELECT person, expires FROM links WHERE expires > ?", now)
        return {str(name): float(expires) for name, expires in rows}

    # Coming in

    def first_admin_link(self) -> str | None:
        """The one-time token of the first administrator's link, /welcome?token=...; None once some
        administrator has come in. A new one ends the one before."""
        with self.book.whole():
            if any(Role.ADMIN in one.roles and _came(one) for one in self.everybody()):
                self.book.write("DELETE FROM links WHERE person=?", FIRST)
                return None
            return self._link(FIRST)

    def add(self, name: str, roles: Iterable[Role], by: str, hospital: str | None = None) -> str:
        """A new person; the answer is the token of the link that sets the first password."""
        name, asked = person_name(name), frozenset(roles)
        with self.book.whole():
            if self.find(name) is not None:
                raise BadInput(f"there is a person {name} already", way_out="Choose another name")
            self._insert(name, asked, hospital)
            self.note(by, name, f"added with {_list(asked)}{_at(hospital)}")
            return self._link(name)

    def reset(self, name: str, by: str) -> str:
        """Takes every way in from a person; the answer is the token of the link that gives one."""
        with self.book.whole():
            account = self._there(name)
            if account.subject is not None:
                raise BadInput(f"{name} logs in at the single sign-on provider, not here")
            self.book.write(
                "UPDATE people SET password='', totp='', totp_pending='' WHERE name=?", name
            )
            self.book.write("DELETE FROM recovery WHERE person=?", name)
            self._out(name)
            self.note(by, name, "reset: password and second factor taken, link given")
            return self._link(name)

    def link_for(self, token: str) -> str | None:
        """Whom a link is for (``FIRST`` for the first administrator), None where it is no good."""
        row = self.book.row(
            "SELECT person FROM links WHERE digest=? AND expires > ?",
            digest(token),
            self.book.clock(),
        )
        return None if row is None else str(row[0])

    def welcome(self, token: str, name: str, password: str) -> Account:
        """Uses up the link: sets the password, and for the first administrator the name. Raises
        ``BadInput`` where the link, the name or the password is no good; the link stays then."""
        person = self.link_for(token)
        if person is None:
            raise BadInput(
                "this link is used up, too old or mistyped",
                "a link works once, for 24 hours",
                "Ask an administrator for a new one: aegis people reset-link NAME",
            )
        name = person_name(name) if person == FIRST else person
        stored = self.passwords.hashed(checked(password, name, self.hospital or ""))
        with self.book.whole():
            if self.book.write("DELETE FROM links WHERE digest=?", digest(token)) != 1:
                raise BadInput("this link was used a moment ago", "a link works once")
            if person == FIRST:
                if self.find(name) is not None:
                    raise BadInput(f"there is a person {name} already")
                self._insert(name, frozenset({Role.ADMIN}), None)
                self.note(HERE, name, "added as the first administrator")
            self.book.write("UPDATE people SET password=? WHERE name=?", stored, name)
            self.note(name, name, "set a password by a one-time link")
        return self._there(name)

    def from_provider(self, subject: str, wished: str, roles: frozenset[Role]) -> Account:
        """Who a single sign-on provider vouches for; known by ``subject`` alone, so that a name at
        the provider never opens somebody else's account here. Roles are the provider's word."""
        with self.book.whole():
            row = self.book.row("SELECT name FROM people WHERE subject=?", subject)
            if row is None:
                name = self._free(wished)
                self._insert(name, roles, None, subject)
                self.note(HERE, name, f"came by single sign-on with {_list(roles)}")
            else:
                name = str(row[0])
                if self._there(name).roles != roles:
                    self._write_roles(name, roles)
                    self.note(HERE, name, f"single sign-on gives {_list(roles)}")
        return self._there(name)

    # What an administrator does

    def set_roles(
        self, name: str, roles: Iterable[Role], by: str, hospital: str | None = None
    ) -> None:
        with self.book.whole():
            self._other(name, by, "roles")
            account, asked = self._there(name), frozenset(roles)
            belongs = self._belongs(asked, hospital)
            if (account.roles, account.hospital) == (asked, belongs):
                return
            self._write_roles(name, asked)
            self.book.write("UPDATE people SET hospital=? WHERE name=?", belongs, name)
            before = f"{_list(account.roles)}{_at(account.hospital)}"
            self.note(by, name, f"roles changed from {before} to {_list(asked)}{_at(belongs)}")

    def disable(self, name: str, by: str) -> None:
        """From the next request on; sessions and tokens end."""
        with self.book.whole():
            self._other(name, by, "account")
            self._there(name)
            self.book.write("UPDATE people SET disabled=1 WHERE name=?", name)
            self.book.write("DELETE FROM links WHERE person=?", name)
            self._out(name)
            self.note(by, name, "disabled")

    def enable(self, name: str, by: str) -> None:
        with self.book.whole():
            self._other(name, by, "account")
            self._there(name)
            self.book.write("UPDATE people SET disabled=0 WHERE name=?", name)
            self.note(by, name, "enabled again")

    def note(self, who: str, about: str, what: str) -> None:
        """A change on record, and told."""
        self.book.note(who, about, what)
        self._told(who, about, what)

    # Inside

    def _there(self, name: str) -> Account:
        account = self.find(name)
        if account is None:
            raise BadInput(f"there is no person {name!r:.80}", way_out="See: aegis people list")
        return account

    def _other(self, name: str, by: str, what: str) -> None:
        if name == by:
            raise BadInput(
                f"{name} cannot change {name}'s own {what}",
                "another administrator does",
                "Or, on the machine itself: aegis people",
            )

    def _belongs(self, roles: frozenset[Role], hospital: str | None) -> str | None:
        belongs = self.hospital or (hospital or "").strip() or None
        if not roles:
            raise BadInput("a person without any role", f"some of: {_list(Role)}")
        if Role.HOSPITAL_OPERATOR in roles and belongs is None:
            raise BadInput(
                "a hospital operator without a hospital", "the hospital whose figures it sees"
            )
        if belongs is not None and len(belongs) > 63:
            raise BadInput("a hospital's name of more than 63 characters")
        return belongs

    def _insert(
        self, name: str, roles: frozenset[Role], hospital: str | None, subject: str | None = None
    ) -> None:
        row = self.book.row("SELECT COUNT(*) FROM people")
        if row is not None and row[0] >= MOST_PEOPLE:
            raise BadInput(f"{MOST_PEOPLE} people are known already")
        belongs = hospital if subject is not None else self._belongs(roles, hospital)
        self.book.write(
            "INSERT INTO people (name, roles, hospital, made, subject) VALUES (?,?,?,?,?)",
            name, _stored_roles(roles), belongs or self.hospital, self.book.clock(), subject,
        )  # fmt: skip

    def _free(self, wished: str) -> str:
        """A name like the one wished for that nobody has."""
        plain = re.sub(r"[^a-z0-9_.-]+", "-", wished.lower()).strip("-_.")[:56] or "person"
        taken = {one.name for one in self.everybody()}
        names = (plain if number == 1 else f"{plain}-{number}" for number in range(1, 10**6))
        return next(name for name in names if name not in taken)

    def _write_roles(self, name: str, roles: frozenset[Role]) -> None:
        self.book.write("UPDATE people SET roles=? WHERE name=?", _stored_roles(roles), name)

    def _out(self, name: str) -> None:
        self.book.write("DELETE FROM sessions WHERE person=?", name)
        self.book.write("UPDATE families SET revoked='account' WHERE person=? AND revoked=''", name)

    def _link(self, person: str) -> str:
        token = secret()
        self.book.write(
            "INSERT OR REPLACE INTO links VALUES (?,?,?)",
            digest(token), person, self.book.clock() + LINK_S,
        )  # fmt: skip
        return token


def person_name(text: str) -> str:
    """A name as it is kept: lower case. Raises ``BadInput``."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{text!r:.80} cannot be a person's name",
            "it begins with a letter or digit and has at most 63 of a-z, 0-9, _ . or -",
        )
    return name


def _came(account: Account) -> bool:
    return not account.disabled and (account.has_password or account.subject is not None)


def _account(row: Row, console_of: str | None) -> Account:
    name, roles, hospital, password, disabled, made, subject, totp = row
    known = {role.value for role in Role}
    given = frozenset(Role(one) for one in json.loads(roles) if one in known)
    belongs = console_of or hospital
    return Account(name, given, belongs, bool(disabled), made, bool(password), subject, bool(totp))


def _stored_roles(roles: frozenset[Role]) -> str:
    return json.dumps(sorted(role.value for role in roles))


def _list(roles: Iterable[Role]) -> str:
    return ", ".join(role.value for role in Role if role in set(roles)) or "no role"


def _at(hospital: str | None) -> str:
    return f" at {hospital}" if hospital else ""
