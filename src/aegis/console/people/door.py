"""All of this room as one value, which a console opens once and keeps in ``app.state.door``."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from aegis.console.people.accounts import HERE, Account, Accounts, Told, person_name
from aegis.console.people.book import Book, Clock
from aegis.console.people.limits import Buckets, Logins, Rates
from aegis.console.people.passwords import Passwords
from aegis.console.people.proofs import Proofs
from aegis.console.people.roles import THIS_MACHINE, Person, Right, rights_of
from aegis.console.people.sessions import Sessions, csrf_of
from aegis.console.people.single_sign_on import SignOn
from aegis.console.people.tokens import Tokens
from aegis.console.people.two_persons import Proposals, Telling
from aegis.errors import BadInput, CheckFailed

NEW_KEY_AFTER_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many tries to log in: how long to wait, and what is said."""

    seconds: int

    @property
    def error(self) -> CheckFailed:
        return CheckFailed(
            "too many tries to log in",
            f"wait {self.seconds} seconds",
            "Somebody who forgot the password asks an administrator for a link",
        )


@dataclass
class Door:
    """``side`` names the console ("coordinator", a hospital's name); ``machine`` is this machine's
    own token, empty for none; ``secure`` whether browsers come over TLS."""

    accounts: Accounts
    proofs: Proofs
    sessions: Sessions
    tokens: Tokens
    proposals: Proposals
    side: str
    machine: str = field(default="", repr=False)
    secure: bool = False
    sign_on: SignOn | None = None
    rates: Rates = field(default_factory=Rates)
    buckets: Buckets = field(default_factory=Buckets)
    logins: Logins = field(default_factory=Logins)

    def login(self, name: str, password: str, code: str, address: str) -> Account | Wait | None:
        """None for whatever does not fit: which of the three it was is not said."""
        try:
            name = person_name(name)
        except BadInput:
            name = "?"  # nobody's, and counted and timed like anybody's
        wait = self.buckets.take(("proving", address), self.rates.proving)
        if wait := wait or self.logins.begin(name, address):
            return Wait(math.ceil(wait))
        account = self.proofs.check(name, password, code)
        if account is not None:
            self.logins.succeeded(name, address)
        return account

    def proven(self, name: str, password: str, address: str) -> bool | Wait:
        """Whether somebody who is logged in has the password at hand, within the same limits."""
        wait = self.logins.begin(name, address)
        if wait:
            return Wait(math.ceil(wait))
        if not self.proofs.password_fits(name, password):
            return False
        self.logins.succeeded(name, address)
        return True

    def person_of_session(self, given: str, deed: bool) -> Person | None:
        session = self.sessions.find(given, deed)
        account = None if session is None else self.accounts.find(session.person)
        if account is None or account.disabled:
            return None
        return Person(account.name, account.roles, account.hospital, csrf_of(given))

    def person_of_token(self, token: str) -> Person:
        """Raises ``CheckFailed``."""
        name = self.tokens.person_of(token)
        if name == HERE:
            return THIS_MACHINE
        account = self.accounts.find(name)
        if account is None or account.disabled:
            raise CheckFailed("this token's person has no account here any more")
        return Person(account.name, account.roles, account.hospital, way="token")

    def short_token(self) -> str:
        """An access token of this machine, for the line that a console prints at its start."""
        return self.tokens.access(HERE)

    def close(self) -> None:
        self.accounts.book.close()


def opened(
    folder: Path,
    *,
    keys: Path,
    side: str,
    secure: bool = False,
    machine: str = "",
    hospital: str | None = None,
    told: Told = lambda who, about, what: None,
    tell: Telling = lambda event: None,
    passwords: Passwords | None = None,
    sign_on: SignOn | None = None,
    clock: Clock = time.time,
) -> Door:
    """``folder`` holds people.db, ``keys`` the key file; ``told`` hears of every changed account,
    ``tell`` enters a two-person act in the coordinator's own log before it is done. Raises
    ``BadInput`` where a file cannot be used."""
    book = Book(folder, clock)
    tokens = Tokens(book, keys, f"aegis {side}")
    if tokens.age_s > NEW_KEY_AFTER_S:
        tokens.rotate()
    accounts = Accounts(book, passwords, hospital, told)

    def still(name: str, right: Right) -> bool:
        one = accounts.find(name)
        return one is not None and not one.disabled and right in rights_of(one.roles)

    return Door(
        accounts,
        Proofs(accounts),
        Sessions(book, "" if side == "coordinator" else side),
        tokens,
        Proposals(book, tell, still=still),
        side,
        machine,
        secure,
        sign_on,
    )
