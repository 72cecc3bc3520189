"""The file under a privacy ledger: rows that name the row before them, in one SQLite file.

Each change is one transaction, synced to disk before it counts (WAL, synchronous=FULL). A row's
hash covers all of it and the hash before, so a row that was changed, removed or moved is found by
reading the chain. There is no key in it: whoever may write the file can cut it short at its end, or
make all later rows anew, and only somebody else who remembers its ``Head`` can tell.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from aegis.database import opened
from aegis.errors import CheckFailed, DataError, RunAborted

Kind: TypeAlias = Literal["opened", "reserved", "stored"]

_MARK = 0x41656C31
_SCHEMA = (
    f"PRAGMA application_id={_MARK}",
    """CREATE TABLE rows (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, run TEXT NOT NULL,
    round INTEGER NOT NULL, purpose TEXT NOT NULL, detail TEXT NOT NULL, sha256 TEXT NOT NULL,
    UNIQUE (kind, run, round, purpose))""",
    """CREATE TABLE payloads (
    run TEXT NOT NULL, round INTEGER NOT NULL, purpose TEXT NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (run, round, purpose))""",
)


@dataclass(frozen=True)
class Head:
    """How many rows there are, and the hash of the last."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Row:
    """``detail`` is the event of a reservation, the hash of a stored payload, and in the first row
    the hash of the data set. ``sha256`` covers all of it and the row before."""

    number: int
    time: str
    kind: Kind
    run: str
    round: int
    purpose: str
    detail: str
    sha256: str = ""

    @property
    def said(self) -> tuple[int | str, ...]:
        """All but the hash."""
        return (
            *(self.number, self.time, self.kind, self.run),
            *(self.round, self.purpose, self.detail),
        )

    def chained(self, previous: str) -> str:
        text = json.dumps([previous, *self.said], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Chain:
    """Rows and payloads. Several processes may hold one file, several threads one chain."""

    def __init__(
        self, path: Path, connection: type[sqlite3.Connection], *, synced: bool = True
    ) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._db = opened(path, synced=synced, threads=True, factory=connection)
        except (OSError, sqlite3.Error) as error:
            raise self._unreadable(error) from error

    def begin(self, first_detail: str) -> None:
        """Makes the tables and the first row in an empty file; ``DataError`` where the file is
        something else."""
        with self.change():
            (mark,) = self._one("PRAGMA application_id")
            (tables,) = self._one("SELECT COUNT(*) FROM sqlite_master")
            if tables and mark != _MARK:
                raise DataError(
                    f"{self.path} is a database, but no privacy ledger",
                    way_out="Choose another file",
                )
            if not tables:
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self.append("opened", "", 0, "", first_detail)

    def append(self, kind: Kind, run: str, round: int, purpose: str, detail: str) -> None:
        """Inside ``change`` only."""
        last = self._one("SELECT number, sha256 FROM rows ORDER BY number DESC LIMIT 1")
        number, previous = last or (0, "")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = Row(number + 1, now, kind, run, round, purpose, detail)
        self._db.execute(
            "INSERT INTO rows VALUES (?,?,?,?,?,?,?,?)", (*row.said, row.chained(previous))
        )

    def detail(self, kind: Kind, run: str, round: int, purpose: str) -> str | None:
        row = self._one(
            "SELECT detail FROM rows WHERE kind=? AND run=? AND round=? AND purpose=?",
            (kind, run, round, purpose),
        )
        return None if row is None else str(row[0])

    def last(self, kind: Kind, run: str, purpose: str) -> str | None:
        """The detail of a run's latest such row, of whichever round."""
        row = self._one(
            "SELECT detail FROM rows WHERE kind=? AND run=? AND purpose=? "
            "ORDER BY number DESC LIMIT 1",
            (kind, run, purpose),
        )
        return None if row is None else str(row[0])

    def reserved(self, run: str | None) -> list[tuple[str, int]]:
        """Each event that was charged, and how often; of one run, or of all."""
        return self._all(
            "SELECT detail, COUNT(*) FROM rows WHERE kind='reserved' AND (run=? OR ?) "
            "GROUP BY detail",
            (run, run is None),
        )

    def keep(self, run: str, round: int, purpose: str, payload: bytes) -> None:
        """Inside ``change`` only."""
        self._db.execute("INSERT INTO payloads VALUES (?,?,?,?)", (run, round, purpose, payload))

    def kept(self, run: str, round: int, purpose: str) -> bytes | None:
        row = self._one(
            "SELECT payload FROM payloads WHERE run=? AND round=? AND purpose=?",
            (run, round, purpose),
        )
        return None if row is None else bytes(row[0])

    def drop(self, run: str) -> None:
        with self.change():
            self._db.execute("DELETE FROM payloads WHERE run=?", (run,))

    def head(self) -> Head:
        return Head(*self._one("SELECT number, sha256 FROM rows ORDER BY number DESC LIMIT 1"))

    def rows(self) -> list[Row]:
        return [Row(*row) for row in self._all("SELECT * FROM rows ORDER BY number")]

    def check(self) -> list[Row]:
        """All rows, if each follows from the one before; ``CheckFailed`` names the first that does
        not."""
        previous, reserved = "", set()
        rows = self.rows()
        for number, row in enumerate(rows, 1):
            key = (row.run, row.round, row.purpose)
            sound = row.number == number and row.sha256 == row.chained(previous)
            sound = sound and (row.kind == "opened") == (number == 1)
            if not sound or (row.kind == "stored" and key not in reserved):
                raise CheckFailed(
                    f"row {row.number} of the privacy ledger {self.path} does not follow from the "
                    f"rows before it"
                )
            reserved.add(key)
            previous = row.sha256
        if not rows:
            raise CheckFailed(f"the privacy ledger {self.path} has lost its rows")
        return rows

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction. Where it cannot be written, nothing of it happened."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise RunAborted(
                    f"the privacy ledger {self.path} cannot be written ({error})",
                    "a release must be on disk before it is sent",
                    "Check the disk; nothing was sent",
                ) from error

    def close(self) -> None:
        self._db.close()

    def _one(self, query: str, values: tuple[Any, ...] = ()) -> Any:
        found = self._all(query, values)
        return found[0] if found else None

    def _all(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path} cannot be read as a privacy ledger ({error})",
            way_out="Choose another file, or restore this one from a backup",
        )


def recorded(path: Path) -> tuple[list[Row], dict[tuple[str, int, str], str]]:
    """A ledger file as it lies there, unchecked and unchanged: its rows, and the digest of each
    answer it keeps. ``DataError`` where it cannot be read."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = [Row(*row) for row in db.execute("SELECT * FROM rows ORDER BY number")]
            payloads = db.execute("SELECT run, round, purpose, payload FROM payloads").fetchall()
        finally:
            db.close()
        return rows, {
            (run, at, why): hashlib.sha256(bytes(payload)).hexdigest()
            for run, at, why, payload in payloads
        }
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a privacy ledger ({error})") from error
