"""The people's book: one SQLite file that holds accounts, sessions, tokens and proposals.

It lies in the party's own folder, readable by its owner alone, and is asked anew at every request:
who is disabled or loses a role is so at once, also when the command line did it. What opens a door
(a session's id, a link, a refresh token) is kept as a digest only, so that a stolen copy of the
file opens none.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aegis.database import opened
from aegis.errors import BadInput

FILE = "people.db"
FORMAT = 1
Clock = Callable[[], float]
Row = tuple[Any, ...]

_TABLES = """
CREATE TABLE people (
  name TEXT PRIMARY KEY, roles TEXT NOT NULL, hospital TEXT, password TEXT NOT NULL DEFAULT '',
  disabled INTEGER NOT NULL DEFAULT 0, made REAL NOT NULL, subject TEXT UNIQUE,
  totp TEXT NOT NULL DEFAULT '', totp_pending TEXT NOT NULL DEFAULT '',
  totp_step INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE recovery (
  person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, digest TEXT NOT NULL,
  PRIMARY KEY (person, digest)) STRICT;
CREATE TABLE links (
  digest TEXT PRIMARY KEY, person TEXT NOT NULL UNIQUE, expires REAL NOT NULL) STRICT;
CREATE TABLE changes (
  number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, who TEXT NOT NULL,
  about TEXT NOT NULL, what TEXT NOT NULL) STRICT;
CREATE TABLE sessions (
  digest TEXT PRIMARY KEY, person TEXT NOT NULL, made REAL NOT NULL, seen REAL NOT NULL,
  address TEXT NOT NULL, browser TEXT NOT NULL) STRICT;
CREATE INDEX sessions_of ON sessions (person);
CREATE TABLE families (
  family TEXT PRIMARY KEY, person TEXT NOT NULL, made REAL NOT NULL, revoked TEXT NOT NULL)
  STRICT;
CREATE TABLE refreshes (
  digest TEXT PRIMARY KEY, family TEXT NOT NULL REFERENCES families ON DELETE CASCADE,
  expires REAL NOT NULL, used REAL) STRICT;
CREATE TABLE denied (jti TEXT PRIMARY KEY, expires REAL NOT NULL) STRICT;
CREATE TABLE proposals (
  number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, payload TEXT NOT NULL,
  sha256 TEXT NOT NULL, proposer TEXT NOT NULL, reason TEXT NOT NULL, made REAL NOT NULL,
  expires REAL NOT NULL, state TEXT NOT NULL, second TEXT NOT NULL DEFAULT '',
  closed REAL, outcome TEXT NOT NULL DEFAULT '') STRICT;
"""


class Book:
    """``folder`` is where ``people.db`` lies. Raises ``BadInput`` where it cannot be opened."""

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self.clock = clock
        self.path = folder / FILE
        self._lock = threading.RLock()
        try:
            self._db = opened(self.path, threads=True)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"{self.path} cannot be opened ({error})", "the people's database"
            ) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA foreign_keys=ON")
        with self.whole():
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={FORMAT}")
            elif found != FORMAT:
                raise BadInput(
                    f"{self.path} has the format {found}",
                    f"this version of Aegis reads {FORMAT}",
                    "Use the version of Aegis that wrote it",
                )

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All of it or none of it; nobody else writes meanwhile."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk rolls back by itself
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, statement: str, *values: Any) -> list[Row]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def row(self, statement: str, *values: Any) -> Row | None:
        with self._lock:
            found: Row | None = self._db.execute(statement, values).fetchone()
            return found

    def write(self, statement: str, *values: Any) -> int:
        """How many rows it changed."""
        with self._lock:
            return self._db.execute(statement, values).rowcount

    def note(self, who: str, about: str, what: str) -> None:
        """A change on record: who did what to whose account."""
        self.write(
            "INSERT INTO changes (time, who, about, what) VALUES (?,?,?,?)",
            self.clock(), who, about, what,
        )  # fmt: skip

    def changes(self, most: int = 200) -> Sequence[Row]:
        """(time, who, about, what), newest first."""
        return self.rows(
            "SELECT time, who, about, what FROM changes ORDER BY number DESC LIMIT ?", most
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()


def secret() -> str:
    """256 random bits, as text that may stand in an address."""
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """Enough for what has 256 random bits; passwords need more (``passwords``)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
