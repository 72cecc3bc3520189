"""S1's dashboard routes: shapes, and every number the document's own."""

from __future__ import annotations

import json
import threading
import time

import pytest

from aegis.console.coordinator.api.training import Columns, Data
from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.runs.latest import Latest
from aegis.console.people.roles import Person, Role
from aegis.operations.hospital.folder import Registered
from tests.console.asking import PEOPLE, Asking
from tests.operations.here import Here


@pytest.fixture
def asking(finished_home):
    return Asking(coordinator_app(Desk.of(finished_home.home)))


def result(found, run):
    return json.loads((found.home.results(run) / "result.json").read_text())


DATA = {
    "summary",
    "round_history",
    "chart_data",
    "fairness",
    "security",
    "has_data",
    "last_updated",
}
CHART = {
    "rounds",
    "epsilon_total",
    "epsilon_round",
    "train_loss",
    "val_loss",
    "accuracy",
    "auc",
    "noise_multiplier",
}


def test_data_has_all_a_dashboard_shows_and_each_number_is_the_results(asking, finished_home):
    for run in (None, finished_home.private, finished_home.open):
        query = "" if run is None else f"?run={run}"
        found = asking.get(f"/api/data{query}").json()
        assert set(found) >= DATA
        document = result(finished_home, run or finished_home.open)
        assert found["round_history"] == document["history"]
        assert found["fairness"] == document["fairness"]
        assert found["hospitals"] == document["hospitals"]
        assert found["summary"]["run"] == document["run"]
        for name in ("accuracy", "auc", "log_loss"):
            assert found["summary"][name] == document["global"][name]
        scored = [one["global"] for one in document["history"]]
        chart = found["chart_data"]
        assert set(chart) >= CHART
        assert {len(chart[name]) for name in CHART} == {len(document["history"])}
        assert chart["auc"] == [one["auc"] for one in scored]
        assert chart["val_loss"] == [one["log_loss"] for one in scored]
        assert chart["epsilon_total"][-1] == document["privacy"]["epsilon"]


def test_what_was_not_measured_is_null_with_a_reason(asking, finished_home):
    chart = asking.get(f"/api/metrics?run={finished_home.private}").json()["chart_data"]
    for name, reason in chart["reasons"].items():
        assert None not in chart[name] or reason


def test_what_a_private_run_spends_grows_by_its_rounds_to_the_results_own_total(
    asking, finished_home
):
    chart = asking.get(f"/api/metrics?run={finished_home.private}").json()["chart_data"]
    total, each = chart["epsilon_total"], chart["epsilon_round"]
    assert total == sorted(total)
    assert total[-1] == result(finished_home, finished_home.private)["privacy"]["epsilon"]
    assert all(one > 0 for one in each)
    assert sum(each) <= total[-1] * (1 + 1e-9)
    assert all(noise > 0 for noise in chart["noise_multiplier"])


def test_metrics_are_the_same_columns_without_the_rest(asking):
    everything, columns = asking.get("/api/data").json(), asking.get("/api/metrics").json()
    assert set(columns) == {"chart_data", "summary", "last_updated"}
    assert all(columns[name] == everything[name] for name in columns)


def test_status_logs_history_and_config_have_their_shapes(asking, finished_home):
    state = asking.get("/api/training/status").json()["state"]
    assert state["status"] == "completed"
    assert not state["is_running"]
    assert set(state["live_metrics"]) == {"auc", "accuracy", "loss", "epsilon"}
    document = result(finished_home, finished_home.open)
    assert state["live_metrics"]["auc"] == document["history"][-1]["global"]["auc"]
    lines = asking.get("/api/training/logs").json()
    assert 0 < len(lines) <= 50
    assert all(set(line) == {"time", "message", "level"} for line in lines)
    rounds = asking.get("/api/training/round_history").json()
    assert rounds["round_history"] == document["history"]
    config = asking.get("/api/training/config").json()
    assert config["success"]
    assert config["config"]["num_rounds"] == config["config"]["federated.num_rounds"]


def test_before_the_first_run_everything_is_empty_and_nothing_fails(tmp_path):
    from aegis.store.home import Home

    asking = Asking(coordinator_app(Desk.of(Home(tmp_path / "new"))))
    found = asking.get("/api/data").json()
    assert not found["has_data"]
    assert set(found) == set(Data.model_fields)
    assert set(found["chart_data"]) == set(Columns.model_fields)
    assert asking.get("/api/metrics").json()["chart_data"]["rounds"] == []
    assert asking.get("/api/training/round_history").json()["round_history"] == []
    assert asking.get("/api/training/status").json()["state"]["status"] == "idle"
    assert asking.get("/api/training/logs").json() == []
    assert asking.get("/api/models").json() == {"models": []}
    assert asking.get("/api/state").json()["status"] == "idle"
    for act in ("stop", "pause", "resume"):
        assert asking.post(f"/api/training/{act}").status_code == 409


def test_a_run_nobody_knows_is_404(asking):
    for path in ("/api/data", "/api/metrics", "/api/training/round_history"):
        assert asking.get(f"{path}?run=nothing").status_code == 404


def test_a_changed_key_is_kept_and_a_wrong_one_is_named_with_nothing_changed(own_home):
    asking = Asking(coordinator_app(Desk.of(own_home().home)))
    changed = asking.post("/api/training/config", json={"num_rounds": 7, "training": {"l2": 0.5}})
    assert changed.status_code == 200
    kept = asking.get("/api/training/config").json()
    assert kept["config"]["federated.num_rounds"] == 7
    assert kept["said"] == {"federated.num_rounds": 7, "training.l2": 0.5}
    for wrong, field in (
        ({"num_rounds": -1}, "federated.num_rounds"),
        ({"federated": {"num_clients": "many"}}, "federated.num_clients"),
        ({"trainingg.l2": 1}, "trainingg.l2"),
        ({"epsilon_budget": True}, "privacy.epsilon_budget"),
    ):
        refused = asking.post("/api/training/config", json=wrong)
        assert refused.status_code == 422
        assert field in [one["field"] for one in refused.json()["error"]["fields"]]
    assert asking.get("/api/training/config").json() == kept


def test_reset_forgets_the_plan_and_the_present_run_but_no_result(own_home):
    found = own_home()
    asking = Asking(coordinator_app(Desk.of(found.home)))
    asking.post("/api/training/config", json={"num_rounds": 7})
    assert asking.post("/api/training/reset").json()["success"]
    assert asking.get("/api/training/config").json()["said"] == {}
    assert asking.get("/api/training/logs").json() == []
    assert asking.get("/api/data").json()["has_data"]
    time.sleep(0.8)
    assert asking.post("/api/training/reset", json={"clear_results": True}).status_code == 200
    time.sleep(0.8)
    assert not asking.get("/api/data").json()["has_data"]
    assert asking.get("/api/training/status").json()["state"]["status"] == "idle"
    assert asking.get(f"/api/data?run={found.open}").json()["has_data"]
    assert asking.get(f"/api/results/{found.open}").status_code == 200


def test_answers_are_kept_until_the_truth_changes(finished_home):
    clock, made = [0.0], []
    latest = Latest(Desk.of(finished_home.home), lambda: clock[0])

    def make(run):
        made.append(run)
        return {"run": run}

    assert latest.at_once("data") is None
    assert not latest.due("data")
    first = latest.answer("data", make)
    assert latest.at_once("data") == first
    assert not latest.due("data")
    clock[0] += 0.3
    assert latest.at_once("data") == first
    assert [latest.due("data"), latest.due("data")] == [True, False]  # one renews it for all
    assert latest.answer("data", make) == first
    assert not latest.due("data")
    clock[0] += 0.8
    assert latest.at_once("data") is None
    assert made == [finished_home.open]
    path = finished_home.home.results(finished_home.open) / "result.json"
    path.touch()
    latest.answer("data", make)
    assert len(made) == 2


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A coordinator with three hospitals in threads, and its app."""
    here = Here(tmp_path_factory.mktemp("live"))
    with here.coordinator:
        for number in (1, 2, 3):
            here.make(f"hospital_{number}", Registered("breast_cancer", share=f"{number}/3"))
        here.serve("hospital_1", "hospital_2", "hospital_3")
        here.rest = 0.05
        asking = Asking(here.window().app)
        asking.get("/api/training/config")  # what is built once is built before threads ask
        yield here, asking
        here.end()
    assert not here.errors


PLAN = {
    "task": "breast_cancer",
    "federated": {"num_clients": 3, "num_rounds": 200},
    "trust": "masked",
    "training": {"solver": "gradient", "learning_rate": 2.0},
    "privacy": {"enabled": False},
}


def until(asking, seen, seconds=30):
    end = time.monotonic() + seconds
    while not seen(state := asking.get("/api/training/status").json()["state"]):
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def test_a_button_drives_a_real_run_and_two_people_start_only_one(live):
    here, asking = live
    ana = Asking(asking.app, Person("ana", frozenset({Role.RESEARCHER})))
    bert = Asking(asking.app, Person("bert", frozenset({Role.RESEARCHER})))
    answers = []

    def press(who):
        answers.append(who.post("/api/training/start", json={"plan": PLAN}))

    threads = [threading.Thread(target=press, args=(who,)) for who in (ana, bert)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.status_code for one in answers) == [200, 409]
    started = next(one for one in answers if one.status_code == 200).json()
    assert started["success"]
    run = started["state"]["run"]
    assert asking.post("/api/training/start", json={}).status_code == 409
    assert asking.post("/api/training/reset").status_code == 409

    until(asking, lambda state: state["status"] == "running" and state["current_round"] >= 1)
    during = asking.get("/api/data").json()
    assert during["summary"]["run"] == run
    assert during["summary"]["status"] == "running"
    standing = asking.get("/api/state").json()
    assert (standing["run"], standing["connected_agents"]) == (run, 3)

    assert asking.post("/api/training/pause").json()["success"]
    until(asking, lambda state: state["status"] == "paused")
    assert asking.post("/api/training/resume").status_code == 200
    until(asking, lambda state: state["status"] == "running")
    before = asking.get("/api/training/status").json()["state"]["current_round"]
    assert asking.post("/api/training/stop").status_code == 200
    after = until(asking, lambda state: not state["is_running"])
    assert after["status"] == "stopped"
    assert after["current_round"] <= before + 3
    assert asking.post("/api/training/stop").status_code == 409
    document = result(here.office, run)
    time.sleep(0.8)
    finished = asking.get("/api/data").json()
    assert finished["round_history"] == document["history"]
    assert asking.get("/api/models").json()["models"][-1]["sha256"] == document["model_sha256"]


def test_who_may_steer_may_not_for_that_start(live):
    _, asking = live
    for role in ("admin", "privacy-officer", "viewer", "auditor", "hospital-operator"):
        somebody = Asking(asking.app, PEOPLE[role])
        assert somebody.post("/api/training/start", json={"plan": PLAN}).status_code == 403
        for start in ({"action": "start", "plan": PLAN}, {"command": "start"}):
            assert somebody.post("/api/control", json=start).status_code == 403
