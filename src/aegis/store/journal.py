"""The journal: one SQLite file in which the coordinator saves before it acts.

Each run has one current state, its list of events and its last command. A save writes the state
and the events that led to it in one transaction, synced to disk (WAL, synchronous=FULL); whoever
asks for a run afterwards finds the last saved state and exactly the events that belong to it.
The file may stand for a PostgreSQL server (``aegis.store.postgres``), which is sent the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from aegis import codec, states
from aegis.database import CACHE, write_ahead
from aegis.errors import BadInput, DataError, RunAborted
from aegis.events import Event, as_json
from aegis.states import State
from aegis.store.format import COLUMNS, made_or_checked
from aegis.store.postgres import Server, server_of
from aegis.store.turns import turn_at


@dataclass(frozen=True)
class StoredModel:
    """``card`` is text as it was stored; ``number`` counts the versions of a data root."""

    number: int
    sha256: str
    run: str
    task: str
    created: str
    card: str


@dataclass(frozen=True)
class StoredRun:
    run: str
    task: str
    plan_json: str
    options: dict[str, Any]
    started: str
    state: State
    command: str | None


class Saving(Protocol):
    """What the loop needs of a journal."""

    def save(self, run: str, state: State, events: Sequence[Event]) -> None: ...

    def command(self, run: str) -> str | None: ...


class Forgetful:
    """Keeps nothing: for throw-away federations inside one computation."""

    def save(self, run: str, state: State, events: Sequence[Event]) -> None:
        pass

    def command(self, run: str) -> str | None:
        return None


class Journal:
    """The coordinator's database. Raises ``BadInput`` where the file is no database of ours, or one
    of another format, ``RunAborted`` where a server does not answer."""

    _db: sqlite3.Connection | Server
    _turn: threading.Lock

    def __init__(self, path: Path) -> None:
        self._turn = turn_at(path)
        server = server_of(path)
        self._db = _opened(path) if server is None else server

    @classmethod
    def reading(cls, path: Path) -> Journal:
        """A journal to look at, also on a disk that cannot be written."""
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            return cls(path)
        journal = cls.__new__(cls)
        journal._turn = turn_at(path)
        if (server := server_of(path)) is not None:
            journal._db = server
            return journal
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        try:
            journal._db = db = sqlite3.connect(uri, uri=True, isolation_level=None)
            made_or_checked(db, path)
        except sqlite3.Error as error:
            raise _unopened(path, error) from error
        return journal

    def open_run(self, run: str, task: str, plan_json: str, sha256: str, options: object) -> None:
        row = (run, task, plan_json, sha256, json.dumps(options), _now())
        with self._transaction():
            self._db.execute(
                "INSERT INTO runs (run, task, plan, plan_sha256, options, started)"
                " VALUES (?,?,?,?,?,?)",
                row,
            )

    def save(self, run: str, state: State, events: Sequence[Event]) -> None:
        data = _marked(codec.dumps(state))
        now = _now()
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET state=?, state_name=?, saved=? WHERE run=?",
                (data, states.name(state), now, run),
            )
            if events:
                self._append(run, events, now)

    def tell(self, run: str, events: Sequence[Event]) -> None:
        """Events that change no state."""
        with self._transaction():
            self._append(run, events, _now())

    def _append(self, run: str, events: Iterable[Event], now: str) -> None:
        last = self._db.execute(
            "SELECT number, time FROM events WHERE run=? ORDER BY number DESC LIMIT 1", (run,)
        ).fetchone()
        number, before = last or (0, "")
        now = max(now, before)  # a clock may go back, what happened does not
        rows, history = [], []
        for event in events:
            number += 1
            fields = as_json(event)
            rows.append((run, number, now, fields["event"], json.dumps(fields)))
            if fields["event"] == "RoundClosed":
                history.append((run, fields["round"], json.dumps(fields["metrics"])))
        self._db.executemany("INSERT INTO events VALUES (?,?,?,?,?)", rows)
        self._db.executemany(
            "INSERT INTO training_history VALUES (?,?,?)"
            " ON CONFLICT (run, round) DO UPDATE SET metrics=excluded.metrics",
            history,
        )

    def command(self, run: str) -> str | None:
        rows = self._rows("SELECT command FROM runs WHERE run=?", (run,))
        return rows[0][0] if rows else None

    def give_command(self, run: str, command: str | None) -> None:
        with self._transaction():
            done = self._db.execute("UPDATE runs SET command=? WHERE run=?", (command, run))
        if done.rowcount == 0:
            raise BadInput(f"no run is called {run}", way_out="See: aegis report --list")

    def run(self, run: str) -> StoredRun:
        rows = self._rows(
            "SELECT task, plan, options, started, state, command FROM runs WHERE run=?", (run,)
        )
        if not rows:
            known = ", ".join(self.runs()[:5]) or "none yet"
            raise BadInput(f"no run is called {run}", f"the latest are: {known}")
        task, plan, options, started, data, command = rows[0]
        state = states.Idle() if data is None else _state(run, data)
        with _whole():
            return StoredRun(run, task, plan, json.loads(options), started, state, command)

    def runs(self) -> list[str]:
        """Run names, latest first."""
        return [
            run for (run,) in self._rows("SELECT run FROM runs ORDER BY started DESC, run DESC")
        ]

    def events(self, run: str, after: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
        """(number, UTC time, event) in order."""
        found = self._rows(
            "SELECT number, time, event FROM events WHERE run=? AND number>? ORDER BY number",
            (run, after),
        )
        with _whole():
            return [(number, time, json.loads(event)) for number, time, event in found]

    def last_event(self, run: str) -> int:
        """The number of its last event; 0 before the first."""
        ((found,),) = self._rows("SELECT max(number) FROM events WHERE run=?", (run,))
        return int(found or 0)

    def row(self, run: str) -> dict[str, Any]:
        """A run's row as it is stored, but for its command, which is nobody's fact."""
        names = COLUMNS["runs"][:-1]
        rows = self._rows(f"SELECT {', '.join(names)} FROM runs WHERE run=?", (run,))  # noqa: S608
        return dict(zip(names, rows[0], strict=True)) if rows else {}

    def digest(self, run: str) -> str:
        """SHA-256 of a run's row, its state included."""
        row = self.row(run)
        state = hashlib.sha256(row.pop("state", None) or b"").hexdigest()
        text = json.dumps([state, row], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def history(self, run: str) -> list[tuple[int, str]]:
        """(round, metrics as JSON) in order."""
        return self._rows(
            "SELECT round, metrics FROM training_history WHERE run=? ORDER BY round", (run,)
        )

    def add_model(self, sha256: str, run: str, task: str, card: str) -> None:
        with self._transaction():
            self._db.execute(
                "INSERT INTO models (number, sha256, run, task, created, card)"
                " SELECT COALESCE(MAX(number), 0) + 1, ?, ?, ?, ?, ? FROM models WHERE TRUE"
                " ON CONFLICT DO NOTHING",
                (sha256, run, task, _now(), card),
            )

    def models(self) -> list[StoredModel]:
        """Every version, oldest first."""
        found = self._rows(
            "SELECT number, sha256, run, task, created, card FROM models ORDER BY number"
        )
        return [StoredModel(*row) for row in found]

    def add_promotion(self, *row: str | int) -> None:
        """(kind, task, version, sha256, person, key, signature, reason)."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO promotions (number, kind, task, version, sha256, person, key,"
                " signature, reason, time) SELECT COALESCE(MAX(number), 0) + 1,"
                " ?, ?, ?, ?, ?, ?, ?, ?, ? FROM promotions",
                (*row, _now()),
            )

    def promotions(self) -> list[tuple[Any, ...]]:
        """(number, kind, task, version, sha256, person, key, signature, reason, time), oldest
        first."""
        return self._rows("SELECT * FROM promotions ORDER BY number")

    def close(self) -> None:
        self._db.close()

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with _whole():
            return self._db.execute(statement, values).fetchall()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db, self._turn)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, timeout=30)
    except (sqlite3.Error, OSError) as error:
        raise _unopened(path, error) from error
    try:
        db.execute("PRAGMA synchronous=FULL")
        db.execute(CACHE)
        made_or_checked(db, path)
        write_ahead(db)
    except sqlite3.Error as error:
        db.close()
        raise _unopened(path, error) from error
    except BadInput:
        db.close()
        raise
    return db


class _Transaction:
    def __init__(self, db: sqlite3.Connection | Server, turn: threading.Lock) -> None:
        self._db, self._turn = db, turn

    def __enter__(self) -> None:
        self._turn.acquire()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._turn.release()
            if isinstance(error, sqlite3.OperationalError):
                raise _unwritten(error) from error
            raise

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            self._end(kind, error)
        finally:
            self._turn.release()

    def _end(self, kind: type[BaseException] | None, error: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
                return
            if self._db.in_transaction:  # a full disk rolls back by itself
                self._db.execute("ROLLBACK")
        except sqlite3.DatabaseError as failed:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _unwritten(failed) from failed
        if isinstance(error, sqlite3.OperationalError):
            raise _unwritten(error) from error


def _marked(data: bytes) -> bytes:
    """A state with its SHA-256 behind it: a byte that a disk changed would be another model."""
    return data + hashlib.sha256(data).digest()


def _state(run: str, data: bytes) -> State:
    """States of before this mark are read too; in one that has it and is damaged, the mark is a
    byte too many."""
    whole = data[:-32]
    marked = hashlib.sha256(whole).digest() == data[-32:]
    try:
        state: State = codec.loads(whole if marked else data, states.CLASSES)
    except DataError as error:
        raise DataError(
            f"the saved state of {run} cannot be read",
            error.value if marked else "the database is damaged: it is not what was written",
            "Restore a backup: aegis backup restore --force",
        ) from error
    return state


@contextmanager
def _whole() -> Iterator[None]:
    """What a damaged page gives is an error of ours, whoever looks at it."""
    try:
        yield
    except (sqlite3.ProgrammingError, DataError):
        raise
    except (sqlite3.Error, ValueError) as error:
        raise DataError(
            f"the journal cannot be read ({str(error)[:120]})",
            "its database is damaged, or its disk is",
            "Restore a backup: aegis backup restore --force",
        ) from error


def _unwritten(error: sqlite3.Error) -> RunAborted:
    return RunAborted(
        f"the journal cannot be written ({error})", way_out="Check the disk, then resume"
    )


def _unopened(path: Path, error: Exception) -> BadInput:
    if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return BadInput(
            f"the database {path} cannot be opened ({error})",
            "its folder is read-only here",
            "Set AEGIS_HOME to a folder of yours",
        )
    if isinstance(error, OSError) or "disk" in str(error):
        return BadInput(
            f"the database {path} cannot be opened ({error})",
            way_out="Check the disk and its free space, then repeat the command",
        )
    return BadInput(
        f"the database {path} cannot be opened ({error})",
        way_out="Restore it: aegis backup restore; or move it away, or set AEGIS_HOME elsewhere",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
