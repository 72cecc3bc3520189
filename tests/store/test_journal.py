"""What was saved is there, exactly; what was not is not."""

import sqlite3

import numpy as np
import pytest

from aegis.errors import BadInput, CheckFailed, DataError, RunAborted
from aegis.events import RoundClosed, RunStarted
from aegis.messages import Enrolled
from aegis.states import Collecting, Idle, Progress
from aegis.store.home import Home, write_whole
from aegis.store.journal import Journal
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "federated_learning.db")
    yield journal
    journal.close()


def _state():
    hospitals = (Enrolled("run", 0, "a", 10, 2, "x"),)
    progress = Progress("run", 4, hospitals, "[]", np.arange(3.0), 0.1, 9, {"first": np.ones(3)})
    return Collecting(progress, ("a",), 2)


def test_the_last_saved_state_comes_back_with_its_events(journal):
    journal.open_run("run", "heart", "{}", "hash", {"compare": True})
    assert isinstance(journal.run("run").state, Idle)
    started = RunStarted("run", "heart", "hash", 16, 5, "open")
    closed = RoundClosed("run", 1, "model", {"accuracy": 0.5, "auc": None})
    journal.save("run", _state(), [started, closed])
    stored = journal.run("run")
    assert stored.options == {"compare": True}
    assert isinstance(stored.state, Collecting)
    assert np.array_equal(stored.state.progress.weights, np.arange(3.0))
    assert np.array_equal(stored.state.progress.memory["first"], np.ones(3))
    assert stored.state.progress.hospitals == _state().progress.hospitals
    assert [(n, e["event"]) for n, _, e in journal.events("run")] == [
        (1, "RunStarted"),
        (2, "RoundClosed"),
    ]
    assert journal.events("run", after=1)[0][2]["metrics"] == {"accuracy": 0.5, "auc": None}


def test_a_save_that_fails_leaves_neither_state_nor_event(journal):
    journal.open_run("run", "heart", "{}", "hash", {})
    with pytest.raises(TypeError):
        journal.save("run", _state(), [RoundClosed("run", 1, "m", {"accuracy": object()})])
    assert isinstance(journal.run("run").state, Idle)
    assert journal.events("run") == []


def test_commands_are_left_and_taken_back(journal):
    journal.open_run("run", "heart", "{}", "hash", {})
    journal.give_command("run", "stop")
    assert journal.command("run") == "stop"
    journal.give_command("run", None)
    assert journal.command("run") is None
    with pytest.raises(BadInput, match="no run is called"):
        journal.give_command("other", "stop")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "federated_learning.db"
    path.write_bytes(b"a letter, not a database" * 100)
    with pytest.raises(BadInput, match="cannot be opened"):
        Journal(path)
    assert path.read_bytes().startswith(b"a letter")


def test_the_journal_is_synced_and_writes_ahead(journal, tmp_path):
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other = sqlite3.connect(tmp_path / "federated_learning.db")
    assert other.execute("SELECT COUNT(*) FROM runs").fetchone() == (0,)
    other.close()


def test_a_version_is_found_by_hash_beginning_and_run_and_verified(tmp_path, journal):
    registry = Registry(Home(tmp_path).prepare(), journal)
    model = Perceptron(4)
    sha256 = registry.save("run", "heart", model, np.arange(5.0), {"preparation": "[]"})
    assert registry.save("run", "heart", model, np.arange(5.0), {"preparation": "[]"}) == sha256
    assert len(registry.versions()) == 1
    for name in (sha256, sha256[:8], "run"):
        assert np.array_equal(registry.load(registry.find(name)), np.arange(5.0))
    with pytest.raises(BadInput, match="models list"):
        registry.find("0000")
    path = registry.path(sha256)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckFailed, match="changed or damaged"):
        registry.load(registry.find("run"))
    path.unlink()
    with pytest.raises(CheckFailed, match="cannot be read"):
        registry.verified_bytes(registry.find("run"))


def test_a_file_is_written_whole_or_stays_what_it_was(tmp_path, monkeypatch):
    path = tmp_path / "model"
    write_whole(path, b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(RunAborted, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_damaged_state_is_refused_and_one_of_before_the_mark_is_read(journal):
    journal.open_run("run", "heart", "{}", "hash", {})
    journal.save("run", _state(), [])
    (state,) = journal._db.execute("SELECT state FROM runs").fetchone()
    for at in (0, 9, len(state) // 2, len(state) - 40, len(state) - 1):
        bad = bytearray(state)
        bad[at] ^= 1
        journal._db.execute("UPDATE runs SET state=?", (bytes(bad),))
        with pytest.raises(DataError, match=r"not what was written.*aegis backup restore"):
            journal.run("run")
    journal._db.execute("UPDATE runs SET state=?", (state[:-32],))
    assert journal.run("run").state.progress.round == _state().progress.round


def test_what_a_damaged_page_gives_is_an_error_that_says_so(journal):
    journal.open_run("run", "heart", "{}", "hash", {})
    journal.save("run", _state(), [RoundClosed("run", 1, "m", {})])
    journal._db.execute("UPDATE events SET event=CAST(x'7b22ff' AS TEXT)")
    with pytest.raises(DataError, match="cannot be read"):
        journal.events("run")
    journal._db.execute("UPDATE events SET event='{half'")
    with pytest.raises(DataError, match="cannot be read"):
        journal.events("run")
