"""What people at a hospital did with it: one signed row for each act, none of which can be lost.

Approving a plan, refusing one, registering data, signing a policy: who, when, what, about which
digest. A row names the row before it and is signed with the hospital's own key, so whoever doubts
can check the whole list with the public key alone. No row holds a patient's value.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aegis.database import opened
from aegis.errors import BadInput, CheckFailed, DataError
from aegis.identity.keys import PublicKey, SigningKey

DOMAIN = "aegis/acts/v1"
FILE = "acts.db"
MOST_TEXT = 2000
_TABLE = (
    "CREATE TABLE IF NOT EXISTS acts (number INTEGER PRIMARY KEY, time TEXT NOT NULL,"
    " who TEXT NOT NULL, act TEXT NOT NULL, about TEXT NOT NULL, said TEXT NOT NULL,"
    " before TEXT NOT NULL, signature TEXT NOT NULL)"
)


@dataclass(frozen=True)
class Act:
    """``about`` is the digest of what was decided on, ``said`` a sentence; ``before`` is the
    SHA-256 of the row before, ``signature`` hexadecimal."""

    number: int
    time: str
    who: str
    act: str
    about: str
    said: str
    before: str
    signature: str = ""

    @property
    def covered(self) -> bytes:
        document = asdict(self) | {"signature": ""}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.covered + self.signature.encode()).hexdigest()


class Acts:
    """One open file; several processes may hold it. Raises ``DataError`` where it cannot."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        try:
            self._db = opened(self.path, threads=True)
            self._db.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{self.path} cannot be used ({error})") from error

    def record(self, key: SigningKey, who: str, act: str, about: str = "", said: str = "") -> Act:
        """Sign and keep one act. On return it is on disk."""
        if not who.strip():
            raise BadInput("an act has the name of the person who did it")
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                last = self.all(1)
                plain = Act(
                    last[0].number + 1 if last else 1,
                    datetime.now(UTC).isoformat(timespec="milliseconds"),
                    who[:80],
                    act,
                    about,
                    said[:MOST_TEXT],
                    last[0].sha256 if last else "",
                )
                found = Act(**asdict(plain) | {"signature": key.sign(DOMAIN, plain.covered).hex()})
                row = tuple(asdict(found).values())
                self._db.execute("INSERT INTO acts VALUES (?,?,?,?,?,?,?,?)", row)
            except BaseException:
                if self._db.in_transaction:  # a full disk rolls back by itself
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        return found

    def all(self, most: int = 1_000_000, skip: int = 0) -> list[Act]:
        """The latest first."""
        return [Act(*row) for row in self._rows("DESC", most, skip)]

    def check(self, key: PublicKey) -> int:
        """How many rows there are. Raises ``CheckFailed`` that names the first bad one."""
        before = ""
        number = 0
        for number, row in enumerate(self._rows("ASC", 1_000_000, 0), 1):
            act = Act(*row)
            good = act.number == number and act.before == before
            if not good or not key.verifies(DOMAIN, act.covered, _bytes(act.signature)):
                raise CheckFailed(f"row {number} of {self.path} is not what this hospital signed")
            before = act.sha256
        return number

    def close(self) -> None:
        self._db.close()

    def _rows(self, order: str, most: int, skip: int) -> list[tuple[Any, ...]]:
        query = f"SELECT * FROM acts ORDER BY number {order} LIMIT ? OFFSET ?"  # noqa: S608
        with self._lock:
            return self._db.execute(query, (most, skip)).fetchall()


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
