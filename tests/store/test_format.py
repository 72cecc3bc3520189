"""A data root of an older format is refused with the command that migrates it, and is migrated."""

import shutil
import sqlite3

import pytest

from aegis.errors import BadInput, RunAborted
from aegis.store import format
from aegis.store.format import FORMAT, migrate
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry

OLD = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, task TEXT NOT NULL, plan TEXT NOT NULL, plan_sha256 TEXT NOT NULL,
    options TEXT NOT NULL, started TEXT NOT NULL, state_name TEXT, state BLOB, saved TEXT,
    command TEXT);
CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs(run), number INTEGER NOT NULL, time TEXT NOT NULL,
    kind TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (run, number));
CREATE TABLE models (
    sha256 TEXT PRIMARY KEY, run TEXT NOT NULL, task TEXT NOT NULL, created TEXT NOT NULL,
    card TEXT NOT NULL);
CREATE TABLE training_history (
    run TEXT NOT NULL REFERENCES runs(run), round INTEGER NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (run, round));
INSERT INTO runs VALUES ('one', 'heart', '{}', 'ab', '{}', '2026-01-01', NULL, NULL, NULL, NULL);
INSERT INTO models VALUES ('bb', 'one', 'heart', '2026-01-02', '{"run": "one"}');
INSERT INTO models VALUES ('aa', 'two', 'heart', '2026-01-01', '{"run": "two"}');
"""


@pytest.fixture
def old(tmp_path):
    home = Home(tmp_path).prepare()
    db = sqlite3.connect(home.database)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(OLD)
    db.close()
    return home


def test_an_old_root_is_refused_unchanged_and_opens_once_it_is_migrated(old):
    before = old.database.read_bytes()
    with pytest.raises(BadInput, match=r"format 1.*aegis migrate"):
        Journal(old.database)
    assert old.database.read_bytes() == before
    done = migrate(old)
    assert (done.before, done.after) == (1, FORMAT)
    journal = Journal(old.database)
    versions = Registry(old, journal).versions()
    assert [(v.name, v.sha256, v.run) for v in versions] == [
        ("v1", "aa", "two"),
        ("v2", "bb", "one"),
    ]
    assert journal.runs() == ["one"]
    journal.add_model("aa", "three", "heart", "{}")
    assert len(journal.models()) == 3
    journal.close()
    copy = sqlite3.connect(done.copy)
    assert copy.execute("SELECT COUNT(*) FROM models").fetchone() == (2,)
    copy.close()
    assert migrate(old).copy is None


def test_a_migration_that_fails_leaves_the_root_as_it_was(old, monkeypatch):
    def breaking(db):
        db.execute("DROP TABLE models")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(format, "_STEPS", {1: breaking})
    with pytest.raises(RunAborted, match="disk is full"):
        migrate(old)
    monkeypatch.undo()
    assert migrate(old).before == 1
    journal = Journal(old.database)
    assert len(journal.models()) == 2
    journal.close()


def test_no_room_for_the_copy_means_no_migration(old, monkeypatch):
    monkeypatch.setattr(
        "os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(RunAborted, match="No space left"):
        migrate(old)
    monkeypatch.undo()
    with pytest.raises(BadInput, match="aegis migrate"):
        Journal(old.database)
    assert not [path for path in old.backups.iterdir() if path.suffix == ".tmp"]


def test_a_root_of_a_newer_aegis_is_refused(tmp_path):
    home = Home(tmp_path).prepare()
    Journal(home.database).close()
    db = sqlite3.connect(home.database)
    db.execute(f"PRAGMA user_version={FORMAT + 1}")
    db.close()
    for opening in (lambda: Journal(home.database), lambda: migrate(home)):
        with pytest.raises(BadInput, match="newer Aegis"):
            opening()


def test_what_is_no_database_is_refused_and_kept(tmp_path):
    home = Home(tmp_path).prepare()
    home.database.write_bytes(b"not a database at all, and longer than a header would be" * 40)
    kept = home.database.read_bytes()
    with pytest.raises(BadInput, match="cannot be opened"):
        Journal(home.database)
    with pytest.raises(RunAborted, match="cannot be migrated"):
        migrate(home)
    assert home.database.read_bytes() == kept
    with pytest.raises(BadInput, match="holds no database"):
        migrate(Home(tmp_path / "nowhere"))


def test_a_journal_on_a_disk_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    home = Home(tmp_path / "root").prepare()
    journal = Journal(home.database)
    journal.add_model("aa", "run", "heart", "{}")
    journal.close()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    shutil.rmtree(home.root / "logs")
    reading = Journal.reading(home.database)
    assert [model.run for model in reading.models()] == ["run"]
    with pytest.raises(RunAborted, match="readonly"):
        reading.add_model("bb", "other", "heart", "{}")
    reading.close()
