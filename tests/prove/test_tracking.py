"""MLflow for real: killed in the middle of a run, hung, asked by its own client, and a file."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import pytest

from aegis.simulation.local import run
from aegis.store.home import Home
from aegis.store.tracking import URI
from tests.servers import mlflow_server
from tests.store.test_tracking import PLAN

pytestmark = pytest.mark.prove

LOOK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow.tracking import MlflowClient
uri, patients = sys.argv[1:3]
client = MlflowClient(uri, uri)
mlflow.set_tracking_uri(uri)
there = client.get_experiment_by_name("aegis")
[kept] = client.search_runs([there.experiment_id])
run = kept.info.run_id
found = {"status": kept.info.status, "params": kept.data.params, "metrics": {}}
for name in kept.data.metrics:
    found["metrics"][name] = [(m.step, m.value) for m in client.get_metric_history(run, name)]
found["files"] = sorted(one.path for one in client.list_artifacts(run))
[version] = client.search_model_versions("name='FederatedGlobalModel'")
found["tags"] = version.tags
model = mlflow.pyfunc.load_model(f"models:/FederatedGlobalModel/{version.version}")
import pandas
found["predicted"] = model.predict(pandas.read_csv(patients)).tolist()
print(json.dumps(found))
"""


class At:
    def __init__(self, round, act):
        self.round, self.act = round, act

    def __call__(self, event):
        if type(event).__name__ == "RoundClosed" and event.round == self.round:
            self.act()


def aegis(home, *words):
    env = os.environ | {"AEGIS_HOME": str(home.root)}
    command = [sys.executable, "-m", "aegis", *words, "--json"]
    return subprocess.run(command, env=env, capture_output=True, timeout=200, check=False)


def patients(path):
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    data.frame.drop(columns="target").head(20).to_csv(path, index=False)
    return path


def looked(uri, path):
    words = [sys.executable, "-c", LOOK, uri, str(path)]
    done = subprocess.run(words, capture_output=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def check(found, done, path):
    import aegis as package

    document = done.document
    assert found["status"] == "FINISHED"
    assert found["params"]["federated.num_rounds"] == "4"
    for name in ("accuracy", "log_loss", "precision", "recall"):
        said = [[one["round"], one["global"][name]] for one in document["history"]]
        assert found["metrics"][name] == said, name
    hospital = document["hospitals"][0]["name"]
    assert len(found["metrics"][f"hospital.{hospital}.accuracy"]) == 4
    assert {"result.json", "plan.json", "card.json", "privacy_statement.json"} <= set(
        found["files"]
    )
    assert found["tags"]["aegis.sha256"] == done.model_sha256
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these patients are unlike all others
        expected = package.load(document["files"]["model"]).predict(path)
    assert found["predicted"] == expected.tolist()
    assert set(found["predicted"]) == {0, 1}


def test_a_server_killed_in_the_middle_of_a_run_is_caught_up(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    with mlflow_server(tmp_path / "mlflow") as server:
        monkeypatch.setenv(URI, server.url)
        server.start()
        middle = []

        def kill():
            middle.append(json.loads(aegis(home, "tracking", "sync").stdout)["runs"][0])
            server.kill()

        done = run(PLAN, home=home.root, audit=False, listeners=[At(2, kill)])
        assert middle[0]["events"] > 0
        assert not middle[0]["complete"]
        away = aegis(home, "tracking", "sync")
        assert away.returncode == 3
        assert "nothing is lost" in json.loads(away.stdout)["error"]["need"]
        server.start()
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        hung = aegis(home, "tracking", "sync")
        assert hung.returncode == 3
        assert time.monotonic() - began < 60
        server.signal(signal.SIGCONT)
        [rest] = json.loads(aegis(home, "tracking", "sync").stdout)["runs"]
        assert (rest["complete"], rest["mlflow_run"]) == (True, middle[0]["mlflow_run"])
        assert json.loads(aegis(home, "tracking", "sync").stdout)["runs"] == []
        path = patients(tmp_path / "patients.csv")
        check(looked(server.url, path), done, path)


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_a_database_or_a_folder_is_filled_by_the_process_beside_the_run(
    tmp_path, monkeypatch, kind
):
    uri = f"sqlite:///{tmp_path}/mlflow.db" if kind == "sqlite" else f"file://{tmp_path}/mlruns"
    monkeypatch.setenv(URI, uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    home, plan = Home(tmp_path / "home"), tmp_path / "plan.yaml"
    plan.write_text("task: breast_cancer\nfederated: {num_rounds: 4, num_clients: 3}\n")
    told = aegis(home, "run", str(plan), "--no-audit")
    document = json.loads(told.stdout)
    done = SimpleNamespace(document=document, model_sha256=document["model_sha256"])
    until = time.monotonic() + 150
    while json.loads(aegis(home, "tracking", "status").stdout)["behind"]:
        assert time.monotonic() < until
        time.sleep(1)
    assert (home.root / "logs" / "tracking.log").exists()
    path = patients(tmp_path / "patients.csv")
    check(looked(uri, path), done, path)
    for bookmark in (home.root / "tracking").glob("*.json"):
        bookmark.unlink()
    assert json.loads(aegis(home, "tracking", "sync").stdout)["runs"][0]["complete"]
    check(looked(uri, path), done, path)


def test_a_server_that_hangs_does_not_slow_a_run(tmp_path, monkeypatch):
    """The command with its process beside it, at a server that never answers."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("task: breast_cancer\nfederated: {num_rounds: 30, num_clients: 3}\n")
    quick = ("run", str(plan), "--no-comparison", "--no-audit")

    def timed(name):
        began = time.monotonic()
        done = aegis(Home(tmp_path / name), *quick)
        assert done.returncode == 0, done.stderr.decode()
        return time.monotonic() - began, json.loads(done.stdout)["model_sha256"]

    with mlflow_server(tmp_path / "mlflow") as server:
        import socket

        with socket.socket() as silent:
            silent.bind(("127.0.0.1", server.port))
            silent.listen()
            pairs = []
            for at in range(3):
                monkeypatch.delenv(URI, raising=False)
                without = timed(f"without{at}")
                monkeypatch.setenv(URI, server.url)
                pairs.append((without, timed(f"with{at}")))
    assert len({sha256 for pair in pairs for _, sha256 in pair}) == 1
    best = min(hung / plain for (plain, _), (hung, _) in pairs)
    print("with a hanging server, best ratio of three:", round(best, 2))
    assert best < 1.3
