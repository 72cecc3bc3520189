"""Several processes may open one new file at one moment."""

import sqlite3
import threading
from contextlib import closing

import pytest

from aegis.database import opened, write_ahead


class Locked(sqlite3.Connection):
    """Says a few times that the file is locked, as SQLite does while others turn it to WAL."""

    times = 0

    def execute(self, words, *values):
        if "journal_mode" in words and self.times:
            self.times -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(words, *values)


def test_a_file_that_others_are_opening_is_waited_for(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db", factory=Locked)) as database:
        database.times = 3
        write_ahead(database)
        assert database.times == 0
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_no_waiting_helps_is_said_at_once(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"a letter, not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        opened(path)


def test_four_open_a_new_file_at_once(tmp_path):
    faults = []

    def write(path):
        try:
            with closing(opened(path)) as database:
                database.execute("CREATE TABLE IF NOT EXISTS t (a)")
                database.execute("INSERT INTO t VALUES (1)")
        except sqlite3.Error as error:
            faults.append(error)

    for number in range(60):
        path = tmp_path / f"{number}.db"
        threads = [threading.Thread(target=write, args=(path,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with closing(opened(path)) as database:
            assert faults == []
            assert database.execute("SELECT count(*) FROM t").fetchone() == (4,)
