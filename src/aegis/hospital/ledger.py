"""The privacy ledger of one data set: what it has spent, ever, over all runs and statistics.

It is a file of its own at the hospital, and only the hospital's word counts. A release takes these
steps, each on disk before the next begins:

    reserve   the cost is charged, or there is no room and the hospital abstains
    compute   the noised bytes
    store     they are kept; from now on this question gets them and nothing else
    send      a repeated question gets the same bytes again

Nothing is ever refunded. A crash between reserve and store leaves a charge without bytes; as no
byte has left, the same reservation may compute once more, and only what is stored is sent. Every
row carries the hash of the row before it, so a row that was changed, removed or moved is found when
the file is opened. A file cut short at its end is a valid shorter ledger: keep ``head`` somewhere
else too (the audit log, the coordinator), and hand it in as ``witness``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from aegis.errors import AegisError, CheckFailed, DataError, RunAborted
from aegis.privacy.accounting import (
    Event,
    composed,
    epsilon_of_curve,
    epsilon_pld,
    event_from_json,
    event_json,
    renyi,
)
from aegis.privacy.filters import Cap, enforced_epsilon

Kind: TypeAlias = Literal["opened", "reserved", "stored"]

_ROUNDING = 1e-9
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

    def chained(self, previous: str) -> str:
        text = json.dumps([previous, *astuple(self)[:-1]], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Reservation:
    """The charge stands. ``repeated`` says that it had been made before."""

    run: str
    round: int
    purpose: str
    event: Event
    repeated: bool


@dataclass(frozen=True)
class Exhausted:
    """There is no room: nothing was charged, and nothing may be sent."""

    reason: str
    spent: float
    cap: float


@dataclass(frozen=True)
class Spent:
    """Epsilons at ``delta``: ``rdp`` is what the hospital enforces, ``pld`` the figure to show."""

    rdp: float
    pld: float
    delta: float
    releases: int


class Ledger:
    """One open ledger file. Several processes may hold one; each change is one transaction."""

    _connection: type[sqlite3.Connection] = sqlite3.Connection

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, data_sha256: str, witness: Head | None = None) -> Ledger:
        """The ledger of the data set with this hash, new where there is no file.

        ``DataError`` where the file is no ledger, belongs to other data, has a broken chain, or
        lacks the ``witness``.
        """
        ledger = cls(path, _connected(path, cls._connection))
        try:
            ledger._begin(data_sha256)
            ledger._check_chain()
            ledger._check_origin(data_sha256, witness)
        except CheckFailed as error:
            ledger.close()
            way_out = "Restore the file from a backup; nothing is sent on a ledger like this"
            raise DataError(error.value, error.need, way_out) from error
        except (AegisError, sqlite3.Error):
            ledger.close()
            raise
        return ledger

    def reserve(
        self,
        run: str,
        round: int,
        purpose: str,
        event: Event,
        cap: Cap,
        run_cap: Cap | None = None,
    ) -> Reservation | Exhausted:
        """Charges ``event`` if all that was ever charged, with it, stays within ``cap``, and this
        run within ``run_cap`` (a plan fixed beforehand: exact where it is all Gaussian). On return
        the charge is on disk. Asked again, the same reservation holds and costs nothing;
        ``DataError`` where the event is another one."""
        written = event_json(event)
        with self._change():
            before = self._detail("reserved", run, round, purpose)
            if before is not None:
                if before != written:
                    raise DataError(
                        f"{purpose} of round {round} was reserved as {before}, not {written}",
                        "a reservation cannot be changed",
                    )
                return Reservation(run, round, purpose, event, repeated=True)
            curve = composed(self.events())
            if not cap.fits(curve + renyi(event)):
                spent = epsilon_of_curve(curve, cap.delta)
                after = epsilon_of_curve(curve + renyi(event), cap.delta)
                return _exhausted("these data have", spent, after, cap)
            if run_cap is not None:
                own = self.events(run)
                after = enforced_epsilon([*own, event], run_cap.delta)
                if after > run_cap.epsilon * (1 + _ROUNDING):
                    spent = enforced_epsilon(own, run_cap.delta)
                    return _exhausted(f"the run {run} has", spent, after, run_cap)
            self._append("reserved", run, round, purpose, written)
        return Reservation(run, round, purpose, event, repeated=False)

    def store(self, run: str, round: int, purpose: str, payload: bytes) -> None:
        """Keeps the bytes before they are sent. The same bytes again change nothing; other bytes
        for one question, or bytes without a reservation, are a ``DataError``."""
        digest = hashlib.sha256(payload).hexdigest()
        with self._change():
            if self._detail("reserved", run, round, purpose) is None:
                raise DataError(
                    f"{purpose} of round {round} was never reserved", "a release is charged first"
                )
            stored = self._detail("stored", run, round, purpose)
            if stored == digest:
                return
            if stored is not None:
                raise DataError(
                    f"{purpose} of round {round} has an answer, and these are other bytes",
                    "one question gets one answer",
                    "Send what is stored",
                )
            self._append("stored", run, round, purpose, digest)
            self._db.execute(
                "INSERT INTO payloads VALUES (?,?,?,?)", (run, round, purpose, payload)
            )

    def payload(self, run: str, round: int, purpose: str) -> bytes | None:
        """The stored bytes, or None where nothing was stored. ``DataError`` where they are damaged
        or were forgotten: then nothing may be sent, as other bytes would be a second release."""
        with self._reading():
            digest = self._detail("stored", run, round, purpose)
            if digest is None:
                return None
            found = self._db.execute(
                "SELECT payload FROM payloads WHERE run=? AND round=? AND purpose=?",
                (run, round, purpose),
            ).fetchone()
        if found is None or hashlib.sha256(found[0]).hexdigest() != digest:
            raise DataError(f"the answer to {purpose} of round {round} is no longer there")
        return bytes(found[0])

    def forget(self, run: str) -> None:
        """Drops the bytes of a run that has ended. The charges and hashes stay."""
        with self._change():
            self._db.execute("DELETE FROM payloads WHERE run=?", (run,))

    def events(self, run: str | None = None) -> list[Event]:
        """Everything charged, or what one run was charged, in no particular order."""
        with self._reading():
            counted = self._db.execute(
                "SELECT detail, COUNT(*) FROM rows WHERE kind='reserved' AND (run=? OR ?) "
                "GROUP BY detail",
                (run, run is None),
            ).fetchall()
        return [e for detail, n in counted for e in [event_from_json(detail)] * n]

    def spent(self, delta: float, run: str | None = None) -> Spent:
        """What was charged in all, or to one run. Imports dp-accounting (1.5 s) where there is
        anything to count."""
        events = self.events(run)
        rdp = epsilon_of_curve(composed(events), delta)
        return Spent(rdp, epsilon_pld(events, delta), delta, len(events))

    def head(self) -> Head:
        with self._reading():
            rows = self._db.execute("SELECT number, sha256 FROM rows ORDER BY number DESC LIMIT 1")
            return Head(*rows.fetchone())

    def rows(self) -> list[Row]:
        with self._reading():
            return [Row(*row) for row in self._db.execute("SELECT * FROM rows ORDER BY number")]

    def verify(self) -> Head:
        """The head, if every row and every stored byte is what it was; else ``CheckFailed`` that
        names the first row that is not."""
        self._check_chain()
        for row in self.rows():
            if row.kind == "stored":
                with self._reading():
                    found = self._db.execute(
                        "SELECT payload FROM payloads WHERE run=? AND round=? AND purpose=?",
                        (row.run, row.round, row.purpose),
                    ).fetchone()
                if found is not None and hashlib.sha256(found[0]).hexdigest() != row.detail:
                    raise CheckFailed(f"row {row.number} of {self.path}: its bytes were changed")
        return self.head()

    def close(self) -> None:
        self._db.close()

    def _begin(self, data_sha256: str) -> None:
        with self._change():
            (mark,) = self._db.execute("PRAGMA application_id").fetchone()
            (tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            if tables and mark != _MARK:
                raise DataError(
                    f"{self.path} is a database, but no privacy ledger", "Choose another file"
                )
            if not tables:
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self._append("opened", "", 0, "", data_sha256)

    def _check_chain(self) -> None:
        previous, reserved = "", set()
        rows = self.rows()
        for number, row in enumerate(rows, 1):
            key = (row.run, row.round, row.purpose)
            sound = row.number == number and row.sha256 == row.chained(previous)
            sound = sound and (row.kind == "opened") == (number == 1)
            if not sound or (row.kind == "stored" and key not in reserved):
                raise CheckFailed(
                    f"row {row.number} of the privacy ledger {self.path} does not follow from the "
                    f"row before it"
                )
            if row.kind == "reserved":
                event_from_json(row.detail)
                reserved.add(key)
            previous = row.sha256
        if not rows:
            raise CheckFailed(f"the privacy ledger {self.path} has lost its rows")

    def _check_origin(self, data_sha256: str, witness: Head | None) -> None:
        rows = self.rows()
        if rows[0].detail != data_sha256:
            raise DataError(
                f"the privacy ledger {self.path} belongs to the data {rows[0].detail[:12]}, "
                f"not to {data_sha256[:12]}",
                "each data set has a ledger of its own",
                "Open the ledger of these data, or take a new file for new data",
            )
        if witness is None:
            return
        if len(rows) < witness.rows or rows[witness.rows - 1].sha256 != witness.sha256:
            raise DataError(
                f"the privacy ledger {self.path} has {len(rows)} rows and lacks what was seen of "
                f"it, {witness.rows} rows up to {witness.sha256[:12]}",
                "an older or altered copy would forget spending",
                "Restore the latest file",
            )

    def _detail(self, kind: Kind, run: str, round: int, purpose: str) -> str | None:
        row = self._db.execute(
            "SELECT detail FROM rows WHERE kind=? AND run=? AND round=? AND purpose=?",
            (kind, run, round, purpose),
        ).fetchone()
        return None if row is None else str(row[0])

    def _append(self, kind: Kind, run: str, round: int, purpose: str, detail: str) -> None:
        last = self._db.execute("SELECT number, sha256 FROM rows ORDER BY number DESC LIMIT 1")
        number, previous = last.fetchone() or (0, "")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = Row(number + 1, now, kind, run, round, purpose, detail)
        self._db.execute(
            "INSERT INTO rows VALUES (?,?,?,?,?,?,?,?)", (*astuple(row)[:-1], row.chained(previous))
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise DataError(
                    f"the privacy ledger {self.path} cannot be read ({error})"
                ) from error

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction. Where it cannot be written, nothing was charged and nothing is sent."""
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


def _connected(path: Path, connection: type[sqlite3.Connection]) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(
            path, isolation_level=None, timeout=30, check_same_thread=False, factory=connection
        )
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
    except (OSError, sqlite3.Error) as error:
        raise DataError(
            f"{path} cannot be opened as a privacy ledger ({error})",
            way_out="Choose another file, or restore this one",
        ) from error
    return db


def _exhausted(who: str, spent: float, after: float, cap: Cap) -> Exhausted:
    return Exhausted(
        f"{who} spent epsilon {spent:.4g} of {cap.epsilon:g} at delta {cap.delta:g}; this release "
        f"would make it {after:.4g}",
        spent,
        cap.epsilon,
    )
