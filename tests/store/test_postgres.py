"""A data root whose journal is in a PostgreSQL server: a run, its backup, a server that dies."""

import json
import logging

import pytest

from aegis.errors import AegisError, BadInput, RunAborted
from aegis.plan import Plan
from aegis.simulation.evidence import verify_home
from aegis.simulation.local import resume, run
from aegis.store import postgres as module
from aegis.store.backup.backups import Backups
from aegis.store.format import COLUMNS, for_postgres, migrate
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.moving import moved_in
from aegis.store.postgres import URL, Server, point, pointer
from aegis.store.registry import Registry
from tests.servers import postgres

PLAN = {"task": "breast_cancer", "federated.num_rounds": 3, "federated.num_clients": 3}


class Breaking:
    """A listener that ends the process's part after two rounds, as a crash would."""

    def __init__(self, server):
        self.server = server

    def __call__(self, event):
        if type(event).__name__ == "RoundClosed" and event.round == 2:
            self.server.stop()


@pytest.mark.engine
def test_a_run_survives_its_server_and_ends_as_it_would_have_in_sqlite(tmp_path, monkeypatch):
    plan = Plan().edited(PLAN)
    quick = {"compare": False, "audit": False}
    expected = run(plan, home=tmp_path / "sqlite", **quick)
    with postgres() as server:
        monkeypatch.setenv(URL, server.schema("first"))
        home = Home(tmp_path / "there")
        with pytest.raises(RunAborted, match="cannot be used"):
            run(plan, home=home.root, listeners=[Breaking(server)], **quick)
        server.start()
        assert pointer(home.database)
        assert home.database.stat().st_size < 500
        journal = Journal(home.database)
        [name] = journal.runs()
        assert len(journal.history(name)) == 2
        journal.close()
        assert resume(name, home=home.root).model_sha256 == expected.model_sha256
        assert all(one.holds for one in verify_home(home))

        backups = Backups(home.backups)
        backups.create(home)
        monkeypatch.delenv(URL)
        with pytest.raises(BadInput, match=f"{URL} does not say which"):
            Journal(home.database)
        there = Home(backups.restore(tmp_path / "elsewhere").root)
        assert all(one.holds for one in verify_home(there))
        kept = Journal(there.database)
        assert Registry(there, kept).find("v1").sha256 == expected.model_sha256
        rows = kept.row(name), kept.events(name), kept.models()
        kept.close()

        monkeypatch.setenv(URL, server.url("first"))
        with pytest.raises(BadInput, match="another data root"):
            moved_in(there)
        monkeypatch.setenv(URL, server.schema("second"))
        count, aside = moved_in(there)
        assert (count, aside.read_bytes()[:6]) == (1, b"SQLite")
        moved = Journal(there.database)
        assert (moved.row(name), moved.events(name), moved.models()) == rows
        moved.close()
        assert migrate(there).copy is None
        assert all(one.holds for one in verify_home(there))
        monkeypatch.setenv(URL, server.url("first"))
        with pytest.raises(BadInput, match="holds the journal"):
            Journal(there.database)


def test_sqlite_goes_on_where_a_server_is_named_and_says_so(tmp_path, monkeypatch, caplog):
    path = tmp_path / "federated_learning.db"
    Journal(path).close()
    monkeypatch.setenv(URL, "postgresql://nobody@localhost/nothing")
    with caplog.at_level(logging.WARNING):
        Journal(path).close()
        Journal(path).close()
    assert [r.getMessage().count("aegis migrate") for r in caplog.records] == [1]


def test_a_url_in_the_file_env_counts_and_a_strange_one_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL, raising=False)
    (tmp_path / ".env").write_text(f"{URL}=mysql://root:hunter2@localhost/x\n")
    with pytest.raises(BadInput, match="begins with 'mysql'") as caught:
        Journal(tmp_path / "federated_learning.db")
    assert "hunter2" not in str(caught.value)


def test_no_server_there_is_said_without_the_password(tmp_path, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setenv(URL, "postgresql://ana:hunter2@127.0.0.1:9/aegis")
    with pytest.raises(RunAborted, match=r"127\.0\.0\.1/aegis cannot be used") as caught:
        Journal(tmp_path / "federated_learning.db")
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "federated_learning.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:hun/ter2@db.example.org/x",
        "postgresql://ana:hun@ter2:x@db.example.org/x",
        "postgresql://ana:hun?ter2@db.example.org/x",
        "postgresql://ana:hun%ter2@db.example.org/x",
    ],
)
def test_a_password_that_is_written_wrongly_is_not_shown_either(url, tmp_path, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setenv(URL, url)
    with pytest.raises(AegisError) as caught:
        Journal(tmp_path / "federated_learning.db")
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://a@db.example.org/x", "verify-full"),
        ("postgresql:///x?host=db.example.org", "verify-full"),
        ("postgresql://a@db.example.org/x?sslmode=require", None),
        ("postgresql://a@localhost/x", None),
        ("postgresql:///x?host=/var/run/postgresql", None),
    ],
)
def test_a_server_elsewhere_must_prove_who_it_is(url, mode):
    assert module._safely(url).get("sslmode") == mode


def test_what_stands_for_a_server_is_told_from_a_database_and_from_rubbish(tmp_path):
    path = tmp_path / "federated_learning.db"
    assert pointer(path) is None
    point(path, "ab12")
    assert pointer(path) == "ab12"
    assert URL in path.read_text()
    assert "://" not in path.read_text()
    for text in ("{", "{}", "[]", json.dumps({"journal": "postgresql"}), "SQLite format 3\0"):
        path.write_text(text)
        assert pointer(path) is None


def test_both_databases_have_the_same_columns(tmp_path):
    journal = Journal(tmp_path / "federated_learning.db")
    for table, columns in COLUMNS.items():
        found = journal._db.execute(f"SELECT * FROM {table}").description
        assert tuple(column[0] for column in found) == columns
    journal.close()
    text = "\n".join(for_postgres())
    assert "BLOB" not in text
    assert "INTEGER" not in text
    assert text.count(" TEXT") == text.count('TEXT COLLATE "C"') + 2
    assert Server.__doc__
