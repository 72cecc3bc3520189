"""How a person proves who it is: a password, and the second factor once it is set up.

One answer for every fault, and as long a wait for a name that is not there as for one that is. A
code and a recovery code are used up in the same transaction that finds them good.
"""

from __future__ import annotations

from aegis.console.people import second_factor
from aegis.console.people.accounts import Account, Accounts
from aegis.console.people.book import digest
from aegis.console.people.passwords import checked
from aegis.errors import BadInput


class Proofs:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.book = accounts.book

    def check(self, name: str, password: str, given: str = "") -> Account | None:
        """The person, where name, password and (once set up) the second factor fit. One answer for
        every fault, and as long a wait for a name that is not there."""
        account, row = self._accounts.find(name), self._stored(name)
        fits = self._accounts.passwords.fits(row[0] if row else "", password)
        if account is None or row is None or not fits or account.disabled:
            return None
        if row[1] and not self._second(name, row[1], given):
            return None
        if self._accounts.passwords.outdated(row[0]):
            stored = self._accounts.passwords.hashed(password)
            # unless somebody reset it meanwhile
            self.book.write(
                "UPDATE people SET password=? WHERE name=? AND password=?", stored, name, row[0]
            )
        return account

    def password_fits(self, name: str, password: str) -> bool:
        row = self._stored(name)
        return self._accounts.passwords.fits(row[0] if row else "", password)

    def change_password(self, name: str, new: str) -> None:
        """The old one has been proven. Raises ``BadInput`` where the new one is weak, or the
        old."""
        if self.password_fits(name, new):
            raise BadInput("the new password is the old one", "another one")
        stored = self._accounts.passwords.hashed(checked(new, name, self._accounts.hospital or ""))
        with self.book.whole():
            there = "UPDATE people SET password=? WHERE name=? AND password<>''"
            if self.book.write(there, stored, name) != 1:
                raise BadInput("this account was reset a moment ago", way_out="Use the new link")
            self._accounts.note(name, name, "changed the password")

    def begin_second_factor(self, name: str) -> str:
        """A new secret, which counts once a code of it was shown; the same until then."""
        if waiting := self.pending_second_factor(name):
            return waiting
        made = second_factor.new_secret()
        self.book.write("UPDATE people SET totp_pending=? WHERE name=?", made, name)
        return made

    def pending_second_factor(self, name: str) -> str:
        """The secret that waits for its first code, empty where none does."""
        row = self.book.row("SELECT totp_pending FROM people WHERE name=?", name)
        return str(row[0]) if row else ""

    def confirm_second_factor(self, name: str, given: str) -> list[str]:
        """The recovery codes, shown this once. Raises ``BadInput`` for a wrong code."""
        with self.book.whole():
            pending = self.pending_second_factor(name)
            step = pending and second_factor.step_of(pending, given, self.book.clock(), 0)
            if not step:
                raise BadInput(
                    "this code does not fit",
                    "the six digits your application shows now",
                    "Check the clock of your telephone",
                )
            codes = second_factor.recovery_codes()
            self.book.write(
                "UPDATE people SET totp=?, totp_pending='', totp_step=? WHERE name=?",
                pending, step, name,
            )  # fmt: skip
            self.book.write("DELETE FROM recovery WHERE person=?", name)
            for one in codes:
                kept = digest(second_factor.as_typed(one))
                self.book.write("INSERT INTO recovery VALUES (?,?)", name, kept)
            self._accounts.note(name, name, "set up a second factor")
        return codes

    def end_second_factor(self, name: str) -> None:
        with self.book.whole():
            self.book.write("UPDATE people SET totp='', totp_pending='' WHERE name=?", name)
            self.book.write("DELETE FROM recovery WHERE person=?", name)
            self._accounts.note(name, name, "took the second factor away")

    # Inside

    def _stored(self, name: str) -> tuple[str, str] | None:
        row = self.book.row("SELECT password, totp FROM people WHERE name=?", name)
        return None if row is None else (str(row[0]), str(row[1]))

    def _second(self, name: str, kept: str, given: str) -> bool:
        with self.book.whole():
            row = self.book.row("SELECT totp_step FROM people WHERE name=?", name)
            step = second_factor.step_of(kept, given, self.book.clock(), int(row[0]) if row else 0)
            if step is not None:
                self.book.write("UPDATE people SET totp_step=? WHERE name=?", step, name)
                return True
            used = digest(second_factor.as_typed(given))
            if self.book.write("DELETE FROM recovery WHERE person=? AND digest=?", name, used):
                self._accounts.note(name, name, "used a recovery code")
                return True
        return False
