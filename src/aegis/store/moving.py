"""A journal copied from one database into another, row by row and whole: SQLite and PostgreSQL.

A backup of a journal in a server is an SQLite file, so that it can be restored where there is no
server; ``aegis migrate`` brings such a file into one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from aegis.errors import BadInput, RunAborted
from aegis.store.format import COLUMNS, made_or_checked
from aegis.store.home import Home, held_alone, setting
from aegis.store.postgres import URL, Server, point, pointer, server_of

Database: TypeAlias = sqlite3.Connection | Server

_OF_A_RUN = ("events", "training_history")


def copy_rows(source: Database, target: Database) -> int:
    """Everything, within the transaction that ``target`` is in; how many runs."""
    runs = [run for (run,) in source.execute("SELECT run FROM runs ORDER BY run").fetchall()]
    for run in runs:
        for table in ("runs", *_OF_A_RUN):
            _copy(source, target, table, " WHERE run=?", (run,))
    for table in ("models", "promotions"):
        _copy(source, target, table)
    return len(runs)


def _copy(
    source: Database, target: Database, table: str, where: str = "", values: tuple[str, ...] = ()
) -> None:
    names = COLUMNS[table]
    columns, places = ", ".join(names), ",".join("?" * len(names))
    rows = source.execute(f"SELECT {columns} FROM {table}{where}", values).fetchall()  # noqa: S608
    target.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)  # noqa: S608


def copied_out(path: Path, copy: Path) -> None:
    """The journal in the server that ``path`` stands for, as the SQLite file ``copy``."""
    server = server_of(path)
    assert server is not None
    try:
        target = sqlite3.connect(copy, isolation_level=None)
        try:
            made_or_checked(target, copy)
            target.execute("BEGIN")
            copy_rows(server, target)
            target.execute("COMMIT")
        finally:
            target.close()
    finally:
        server.close()


@contextlib.contextmanager
def held_still(path: Path) -> Iterator[None]:
    """Nobody writes to the journal in a server meanwhile."""
    server = server_of(path)
    assert server is not None
    try:
        server.execute("BEGIN IMMEDIATE")
        yield
        server.execute("ROLLBACK")
    finally:
        server.close()


def moved_in(home: Home) -> tuple[int, Path] | None:
    """Bring the journal of a data root from SQLite into the server that AEGIS_DATABASE_URL names:
    how many runs, and where the file lies now. None where there is nothing to move. Raises
    ``BadInput`` where a coordinator is at work or the server holds another journal."""
    if not setting(URL) or pointer(home.database) is not None or not home.database.exists():
        return None

    def busy(who: str) -> BadInput:
        return BadInput(f"a coordinator uses {home.root} ({who})", way_out="Stop it first")

    aside = home.backups / f"sqlite-{datetime.now(UTC):%Y%m%d-%H%M%S}.db"
    with held_alone(home.root / ".coordinator", busy):
        try:
            source = sqlite3.connect(home.database, isolation_level=None, timeout=30)
            try:
                source.execute("BEGIN IMMEDIATE")
                count, identity = _received(home, source)
                source.execute("ROLLBACK")
                source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                source.close()
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.link(home.database, aside)
        except (sqlite3.Error, OSError) as error:
            raise RunAborted(
                f"{home.database} cannot be moved ({error})",
                "it is what it was",
                "Stop what uses it, check the disk, then repeat: aegis migrate",
            ) from error
        point(home.database, identity)
    return count, aside


def _received(home: Home, source: sqlite3.Connection) -> tuple[int, str]:
    server = Server(setting(URL))
    try:
        server.open(None, home.database)
        server.execute("BEGIN IMMEDIATE")
        (there,) = server.execute("SELECT count(*) FROM runs").fetchone() or (0,)
        if there:
            raise BadInput(
                f"{server.place} holds a journal of {there} runs already",
                "a journal is moved into an empty database",
                "Name another, or a schema of its own: ?options=-csearch_path%3DNAME",
            )
        count = copy_rows(source, server)
        server.execute("COMMIT")
        return count, server.identity
    finally:
        server.close()
