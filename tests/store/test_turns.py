"""Threads that write one file wait for one another; others do not."""

import gc
import sqlite3
import threading

import pytest

from aegis.store import turns
from aegis.store.journal import Journal
from aegis.store.turns import turn_at


def test_one_file_has_one_turn_whoever_names_it_and_it_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.db"
    one = turn_at(path)
    assert one is turn_at(path.relative_to(tmp_path))
    assert one is not turn_at(tmp_path / "b.db")
    del one
    gc.collect()
    assert str(path) not in turns._known


def test_a_writer_waits_for_the_one_before_it_and_a_failed_one_leaves_the_way_free(tmp_path):
    journal, other = Journal(tmp_path / "a.db"), Journal(tmp_path / "a.db")
    journal.open_run("run", "heart", "{}", "hash", {})
    done: list[str] = []

    def write():
        late = Journal(tmp_path / "a.db")
        late.give_command("run", "stop")
        done.append("written")
        late.close()

    with journal._transaction():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.1)
        assert not done
    thread.join(5)
    assert done == ["written"]
    journal.close()
    with pytest.raises(sqlite3.ProgrammingError):
        journal.give_command("run", "stop")
    other.give_command("run", None)
    other.close()
