"""A SQLite file of one's own: private, and what was committed is on the disk before it counts.

An empty file is made for its owner only, and one that is there already is not opened beside SQLite:
closing it would end the locks of every connection of this process (sqlite.org/howtocorrupt.html,
2.2), and another process would take the journal away. The cache is small, as what is appended to
for ever need not be held in memory too.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

CACHE = "PRAGMA cache_size=-256"  # KiB
PATIENCE_S = 30


def opened(
    path: Path,
    *,
    synced: bool = True,
    threads: bool = False,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """Without implicit transactions, in WAL. Not ``synced``, a commit survives the end of the
    process but no power cut; ``threads`` lets several use it. Raises ``OSError`` and
    ``sqlite3.Error``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    found = sqlite3.connect(
        path,
        isolation_level=None,
        timeout=PATIENCE_S,
        check_same_thread=not threads,
        factory=factory,
    )
    try:
        write_ahead(found)
        found.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
        found.execute(CACHE)
    except sqlite3.Error:
        found.close()
        raise
    return found


def write_ahead(database: sqlite3.Connection) -> None:
    """Changes go to a journal beside the file (WAL). SQLite waits for no one here, whatever its
    timeout: of several who open a new file at one moment, all but one are told that it is locked.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return
