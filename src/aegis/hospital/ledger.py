"""The privacy ledger of one data set: what it has spent, ever, over all runs and statistics.

It is a file of its own at the hospital, and the hospital's is the only word that counts. A release
takes these steps, each on disk before the next begins:

    reserve   the cost is charged, or there is no room and the hospital abstains
    compute   the noised bytes
    store     they are kept; from now on they are what this question gets, and nothing else
    send      a repeated question gets the same bytes again

Nothing is ever refunded. A crash between reserve and store leaves a charge without bytes; as no
byte has left, the same reservation may compute once more, and only what is stored first is sent.
Every row carries the hash of the row before it, so a changed, removed or moved row is found when
the file is opened. A file cut short at its end is a valid shorter ledger: keep ``head`` somewhere
else (the audit log, the coordinator) and hand it in as ``witness``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from aegis.errors import BadInput, CheckFailed, DataError, RunAborted
from aegis.privacy.accounting import (
    Event,
    composed,
    epsilon_pld,
    epsilon_rdp,
    event_from_json,
    event_json,
    renyi,
)
from aegis.privacy.filters import Cap, enforced_epsilon

Kind: TypeAlias = Literal["opened", "reserved", "stored", "forgotten"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, run TEXT NOT NULL,
    round INTEGER NOT NULL, purpose TEXT NOT NULL, detail TEXT NOT NULL, sha256 TEXT NOT NULL,
    UNIQUE (kind, run, round, purpose));
CREATE TABLE IF NOT EXISTS payloads (
    sha256 TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Head:
    """How many rows there are, and the hash of the last."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Row:
    """``detail`` is the event of a reservation, the payload's hash where one was stored, and the
    data set's hash in the first row."""

    number: int
    time: str
    kind: Kind
    run: str
    round: int
    purpose: str
    detail: str
    sha256: str


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
    """Epsilons at ``delta``. The hospital enforces ``rdp``; ``pld`` is the figure to show."""

    rdp: float
    pld: float
    delta: float
    releases: int


class Ledger:
    """One open ledger file. Several processes may hold one; each change is one transaction."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db

    @classmethod
    def open(cls, path: Path, data_sha256: str, witness: Head | None = None) -> Ledger:
        """The ledger of the data set with this hash, new where there is no file.

        ``DataError`` where the file is no ledger, belongs to other data, has a broken chain, or
        does not contain the ``witness``.
        """
        ledger = cls(path, cls._connect(path))
        try:
            with ledger._change():
                for statement in _SCHEMA.split(";")[:-1]:
                    ledger._db.execute(statement)
                if ledger.head() is None:
                    if witness is not None:
                        raise DataError(
                            f"the privacy ledger {path} is empty",
                            f"{witness.rows} rows have been seen of it",
                            "Restore the file; without it the spending of these data is unknown",
                        )
                    ledger._append("opened", "", 0, "", data_sha256)
            ledger._refuse_if_broken(data_sha256, witness)
        except BaseException:
            ledger.close()
            raise
        return ledger
