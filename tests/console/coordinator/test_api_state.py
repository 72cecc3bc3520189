"""S4's routes beside our own: one document, and the same for Prometheus."""

from __future__ import annotations

import json
import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aegis.console.coordinator.api.exposition import CONTENT_TYPE, STATUS, exposition
from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from tests.console.asking import Asking


@pytest.fixture
def asking(finished_home):
    return Asking(coordinator_app(Desk.of(finished_home.home)))


def result(found, run):
    return json.loads((found.home.results(run) / "result.json").read_text())


def test_the_state_has_our_names_and_the_dashboards(asking, finished_home):
    found = asking.get("/api/state").json()
    ours = {"state", "run", "round", "rounds", "road", "hospitals", "waiting_to_join", "error"}
    theirs = {
        "status", "current_round", "max_rounds", "total_agents", "connected_agents",
        "rounds_history", "agent_metrics", "global_model", "privacy_state", "model_versions",
    }  # fmt: skip
    assert ours | theirs <= set(found)
    document = result(finished_home, finished_home.open)
    assert (found["state"], found["run"], found["status"]) == ("Idle", None, "completed")
    last = found["rounds_history"][-1]
    assert set(last) == {"round", "accuracy", "loss", "precision", "recall", "samples"}
    assert last["loss"] == document["history"][-1]["global"]["log_loss"]
    for hospital in document["hospitals"]:
        assert (
            found["agent_metrics"][hospital["name"]]["accuracy"] == hospital["global"]["accuracy"]
        )
    assert found["global_model"]["accuracy"] == document["global"]["accuracy"]
    assert len(found["model_versions"]) == 2


def test_every_model_version_has_the_figures_of_its_card(asking, finished_home):
    models = asking.get("/api/models").json()["models"]
    runs = [finished_home.private, finished_home.open]
    assert [one["run_id"] for one in models] == runs
    for one, run in zip(models, runs, strict=True):
        document = result(finished_home, run)
        assert one["sha256"] == document["model_sha256"]
        assert one["accuracy"] == document["global"]["accuracy"]
        assert one["status"] == "stored"


NAMES = {
    "federation_current_round", "federation_connected_agents", "federation_status_code",
    "federation_global_accuracy", "federation_global_loss", "federation_global_precision",
    "federation_global_recall", "federation_privacy_min_remaining",
    "federation_privacy_any_exhausted", "federation_updates_rejected_total",
    "federation_model_versions_total",
}  # fmt: skip


def scraped(text):
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            assert sample.name not in found
            found[sample.name] = sample.value
    return found


def test_a_scraper_reads_the_documents_numbers(asking, finished_home):
    answer = asking.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    found = scraped(answer.text)
    assert set(found) >= NAMES
    document = result(finished_home, finished_home.open)
    assert found["federation_global_accuracy"] == document["global"]["accuracy"]
    assert found["federation_global_loss"] == document["global"]["log_loss"]
    assert found["federation_current_round"] == document["rounds"]
    assert found["federation_model_versions_total"] == 2
    assert found["federation_status_code"] == STATUS["completed"]
    assert math.isnan(found["federation_privacy_min_remaining"])


def test_a_private_runs_budget_is_counted_where_least_is_left(asking):
    state = asking.get("/api/state").json()
    spent = {
        "north": {"remaining": 0.4, "exhausted": False},
        "south": {"remaining": 0.0, "exhausted": True},
        "west": {"remaining": None, "exhausted": None},
    }
    found = scraped(exposition(state | {"privacy_state": spent}))
    assert found["federation_privacy_min_remaining"] == 0
    assert found["federation_privacy_any_exhausted"] == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "neither or both"),
        ({"action": "stop", "command": "stop"}, 400, "neither or both"),
        ({"action": "explode"}, 422, "body.action"),
        ({"command": "start", "max_rounds": 0}, 422, "body.max_rounds"),
        ({"command": "start", "task": "nonsense"}, 422, "nonsense"),
        ({"action": "start"}, 400, "needs a plan"),
        ({"action": "start", "plan": "a: [1"}, 400, "plan"),
        ({"action": "stop", "more": 1}, 422, "body.more"),
        ({"action": "stop"}, 409, "is over"),
    ],
)
def test_a_wish_that_cannot_be_met_says_why(asking, body, status, said):
    found = asking.post("/api/control", json=body)
    assert found.status_code == status
    assert said in json.dumps(found.json()["error"])
