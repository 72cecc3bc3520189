"""The mirror in MLflow: it has what the journal has, and no run ever waits for it."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from aegis.errors import BadInput, RunAborted
from aegis.events import BudgetSpent, MembershipAudited, ModelStored, RoundClosed, RunEnded, as_json
from aegis.operations import mirroring
from aegis.plan import Plan
from aegis.simulation.local import run
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.tracked import figures, parameters, shown, words
from aegis.store.tracking import URI, Mirror
from tests.servers import mlflow_server

PLAN = Plan().edited(
    {"task": "breast_cancer", "federated.num_rounds": 4, "federated.num_clients": 3}
)


class Fake(Mirror):
    """MLflow as a list of points; ``broken`` calls fail, some of them after they were heard."""

    def __init__(self, home, points, broken=()):
        super().__init__(home, "fake://mlflow")
        self.points, self.broken, self.calls, self._client = points, set(broken), 0, self

    def _connected(self):
        return self

    def _begun(self, run, started, row):
        return {"id": f"mlflow-{run}", "after": 0}

    def _log(self, mlflow_run, metrics=(), params=None, tags=None):
        self.calls += 1
        if self.calls in self.broken and self.calls % 2:
            raise ConnectionError("connection refused")
        self.points.extend(metrics)
        if self.calls in self.broken:
            raise TimeoutError("the answer did not come")

    def set_terminated(self, mlflow_run, status, time):
        self.points.append(("status", status, time, 0))

    def _files(self, run, mlflow_run, journal):
        self.points.append(("files", run, 0, 0))


@contextmanager
def journal_of(home):
    journal = Journal(home.database)
    try:
        yield journal
    finally:
        journal.close()


def told(count):
    return [
        RoundClosed("run", at + 1, "m", {"accuracy": at / 10, "auc": None}, {"a": {"f1": 0.5}})
        for at in range(count)
    ]


@settings(max_examples=15)
@given(some.lists(some.integers(1, 260), max_size=6), some.sets(some.integers(1, 12)))
def test_whatever_fails_and_whenever_everything_arrives_and_nothing_twice(
    tmp_path_factory, bursts, broken
):
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    points: list = []
    with journal_of(home) as journal:
        journal.open_run("run", "heart", PLAN.to_json(), "hash", {})
        for count in bursts:
            journal.tell("run", told(count))
            try:
                Fake(home, points, broken).sync()  # a new process each time
            except RunAborted:
                broken = {at for at in broken if at > 2}
        journal.tell("run", [RunEnded("run", "completed", "", 1, 1, "m")])
        journal.tell("run", [ModelStored("run", "m", "", "c")])
        (home.results("run")).mkdir(parents=True)
        (home.results("run") / "result.json").write_text("{}")
        Fake(home, points).sync()
        assert Fake(home, points).sync() == []
        assert Fake(home, points).behind() == {}
        wanted = [
            (name, value, step)
            for _, _, e in journal.events("run")
            for name, value, step in figures(e)
        ]
    logged = [one for one in points if one[0] not in ("status", "files")]
    # MLflow keeps one point for equal name, value, time and step.
    assert {(n, v, s) for n, v, _, s in logged} == set(wanted)
    assert {one[0] for one in points} >= {"status", "files"}
    assert len([one for one in points if one[0] == "files"]) == 1


def test_a_lost_bookmark_is_no_loss(tmp_path):
    home, points = Home(tmp_path).prepare(), []
    with journal_of(home) as journal:
        journal.open_run("run", "heart", PLAN.to_json(), "hash", {})
        journal.tell("run", told(3))
    [first] = Fake(home, points).sync()
    assert (first.events, first.behind, first.complete) == (3, 0, False)
    once = set(points)
    next((tmp_path / "tracking").glob("*.json")).write_text("[")
    Fake(home, points).sync()
    assert set(points) == once


def test_hospitals_appear_with_what_the_events_carry_and_nothing_else():
    bare = as_json(RoundClosed("run", 2, "m", {"accuracy": 0.5, "auc": None}, absent=("b",)))
    assert {n: v for n, v, _ in figures(bare)} == {
        "accuracy": 0.5,
        "absent": 1.0,
        "learning_rate": 0.0,
    }
    spent = as_json(BudgetSpent("run", "a", 0.7, 0.8, 1e-5, 3, 4, "ff"))
    assert list(figures(spent)) == [("hospital.a.epsilon", 0.7, 0)]
    audited = as_json(MembershipAudited("run", "m", "safe", None))
    assert list(figures(audited)) == []
    assert words(audited) == {"aegis.membership_audit": "safe"}


def test_every_key_of_the_plan_is_a_parameter():
    found = parameters(PLAN, "hash")
    assert set(found) == {"plan_sha256", *PLAN.values}
    assert found["federated.num_rounds"] == "4"
    assert max(map(len, found.values())) <= 500


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("https://ana:hunter2@mlflow.example.org:5000/x", "https://mlflow.example.org:5000/x"),
        ("postgresql://ana:hunter2@db/x", "postgresql://db/x"),
    ],
)
def test_no_password_is_shown(uri, said):
    assert shown(uri) == said


def test_without_an_address_nothing_is_started_and_the_command_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URI, raising=False)
    with mirroring.mirrored():
        assert not (tmp_path / "aegis-data").exists()
    with pytest.raises(BadInput, match=URI):
        Mirror.from_settings(Home(tmp_path))


def test_without_mlflow_a_run_goes_on_and_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(URI, "sqlite:///x.db")
    monkeypatch.setattr(mirroring, "find_spec", lambda name: None)
    heard = []
    with mirroring.mirrored(heard.append):
        pass
    assert "pip install" in heard[0]


@pytest.mark.engine
def test_a_real_server_has_plan_rounds_files_and_model_of_a_run(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    with mlflow_server(tmp_path / "mlflow") as server:
        monkeypatch.setenv(URI, server.url)
        env = os.environ | {"AEGIS_HOME": str(home.root)}

        server.begin()
        done = run(PLAN, home=home.root, audit=False, compare=False)
        server.wait()
        words = [sys.executable, "-m", "aegis", "tracking", "sync", "--json"]
        synced = subprocess.run(words, env=env, capture_output=True, timeout=100, check=True)
        [found] = json.loads(synced.stdout)["runs"]
        assert (found["complete"], found["behind"]) == (True, 0)

        [there] = server.ask("experiments/search", max_results=10, filter="name = 'aegis'")[
            "experiments"
        ]
        [kept] = server.ask("runs/search", experiment_ids=[there["experiment_id"]])["runs"]
        assert kept["info"]["status"] == "FINISHED"
        params = {one["key"]: one["value"] for one in kept["data"]["params"]}
        assert params["federated.num_rounds"] == "4"
        history = server.ask(
            f"metrics/get-history?run_id={found['mlflow_run']}&metric_key=accuracy"
        )["metrics"]
        said = [(one["round"], one["global"]["accuracy"]) for one in done.document["history"]]
        assert [(int(one["step"]), one["value"]) for one in history] == said
        files = server.ask(f"artifacts/list?run_id={found['mlflow_run']}")["files"]
        assert {"result.json", "card.json", "model"} <= {one["path"] for one in files}
        [needs] = (tmp_path / "mlflow").rglob("model/requirements.txt")
        asked = [one for one in needs.read_text().splitlines() if not one.startswith("#")]
        assert asked == ["pandas"]  # nothing of ours by a name that is free on an index
        [version] = server.ask("model-versions/search?filter=name%3D'FederatedGlobalModel'")[
            "model_versions"
        ]
        tags = {one["key"]: one["value"] for one in version["tags"]}
        assert tags["aegis.sha256"] == done.model_sha256
