"""The journal's own tests on PostgreSQL, several writers at once, crashes between statements."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aegis.cli.app import run_command
from aegis.errors import BadInput, RunAborted
from aegis.events import RoundClosed
from aegis.operations.coordinator.office import Office
from aegis.plan import Plan
from aegis.simulation.local import resume, run
from aegis.store.format import COLUMNS
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.postgres import URL, Server
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron
from tests.servers import postgres
from tests.store import test_journal as journals

pytestmark = pytest.mark.prove
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    with postgres() as found:
        yield found


@pytest.fixture
def url(server, monkeypatch, request):
    found = server.schema(f"s{abs(hash(request.node.nodeid))}")
    monkeypatch.setenv(URL, found)
    return found


@pytest.fixture
def journal(url, tmp_path):
    journal = Journal(tmp_path / "federated_learning.db")
    assert isinstance(journal._db, Server)
    yield journal
    journal.close()


@pytest.mark.parametrize(
    "law",
    [
        journals.test_the_last_saved_state_comes_back_with_its_events,
        journals.test_a_save_that_fails_leaves_neither_state_nor_event,
        journals.test_commands_are_left_and_taken_back,
    ],
)
def test_what_holds_in_sqlite_holds_in_postgresql(journal, law):
    law(journal)


def test_versions_are_numbered_and_found_as_in_sqlite(tmp_path, journal):
    journals.test_a_version_is_found_by_hash_beginning_and_run_and_verified(tmp_path, journal)
    registry, home = Registry(Home(tmp_path), journal), Home(tmp_path)
    for at in range(3):
        registry.save(f"run-{at}", "heart", Perceptron(4), np.full(5, at), {"preparation": "[]"})
        registry.save(f"run-{at}", "heart", Perceptron(4), np.full(5, at), {"preparation": "[]"})
    assert [one.name for one in registry.versions()] == ["v1", "v2", "v3", "v4"]
    journal.add_promotion("promote", "heart", 2, "ab", "ana", "", "", "good")
    journal.add_promotion("rollback", "heart", 1, "ab", "ben", "", "", "bad")
    assert [row[:4] for row in journal.promotions()] == [
        (1, "promote", "heart", 2),
        (2, "rollback", "heart", 1),
    ]
    assert home.database.stat().st_size < 500


def test_both_databases_give_the_same_rows_and_digests(journal, tmp_path, monkeypatch):
    monkeypatch.delenv(URL)
    other = Journal(tmp_path / "sqlite" / "federated_learning.db")
    monkeypatch.setattr("aegis.store.journal._now", lambda: "2026-11-22T09:00:00.000+00:00")
    odd = "Ä ? %s 'quoted' \\ \u2603"
    for one in (journal, other):
        for name in ("run-B", "run-a", "run_c", "Run-d"):
            one.open_run(name, "heart", "{}", "hash", {"out": odd})
            one.save(name, journals._state(), [RoundClosed(name, 1, "m", {odd: 0.1})])
        one.save("run-a", journals._state(), [RoundClosed("run-a", 1, "n", {"auc": 0.2})])
    assert journal.runs() == other.runs()  # in the order of bytes, whatever the server's language
    for name in other.runs():
        assert journal.row(name) == other.row(name)
        assert journal.digest(name) == other.digest(name)
        assert journal.events(name) == other.events(name)
        assert journal.history(name) == other.history(name)
        assert journal.last_event(name) == other.last_event(name)
    other.close()


WRITER = """
import sys
from pathlib import Path
from aegis.events import RoundClosed
from aegis.store.journal import Journal
journal = Journal(Path(sys.argv[1]))
for at in range(100):
    journal.tell("run", [RoundClosed("run", at, sys.argv[2], {"accuracy": 0.5})] * 3)
    journal.add_model(f"{sys.argv[2]}-{at}", "run", "heart", "{}")
"""


def test_many_writers_leave_no_gap_and_no_double(journal, tmp_path):
    journal.open_run("run", "heart", "{}", "hash", {})
    path = str(tmp_path / "federated_learning.db")
    began = time.monotonic()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, f"w{at}"], env=dict(os.environ))
        for at in range(4)
    ]
    assert [one.wait(120) for one in writers] == [0, 0, 0, 0]
    print("4 processes, 1200 events and 400 versions:", round(time.monotonic() - began, 1), "s")
    found = journal.events("run")
    assert [number for number, _, _ in found] == list(range(1, 1201))
    together = [event["model_sha256"] for _, _, event in found]
    assert all(len(set(together[at : at + 3])) == 1 for at in range(0, 1200, 3))
    assert [one.number for one in journal.models()] == list(range(1, 401))


def test_a_writer_that_is_killed_leaves_what_it_had_saved(journal, tmp_path):
    journal.open_run("run", "heart", "{}", "hash", {})
    path = str(tmp_path / "federated_learning.db")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path, "w"])
    while journal.last_event("run") < 30:
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    assert journal.last_event("run") % 3 == 0
    journal.tell("run", [RoundClosed("run", 0, "after", {})])


def test_a_server_that_comes_back_is_used_again_without_a_word(server, journal):
    journal.open_run("run", "heart", "{}", "hash", {})
    server.stop()
    with pytest.raises(RunAborted, match="cannot be used"):
        journal.tell("run", [RoundClosed("run", 0, "m", {})])
    server.start()
    journal.tell("run", [RoundClosed("run", 0, "m", {})])
    server.stop()
    server.start()
    assert journal.last_event("run") == 1
    journal.give_command("run", "pause")
    assert journal.command("run") == "pause"


class Full:
    """A server on which the N-th statement that writes fails, as on a full disk."""

    def __init__(self, db, at):
        self.db, self.left = db, at

    def __getattr__(self, name):
        return getattr(self.db, name)

    def execute(self, statement, values=()):
        self._count(statement)
        return self.db.execute(statement, values)

    def executemany(self, statement, rows):
        self._count(statement)
        self.db.executemany(statement, rows)

    def _count(self, statement):
        if statement.startswith(("INSERT", "UPDATE", "COMMIT")):
            self.left -= 1
            if self.left == 0:
                self.db.execute("SELECT 1")
                raise self.db._silent(OSError("could not extend file: No space left on device"))


def test_whichever_write_fails_the_run_goes_on_to_the_same_model(server, tmp_path, monkeypatch):
    plan = Plan().edited(
        {"task": "breast_cancer", "federated.num_rounds": 2, "federated.num_clients": 3}
    )
    quick = {"compare": False, "audit": False, "files": False}
    expected = run(plan, home=tmp_path / "sqlite", **quick).model_sha256
    opened = Journal.__init__
    for at in (1, 2, 3, 5, 8, 11, 14, 17):
        monkeypatch.setenv(URL, server.schema(f"full{at}"))

        def failing(self, path, at=at):
            opened(self, path)
            self._db = Full(self._db, at)

        home = tmp_path / f"full{at}"
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "__init__", failing)
            with pytest.raises(RunAborted, match="No space left"):
                run(plan, home=home, **quick)
        journal = Journal(home / "federated_learning.db")
        names = journal.runs()
        journal.close()
        if not names:
            assert at <= 2  # it failed before there was a run
            continue
        assert resume(names[0], home=home).model_sha256 == expected, at


def test_of_two_data_roots_at_one_empty_database_one_has_it(journal, url, tmp_path):
    Journal(tmp_path / "other" / "federated_learning.db").close()
    with pytest.raises(BadInput, match="holds the journal"):
        Journal(tmp_path / "federated_learning.db")
    there = Journal(tmp_path / "other" / "federated_learning.db")
    there.open_run("run", "heart", "{}", "hash", {})
    there.close()
    with pytest.raises(BadInput, match="another data root"):
        Journal(tmp_path / "third" / "federated_learning.db")


def test_a_newer_format_and_a_lost_journal_are_refused(journal, url, server, tmp_path, monkeypatch):
    journal._db.execute("UPDATE about SET value='9' WHERE name='format'")
    with pytest.raises(BadInput, match="format 9"):
        Journal(tmp_path / "federated_learning.db")
    monkeypatch.setenv(URL, server.schema("empty"))
    with pytest.raises(BadInput, match="holds no journal"):
        Journal(tmp_path / "federated_learning.db")
    assert set(COLUMNS) == {"runs", "events", "training_history", "models", "promotions"}


def test_the_commands_move_a_data_root_into_the_server(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def aegis(*words, code=0):
        found = run_command([*words, "--json"])
        out, err = capsys.readouterr()
        assert found == code, err
        return json.loads(out)

    plan = ("examples/wisconsin.yaml", "--set", "federated.num_rounds=1")
    words = ("run", str(ROOT / plan[0]), *plan[1:], "--no-comparison", "--no-audit")
    first = aegis(*words)
    monkeypatch.setenv(URL, server.schema("commands"))
    with Office(Home(tmp_path / "home")).alone():
        refused = aegis("migrate", code=2)
        assert "coordinator" in refused["error"]["value"]
    moved = aegis("migrate")["moved"]
    assert moved["runs"] == 1
    assert Path(moved["copy"]).read_bytes().startswith(b"SQLite")
    assert aegis("migrate")["moved"] is None
    second = aegis(*words)
    assert [one["run"] for one in aegis("report", "--list")["runs"]] == [
        second["run"],
        first["run"],
    ]
    assert [one["version"] for one in aegis("models", "list")["models"]] == ["v1", "v2"]
    assert aegis("audit", "verify")["verified"]
    monkeypatch.delenv(URL)
    assert "does not say which" in aegis("models", "list", code=2)["error"]["need"]
