"""A browser's sessions: kept here, known by the digest of an id that only the browser has.

A session ends after 30 minutes without a deed, after 12 hours in any case, at logout, and with the
account. A page that asks for news by itself is no deed, so a screen left open logs out. Every login
makes a new id and ends the one the browser brought, so nobody can plant a session.

The cookie is always ``__Host-...; Secure; HttpOnly; SameSite=Strict; Path=/``, on plain HTTP too:
Chromium 156 keeps and sends it on http://localhost and http://127.0.0.1 (measured), which it
trusts as it trusts TLS. A browser that does not (Safari) cannot log in without TLS; there is no
weaker second cookie. A cookie does not know ports, so each console of one machine has its own name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from aegis.console.people.book import Book, digest, secret

IDLE_S, ABSOLUTE_S = 30 * 60.0, 12 * 3600.0
MOST_EACH = 20  # of one person; the oldest ends
_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_SEEN_EVERY_S = 30.0  # a write at each click would be one too many


@dataclass(frozen=True, slots=True)
class Session:
    """``key`` names it in lists and ends it; it opens nothing."""

    key: str
    person: str
    made: float
    seen: float
    address: str
    browser: str


class Sessions:
    def __init__(
        self, book: Book, side: str = "", idle_s: float = IDLE_S, absolute_s: float = ABSOLUTE_S
    ) -> None:
        self.book, self.idle_s, self.absolute_s = book, idle_s, absolute_s
        plain = re.sub(r"[^A-Za-z0-9]+", "-", side).strip("-").lower()
        self.cookie = "__Host-aegis" + (f"-{plain}" if plain else "")

    def open(self, person: str, address: str = "", browser: str = "", before: str = "") -> str:
        """A new id for the cookie; ``before`` is the one the browser had, which ends."""
        made, now = secret(), self.book.clock()
        with self.book.whole():
            self.close(before)
            self._forget(now)
            self.book.write(
                "INSERT INTO sessions VALUES (?,?,?,?,?,?)",
                digest(made), person, now, now, address[:64], browser[:200],
            )  # fmt: skip
            self.book.write(
                "DELETE FROM sessions WHERE person=? AND digest NOT IN (SELECT digest FROM sessions"
                " WHERE person=? ORDER BY made DESC, rowid DESC LIMIT ?)",
                person, person, MOST_EACH,
            )  # fmt: skip
        return made

    def find(self, given: str, deed: bool = True) -> Session | None:
        """The session of an id that still counts; a ``deed`` of the person keeps it."""
        if not _ID.fullmatch(given):
            return None
        now = self.book.clock()
        row = self.book.row(
            "SELECT digest, person, made, seen, address, browser FROM sessions WHERE digest=?",
            digest(given),
        )
        if row is None:
            return None
        session = Session(*row)
        if not self._counts(session, now):
            self.book.write("DELETE FROM sessions WHERE digest=?", session.key)
            return None
        if deed and now - session.seen >= min(_SEEN_EVERY_S, self.idle_s / 10):
            self.book.write("UPDATE sessions SET seen=? WHERE digest=?", now, session.key)
        return session

    def of(self, person: str) -> list[Session]:
        """Newest first."""
        self._forget(self.book.clock())
        rows = self.book.rows(
            "SELECT digest, person, made, seen, address, browser FROM sessions WHERE person=?"
            " ORDER BY made DESC",
            person,
        )
        return [Session(*row) for row in rows]

    def close(self, given: str) -> None:
        if given:
            self.book.write("DELETE FROM sessions WHERE digest=?", digest(given))

    def end(self, person: str, key: str) -> int:
        """One session from the list of this very person."""
        return self.book.write("DELETE FROM sessions WHERE person=? AND digest=?", person, key)

    def close_all(self, person: str, but: str = "") -> int:
        """Everywhere, except where the browser has the id ``but``; how many there were."""
        return self.book.write(
            "DELETE FROM sessions WHERE person=? AND digest<>?", person, digest(but)
        )

    def set_cookie(self, given: str) -> str:
        """The value of Set-Cookie; an empty id takes the cookie away."""
        age = "" if given else "; Max-Age=0"
        return f"{self.cookie}={given}; Path=/; Secure; HttpOnly; SameSite=Strict{age}"

    def _counts(self, session: Session, now: float) -> bool:
        return now - session.seen < self.idle_s and now - session.made < self.absolute_s

    def _forget(self, now: float) -> None:
        self.book.write(
            "DELETE FROM sessions WHERE seen <= ? OR made <= ?",
            now - self.idle_s,
            now - self.absolute_s,
        )


def csrf_of(given: str) -> str:
    """The synchroniser token of a session: whoever has no session id cannot make it, and the id
    cannot be made of it."""
    made = hashlib.sha256(b"aegis/csrf/v1\0" + given.encode()).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def csrf_fits(given: str, shown: str) -> bool:
    return hmac.compare_digest(csrf_of(given).encode(), shown.encode("utf-8", "replace"))
