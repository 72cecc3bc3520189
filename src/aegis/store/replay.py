"""What was taken from whom: no envelope is taken twice, and no number is given out twice.

Every sender numbers its envelopes, upwards and for ever. Here the receiver keeps (sender, number)
of each envelope until its expiry has passed, which makes (sender, run, round, attempt, stage,
number) unique too. The order of arrival is free: roads reorder, and each message names its round
and stage. Seen again with the same content an envelope is ``replayed``, with other content
``reused``, which only a copied key or a broken sender does.

Rows are forgotten when their expiry is well past. Should the clock be set back afterwards, old
envelopes would look fresh again; so the latest expiry ever forgotten stays as a floor, and what
does not expire after it is ``forgotten``: refused, because nobody can say that it is new.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from aegis.database import opened
from aegis.errors import BadInput, RunAborted

Verdict: TypeAlias = Literal["new", "replayed", "reused", "forgotten"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS taken (
    src TEXT NOT NULL, seq INTEGER NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL,
    attempt INTEGER NOT NULL, stage TEXT NOT NULL, expiry INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (src, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS taken_by_expiry ON taken (expiry);
CREATE TABLE IF NOT EXISTS floor (expiry INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS numbers (src TEXT PRIMARY KEY, reserved INTEGER NOT NULL);
"""
KEEP_AFTER_S = 600  # far more than any clock may be off
PRUNE_EVERY_S = 60
BLOCK = 1024


class Stamped(Protocol):
    """What of an envelope's header is looked at."""

    @property
    def src(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def stage(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def expiry(self) -> int: ...


class _File:
    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._db = opened(path, threads=True)
            self._db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"the replay guard {path} cannot be opened ({error})",
                "without it, nothing that arrives could be told from a repetition",
                "Restore the file; or give all keys new numbers: aegis keys rotate",
            ) from error

    def close(self) -> None:
        self._db.close()


class ReplayGuard(_File):
    """The receiver's side. Safe to share between threads; several processes may open one file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pruned = 0.0

    def judge(self, stamped: Stamped, digest: bytes, now: float) -> Verdict:
        """Is this envelope, of this SHA-256, new? Then it is taken, on disk, before this returns.
        ``RunAborted`` where the disk does not take it: then nobody may."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    verdict = self._found(stamped, digest)
                    if verdict == "new":
                        self._take(stamped, digest)
                        self._prune(now)
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:  # a full disk rolls back by itself
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise RunAborted(
                    f"the replay guard cannot be written ({error})", way_out="Check the disk"
                ) from error
            return verdict

    def _found(self, stamped: Stamped, digest: bytes) -> Verdict:
        row = self._db.execute(
            "SELECT digest FROM taken WHERE src=? AND seq=?", (stamped.src, stamped.seq)
        ).fetchone()
        if row is not None:
            return "replayed" if row[0] == digest else "reused"
        return "forgotten" if stamped.expiry <= self.floor else "new"

    @property
    def floor(self) -> int:
        """Envelopes that expire no later than this are refused. UTC seconds."""
        (floor,) = self._db.execute("SELECT COALESCE(MAX(expiry), 0) FROM floor").fetchone()
        return int(floor)

    def _take(self, stamped: Stamped, digest: bytes) -> None:
        row = (
            stamped.src,
            stamped.seq,
            stamped.run,
            stamped.round,
            stamped.attempt,
            stamped.stage,
            stamped.expiry,
            digest,
        )
        self._db.execute("INSERT INTO taken VALUES (?,?,?,?,?,?,?,?)", row)

    def _prune(self, now: float) -> None:
        if abs(now - self._pruned) < PRUNE_EVERY_S:
            return
        self._pruned = now
        past = int(now) - KEEP_AFTER_S
        (latest,) = self._db.execute(
            "SELECT MAX(expiry) FROM taken WHERE expiry < ?", (past,)
        ).fetchone()
        if latest is None:
            return
        floor = max(int(latest), self.floor)
        self._db.execute("DELETE FROM floor")
        self._db.execute("INSERT INTO floor VALUES (?)", (floor,))
        self._db.execute("DELETE FROM taken WHERE expiry <= ?", (floor,))

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM taken").fetchone()[0])


class Sequence(_File):
    """The sender's side: numbers that only ever grow, also over restarts.

    Numbers are reserved on disk in blocks, so most cost nothing; a restart leaves a gap. A block
    begins no earlier than the microseconds since 1970, so a sender restored from an old backup does
    not give out old numbers again.
    """

    def __init__(self, path: Path, src: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self._src, self._clock = src, clock
        self._next = self._end = 0

    def next(self) -> int:
        with self._lock:
            if self._next >= self._end:
                self._reserve()
            number, self._next = self._next, self._next + 1
            return number

    def _reserve(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            row = self._db.execute(
                "SELECT reserved FROM numbers WHERE src=?", (self._src,)
            ).fetchone()
            start = max(row[0] if row else 1, int(self._clock() * 1e6))
            self._db.execute(
                "INSERT OR REPLACE INTO numbers VALUES (?,?)", (self._src, start + BLOCK)
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise RunAborted(
                f"no number for a message can be reserved ({error})", way_out="Check the disk"
            ) from error
        self._next, self._end = start, start + BLOCK
