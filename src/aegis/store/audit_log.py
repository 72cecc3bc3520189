"""The audit log: what happened, in an order that nobody can change afterwards.

Each run has a log of its own, and what belongs to no run goes into the coordinator's. An entry is
an event as canonical JSON (digests and counts; never an update, never a row) with its number and
its time, kept byte for byte; the entries of a log are the leaves of a Merkle tree, and checkpoints
sign its root. On return from ``append`` or ``witnessed`` all of it is synced to disk (SQLite, WAL).

A run's entries are the events of its journal, under the same numbers. ``enter`` skips what it has
and refuses gaps, and an entry's bytes follow from the journal and the entry before alone. So
whatever is killed between the journal and the log, entering the journal again completes the log to
the very bytes it would have had: no event is lost and none is doubled. As the journal is synced
already, ``enter`` is not: a killed process loses none of it, and after a power cut it is entered
again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from aegis.database import CACHE, write_ahead
from aegis.errors import CheckFailed, DataError, RunAborted
from aegis.events import Event, as_json
from aegis.identity.keys import SigningKey
from aegis.store.checkpoint import Checkpoint, digest, origin
from aegis.store.merkle import Tree, leaf_hash
from aegis.store.note import Note, Signature, signed

Record: TypeAlias = tuple[int, str, Mapping[str, Any]]
"""Number, UTC time and event, as the journal has them."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    run TEXT NOT NULL, number INTEGER NOT NULL, entry BLOB NOT NULL, leaf BLOB NOT NULL,
    PRIMARY KEY (run, number));
CREATE TABLE IF NOT EXISTS checkpoints (
    run TEXT NOT NULL, number INTEGER NOT NULL, note TEXT NOT NULL, PRIMARY KEY (run, number));
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """``leaf`` is the hash under which the bytes stand in the tree."""

    number: int
    data: bytes
    leaf: bytes


@dataclass
class _Grown:
    tree: Tree = field(default_factory=Tree)
    time: str = ""


class AuditLog:
    """One file with all logs of a coordinator. Several processes may hold it."""

    def __init__(self, path: Path, clock: Callable[[], str] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open(path, f"{path.absolute().as_uri()}?mode=rwc", clock)
        with self._told():
            write_ahead(self._db)
            self._db.executescript(_SCHEMA)

    @classmethod
    def reading(cls, path: Path) -> AuditLog:
        """A log to look at; ``DataError`` where there is none."""
        log = cls.__new__(cls)
        log._open(path, f"{path.absolute().as_uri()}?mode=ro", None)
        return log

    def _open(self, path: Path, uri: str, clock: Callable[[], str] | None) -> None:
        self.path, self._clock = path, clock or _now
        self._grown: dict[str, _Grown] = {}
        with self._told():
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
            self._db.execute(CACHE)

    def __call__(self, event: Event) -> None:
        """As a listener."""
        self.append(event)

    def append(self, event: Event, run: str | None = None) -> int:
        """Enter one event, in its own run's log or in another's; returns its number."""
        log = event.run if run is None else run
        with self._change():
            grown = self._synced(log)
            number = len(grown.tree) + 1
            self._insert(log, grown, [(number, self._clock(), as_json(event))])
        return number

    def enter(self, run: str, records: Iterable[Record]) -> None:
        """Enter what a journal holds, all or nothing. ``CheckFailed`` where events are missing
        between the log and the records."""
        with self._change("NORMAL"):
            grown = self._synced(run)
            size = len(grown.tree)
            new = [record for record in records if record[0] > size]
            if new and new[0][0] != size + 1:
                raise CheckFailed(
                    f"event {new[0][0]} of {run} cannot be entered: the log ends at {size}",
                    "a log has no gaps",
                )
            if new:
                self._insert(run, grown, new)

    def size(self, run: str) -> int:
        return len(self._synced(run).tree)

    def root(self, run: str, size: int | None = None) -> bytes:
        return self._synced(run).tree.root(size)

    def inclusion(self, run: str, number: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that entry ``number`` is in the log of ``size`` entries."""
        return self._synced(run).tree.inclusion(number - 1, size)

    def consistency(self, run: str, since: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that the log of ``size`` entries continues the log of ``since``."""
        return self._synced(run).tree.consistency(since, size)

    def entries(self, run: str, after: int = 0) -> list[Entry]:
        found = self._all(
            "SELECT number, entry, leaf FROM entries WHERE run=? AND number>? ORDER BY number",
            (run, after),
        )
        return [Entry(number, _bytes(data), _bytes(leaf)) for number, data, leaf in found]

    def search(
        self, run: str | None, parts: Sequence[str] = (), most: int = 50, skip: int = 0
    ) -> tuple[int, list[tuple[str, Entry]]]:
        """Entries of one log or of all (None) whose text holds each of ``parts``, whatever their
        case, newest first: how many there are, and ``most`` of them."""
        asked = "".join(" AND instr(lower(CAST(entry AS TEXT)), ?) > 0" for _ in parts)
        where = ("1=1" if run is None else "run=?") + asked
        values = (*(() if run is None else (run,)), *(part.lower() for part in parts))
        ((total,),) = self._all(f"SELECT count(*) FROM entries WHERE {where}", values)  # noqa: S608
        found = self._all(
            f"SELECT run, number, entry, leaf FROM entries WHERE {where}"  # noqa: S608
            " ORDER BY run DESC, number DESC LIMIT ? OFFSET ?",
            (*values, most, skip),
        )
        rows = [
            (run, Entry(number, _bytes(data), _bytes(leaf))) for run, number, data, leaf in found
        ]
        return int(total), rows

    def runs(self) -> list[str]:
        """Every log there is, by name; the coordinator's own is called ''."""
        found = self._all("SELECT run FROM entries UNION SELECT run FROM checkpoints ORDER BY run")
        return [run for (run,) in found]

    def checkpoint(self, run: str, key: SigningKey) -> Note:
        """Where the log stands, signed; not kept before it is ``witnessed``. A log that has not
        grown gives the checkpoint it has."""
        _, last = self._last(run)
        tree = self._synced(run).tree
        if last is not None and Checkpoint.parse(last.text).size == len(tree):
            return last
        previous = b"" if last is None else digest(last)
        now = Checkpoint(origin(run), len(tree), tree.root(), previous)
        return signed(now.text, now.origin, key)

    def witnessed(self, run: str, note: Note, cosignatures: Sequence[Signature] = ()) -> Note:
        """Keep a checkpoint with these cosignatures (their verification is the caller's), or add
        them to the last one; ``CheckFailed`` where it does not follow from the last."""
        with self._change():
            number, last = self._last(run)
            now = Checkpoint.parse(note.text)
            if last is not None and last.text == note.text:
                note = last
            elif now.previous == (b"" if last is None else digest(last)):
                number += 1
            else:
                raise CheckFailed(f"checkpoint {number + 1} of {run} does not follow the last one")
            known = {name for name, _ in note.signatures}
            new = tuple(one for one in cosignatures if one[0] not in known)
            note = Note(note.text, note.signatures + new)
            self._db.execute(
                "INSERT OR REPLACE INTO checkpoints VALUES (?,?,?)", (run, number, str(note))
            )
        return note

    def checkpoints(self, run: str) -> list[str]:
        """Signed notes, oldest first."""
        found = self._all("SELECT note FROM checkpoints WHERE run=? ORDER BY number", (run,))
        return [str(note) for (note,) in found]

    def close(self) -> None:
        self._db.close()

    def _last(self, run: str) -> tuple[int, Note | None]:
        """The last checkpoint that was kept, and how many there are."""
        found = self._all(
            "SELECT number, note FROM checkpoints WHERE run=? ORDER BY number DESC LIMIT 1", (run,)
        )
        return (found[0][0], Note.parse(found[0][1])) if found else (0, None)

    def _insert(self, run: str, grown: _Grown, records: Sequence[Record]) -> None:
        rows, time = [], grown.time
        for number, told, fields in records:
            time = max(time, told)  # a clock may go back, a log does not
            data = entry_bytes(number, time, fields)
            rows.append((run, number, data, leaf_hash(data)))
        self._db.executemany("INSERT INTO entries VALUES (?,?,?,?)", rows)

    def _synced(self, run: str) -> _Grown:
        """The tree with everything that is in the file, whoever entered it."""
        grown = self._grown.setdefault(run, _Grown())
        new = self.entries(run, after=len(grown.tree))
        for entry in new:
            grown.tree.append(entry.leaf)
        if new:
            grown.time = str(json.loads(new[-1].data)["time"])
        return grown

    @contextmanager
    def _change(self, synchronous: str = "FULL") -> Iterator[None]:
        try:
            self._db.execute(f"PRAGMA synchronous={synchronous}")
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
                f"the audit log {self.path} cannot be written ({error})",
                "what happens must be on record",
                "Check the disk, then resume",
            ) from error

    def _all(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._told():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.path} cannot be read as an audit log ({error})",
                way_out="Restore it from a backup",
            ) from error


def entry_bytes(number: int, time: str, fields: Mapping[str, Any]) -> bytes:
    return canonical({**fields, "number": number, "time": time})


def canonical(document: Any) -> bytes:
    """The one way to write a JSON value: sorted, without spaces, in ASCII."""
    return _ENCODER.encode(document).encode("ascii")


def _bytes(value: object) -> bytes:
    """SQLite keeps whatever type was written; one that is none of ours has no bytes of ours."""
    return value if isinstance(value, bytes) else str(value).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
