"""The format of a data root: what wrote it, and how an older one becomes the present one.

The number lies in the database's own header (SQLite's ``user_version``). A new root is made in the
present format; an older one is never changed by chance, it is refused with the command that
migrates it; one that a newer Aegis wrote is refused.

    1   one row per model file (roots without a number)
    2   one row per run that stored a model, numbered; promotions
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aegis.errors import BadInput, RunAborted
from aegis.store.home import Home
from aegis.store.postgres import pointer, server_of

FORMAT = 2

MODELS = """CREATE TABLE IF NOT EXISTS models (
    number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL,
    created TEXT NOT NULL, card TEXT NOT NULL, UNIQUE (run, sha256))"""
PROMOTIONS = """CREATE TABLE IF NOT EXISTS promotions (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL,
    sha256 TEXT NOT NULL, person TEXT NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL,
    reason TEXT NOT NULL, time TEXT NOT NULL)"""
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, task TEXT NOT NULL, plan TEXT NOT NULL, plan_sha256 TEXT NOT NULL,
    options TEXT NOT NULL, started TEXT NOT NULL, state_name TEXT, state BLOB, saved TEXT,
    command TEXT)""",
    """CREATE TABLE IF NOT EXISTS events (
    run TEXT NOT NULL REFERENCES runs(run), number INTEGER NOT NULL, time TEXT NOT NULL,
    kind TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (run, number))""",
    """CREATE TABLE IF NOT EXISTS training_history (
    run TEXT NOT NULL REFERENCES runs(run), round INTEGER NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (run, round))""",
    MODELS,
    PROMOTIONS,
)

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "runs": (
        *("run", "task", "plan", "plan_sha256", "options", "started", "state_name", "state"),
        *("saved", "command"),
    ),
    "events": ("run", "number", "time", "kind", "event"),
    "training_history": ("run", "round", "metrics"),
    "models": ("number", "sha256", "run", "task", "created", "card"),
    "promotions": (
        *("number", "kind", "task", "version", "sha256", "person", "key", "signature"),
        *("reason", "time"),
    ),
}


def for_postgres() -> list[str]:
    """The same tables for a PostgreSQL server, in the same order of letters; and one that says
    whose journal this is."""
    words = (("INTEGER", "BIGINT"), ("BLOB", "BYTEA"), (" TEXT", ' TEXT COLLATE "C"'))
    found = ["CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)"]
    for statement in SCHEMA:
        for ours, theirs in words:
            statement = statement.replace(ours, theirs)
        found.append(statement)
    return found


def made_or_checked(db: sqlite3.Connection, path: Path) -> None:
    """Give an empty database its tables. Raises ``BadInput`` for a root of another format."""
    found = format_of(db)
    if found == 0:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            db.execute(statement)
        db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")
    elif found < FORMAT:
        raise BadInput(
            f"{path.parent} is a data root of format {found}",
            f"this version of Aegis reads format {FORMAT}",
            "Migrate it: aegis migrate (it keeps a copy of the database)",
        )
    elif found > FORMAT:
        raise BadInput(
            f"{path.parent} is a data root of format {found}, written by a newer Aegis",
            f"this version reads format {FORMAT}",
            "Install the newer Aegis, or restore a backup: aegis backup list",
        )


def format_of(db: sqlite3.Connection) -> int:
    """0 for a database without our tables."""
    (number,) = db.execute("PRAGMA user_version").fetchone()
    if number == 0 and db.execute("SELECT 1 FROM sqlite_master WHERE name='runs'").fetchone():
        return 1
    return int(number)


@dataclass(frozen=True)
class Migrated:
    """``copy`` is the database as it was; None where there was nothing to do."""

    before: int
    after: int
    copy: Path | None


def migrate(home: Home) -> Migrated:
    """Bring a data root to the present format, all or nothing, with a copy of what was there.

    Raises ``BadInput`` where there is no root or a newer Aegis wrote it, ``RunAborted`` where the
    disk does not let it; the root is then what it was."""
    if not home.database.exists():
        raise BadInput(f"{home.root} holds no database", way_out="Set AEGIS_HOME to its data root")
    if pointer(home.database) is not None:
        if (server := server_of(home.database)) is not None:
            server.close()  # it has but one format so far, and opening it checked that
        return Migrated(FORMAT, FORMAT, None)
    try:
        db = sqlite3.connect(home.database, isolation_level=None, timeout=30)
        try:
            before = format_of(db)
            if before > FORMAT:
                made_or_checked(db, home.database)
            if before in (0, FORMAT):
                made_or_checked(db, home.database)
                return Migrated(before or FORMAT, FORMAT, None)
            copy = _copied(db, home, before)
            db.execute("BEGIN EXCLUSIVE")
            try:
                for step in range(before, FORMAT):
                    _STEPS[step](db)
                db.execute(f"PRAGMA user_version={FORMAT}")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return Migrated(before, FORMAT, copy)
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        raise RunAborted(
            f"{home.root} cannot be migrated ({error})",
            "it is what it was",
            "Stop what uses it, check the disk, then repeat: aegis migrate",
        ) from error


def _copied(db: sqlite3.Connection, home: Home, before: int) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = home.root / "backups" / f"format-{before}-{now}.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        target = sqlite3.connect(temporary)
        try:
            db.backup(target)
        finally:
            target.close()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _numbered_models(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE models RENAME TO models_1")
    db.execute(MODELS)
    db.execute(
        "INSERT INTO models (sha256, run, task, created, card)"
        " SELECT sha256, run, task, created, card FROM models_1 ORDER BY created, sha256"
    )
    db.execute("DROP TABLE models_1")
    db.execute(PROMOTIONS)


_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _numbered_models}
