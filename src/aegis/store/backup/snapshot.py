"""A data root at one moment, copied while a run goes on.

Databases are copied first and by SQLite itself, while this process holds the journal's write lock:
a run saves before it acts, so it cannot get further than its next save, and every copy is of the
same step or of what that step had already asked for. That is what a crash leaves too, and a run
resumes from it. Under the lock the copies are made in the order in which the parts rest on each
other: what witnesses saw, the log, the journal, the ledgers. All other files are written whole
once, and are read afterwards. A journal in a PostgreSQL server is copied into an SQLite file.

Private keys stay where they are unless they are asked for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis.errors import RunAborted
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import Checkpoint
from aegis.store.home import Home
from aegis.store.moving import copied_out, held_still
from aegis.store.note import Note
from aegis.store.postgres import pointer

LOCK_SECONDS = 60
_SQLITE = b"SQLite format 3\x00"
_SIDES = ("-wal", "-shm", "-journal", ".lock")
_KEY_NAMES = (".key", ".p12", ".pfx", ".token", ".code")
_SECRETS = ("keys.json", "accounts.json")  # of simulated hospitals; passwords of the XMPP road
_OPEN_KEYS = ("federation.json", "enrolments.json")  # what lies in a folder of keys and is public
_HEAD = 1 << 16
_STAYS = ("backups", "features")  # what images became can be made again, and is patients' own


@dataclass(frozen=True)
class Taken:
    """``source`` is where to read the bytes of ``path``, which is relative to the data root."""

    path: str
    source: Path
    mode: int


@dataclass
class Snapshot:
    """``logs`` says for each run how far its log reached: size and root, and those of the last
    checkpoint. ``folders`` have their modes; ``open_runs`` had not ended; ``left_out`` are private
    keys."""

    files: list[Taken] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)
    logs: dict[str, dict[str, Any]] = field(default_factory=dict)
    open_runs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@contextlib.contextmanager
def taken(home: Home, staging: Path, *, with_keys: bool = False) -> Iterator[Snapshot]:
    """The data root as it is now; ``staging`` holds copies of its databases meanwhile. Raises
    ``RunAborted`` where the disk is full or the journal is locked for a minute."""
    found = Snapshot()
    try:
        staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _still(home):
            for path in _databases(home):
                name = path.relative_to(home.root).as_posix()
                copy = staging / f"{len(found.files)}.db"
                _copied(path, copy)
                found.files.append(Taken(name, copy, _mode(path)))
        known = {one.path for one in found.files}
        for path in _others(home):
            name = path.relative_to(home.root).as_posix()
            if name in known:
                continue
            if not with_keys and is_private(path):
                found.left_out.append(name)
            else:
                found.files.append(Taken(name, path, _mode(path)))
        copies = {one.path: one.source for one in found.files}
        found.logs = _logs(copies.get("logs/audit.db"))
        for path in {home.root / one.path for one in found.files}:
            folder = path.parent
            found.folders[folder.relative_to(home.root).as_posix()] = _mode(folder)
        every = known | set(found.left_out) | {one.path for one in found.files}
        found.open_runs = _open(copies.get("federated_learning.db"), every)
        yield found
    except (sqlite3.Error, OSError) as error:
        raise RunAborted(
            f"the data root {home.root} cannot be copied ({error})",
            "backups that were made before are as they were",
            "Check the disk, then repeat the command",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_private(path: Path) -> bool:
    """Whether a file is, or holds, somebody's private key, password or token."""
    if path.name.endswith(".public.json"):
        return False
    if path.suffix in _KEY_NAMES or path.name in _SECRETS:
        return True
    if path.name == "federation.json" and path.parent.name == "federation":
        return True  # a hospital's road, with its password
    if path.parent.name == "keys" and path.name not in _OPEN_KEYS:
        return True  # the keys of consoles' tokens among them
    with open(path, "rb") as file:
        return b"PRIVATE KEY-----" in file.read(_HEAD)


@contextlib.contextmanager
def _still(home: Home) -> Iterator[None]:
    """The journal cannot be written meanwhile; nor can a run go beyond its next save."""
    if not home.database.exists():
        yield
        return
    if pointer(home.database) is not None:
        with held_still(home.database):
            yield
        return
    db = sqlite3.connect(home.database, isolation_level=None, timeout=LOCK_SECONDS)
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")
    finally:
        db.close()


def _databases(home: Home) -> list[Path]:
    """In the order in which one rests on the other."""
    first = [home.witnesses, home.audit_log, home.database]
    rest = [path for path in _others(home) if path not in first and _is_database(path)]
    return [path for path in first if path.exists()] + rest


def _is_database(path: Path) -> bool:
    if path.suffix not in (".db", ".sqlite"):
        return False
    with open(path, "rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _copied(path: Path, copy: Path) -> None:
    if pointer(path) is not None:
        copied_out(path, copy)
        return
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)
    try:
        target = sqlite3.connect(copy)
        try:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        finally:
            target.close()
    finally:
        source.close()


def _others(home: Home) -> list[Path]:
    """Every file but backups, what databases keep beside themselves, and what is half written."""
    found = []
    for folder, folders, names in os.walk(home.root):
        here = Path(folder)
        if here == home.root or here.parent == home.root / "hospitals":
            folders[:] = [name for name in folders if name not in _STAYS]
        folders[:] = sorted(name for name in folders if not (here / name).is_symlink())
        for name in sorted(names):
            path = here / name
            half = name.startswith(".") and name.endswith(".tmp")
            if not half and not name.endswith(_SIDES) and path.is_file() and not path.is_symlink():
                found.append(path)
    return found


def _logs(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    log = AuditLog.reading(path)
    try:
        found = {}
        for run in log.runs():
            notes = log.checkpoints(run)
            signed = Checkpoint.parse(Note.parse(notes[-1]).text) if notes else None
            found[run] = {
                "size": log.size(run),
                "root": log.root(run).hex(),
                "checkpoint": (
                    None if signed is None else {"size": signed.size, "root": signed.root.hex()}
                ),
            }
        return found
    finally:
        log.close()


def _open(path: Path | None, files: set[str]) -> list[str]:
    """Runs that have not ended, or whose log is not closed (their hospitals still have keys)."""
    if path is None:
        return []
    db = sqlite3.connect(path)
    try:
        rows = db.execute("SELECT run, state_name FROM runs ORDER BY run").fetchall()
    finally:
        db.close()
    return [
        run
        for run, state in rows
        if state != "Terminated" or f"results/{run}/hospitals/keys.json" in files
    ]
