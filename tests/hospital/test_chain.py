"""A database that one process holds twice keeps its journal when another process comes and goes."""

import sqlite3
import subprocess
import sys

import pytest

from aegis.console.people.book import Book
from aegis.errors import DataError
from aegis.hospital.chain import recorded
from aegis.hospital.decisions import Decisions
from aegis.hospital.ledger import Ledger
from aegis.operations.hospital.acts import Acts

LOOKS = "import sqlite3, sys; one = sqlite3.connect(sys.argv[1]); one.execute('{}'); one.close()"


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("ledger.db", lambda folder: Ledger.open(folder / "ledger.db", "rows")),
        ("decisions.db", lambda folder: Decisions(folder / "decisions.db")),
        ("acts.db", Acts),
        ("people.db", Book),
    ],
)
def test_another_process_that_looks_takes_no_journal_away(tmp_path, name, opened):
    first = opened(tmp_path)
    second = opened(tmp_path)
    look = LOOKS.format("SELECT COUNT(*) FROM sqlite_master")
    subprocess.run([sys.executable, "-c", look, tmp_path / name], check=True, timeout=60)
    assert (tmp_path / f"{name}-wal").exists()
    assert (tmp_path / name).stat().st_mode & 0o077 == 0
    second.close()
    first.close()


def test_a_payload_that_is_no_bytes_any_more_makes_a_ledger_unreadable(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(path, "rows")
    ledger.close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO payloads VALUES ('run', 1, 'train', 'a text')")
    db.close()
    with pytest.raises(DataError, match="cannot be read as a privacy ledger"):
        recorded(path)
