"""Real processes on real couriers: one model on every road, and whatever is killed, it goes on.

``AEGIS_ROADS=flower`` or ``xmpp`` picks one road; without it, both.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from aegis.console.together import together
from aegis.events import RoundOpened
from aegis.operations.hospital.process import budget
from aegis.plan import load_plan
from aegis.simulation import local

pytestmark = [pytest.mark.prove, pytest.mark.engine]

ROADS = tuple(filter(None, os.environ.get("AEGIS_ROADS", "flower,xmpp").split(",")))
KILLS = 3
HEART = {
    "task": "heart",
    "federated.num_clients": "4",
    "federated.num_rounds": "10",
    "federated.quorum": "all",
    "federated.partition.by": "site",
    "training.solver": "newton",
    "training.l2": "3.3333333333333335",
    "training.tolerance": "1e-8",
    "privacy.enabled": "false",
}
WISCONSIN = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": "6",
    "federated.quorum": "3",
    "federated.deadline_s": "8",
    "federated.attempts": "6",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}


def said(values, **changed):
    return load_plan(None, values | {k.replace("__", "."): v for k, v in changed.items()}).plan


@pytest.fixture
def data_directory():
    where = os.environ.get("AEGIS_DATA_DIR")
    if not where:
        pytest.skip("AEGIS_DATA_DIR names no folder with the heart data")
    return Path(where)


@pytest.fixture(params=ROADS)
def road(request):
    return request.param


@pytest.mark.data
def test_four_real_centres_end_with_the_model_of_the_simulator(road, tmp_path, data_directory):
    plan = said(HEART)
    alone = local.run(
        plan,
        home=tmp_path / "alone",
        data_directory=data_directory,
        compare=False,
        audit=False,
        files=False,
    )
    home = tmp_path / "together"
    with together(plan, road, home=home, data_directory=data_directory) as federation:
        first = federation.run(plan, 600)
        second = federation.run(plan, 600)  # without restarting anything
    assert first["model_sha256"] == second["model_sha256"] == alone.model_sha256
    assert first["audit_log"]["verified"]
    assert first["audit_log"]["witnesses"] == 4


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_hospital_that_is_killed_and_restarted_costs_no_round(road, tmp_path, seed):
    draw = random.Random(seed)
    plan = said(WISCONSIN)
    reached = threading.Event()
    at = draw.randint(1, 4)

    def heard(event):
        if isinstance(event, RoundOpened) and event.round >= at:
            reached.set()

    with together(plan, road, home=tmp_path, listeners=(heard,)) as federation:
        run = federation.coordinator.submit(plan)
        assert reached.wait(300)
        time.sleep(draw.random() * 2)
        victim = draw.choice(sorted(federation.folders))
        process = federation.processes[victim]
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(draw.random() * 3)
        federation.start(victim)
        found = federation.coordinator.wait(run, 600)
    assert found["status"] == "completed"
    assert found["rounds"] == 6
    assert found["audit_log"]["verified"]


def test_ledgers_are_charged_once_whoever_is_killed(road, tmp_path):
    private = {
        "privacy__enabled": "true",
        "privacy__mechanism": "local_update",
        "privacy__epsilon_budget": "4",
        "training__solver": "sgd",
        "training__learning_rate": "0.1",
        "federated__quorum": "3",
    }
    plan = said(WISCONSIN, **private)
    reached = threading.Event()

    def heard(event):
        if isinstance(event, RoundOpened) and event.round >= 3:
            reached.set()

    with together(plan, road, home=tmp_path, listeners=(heard,)) as federation:
        run = federation.coordinator.submit(plan)
        assert reached.wait(300)
        federation.processes["hospital_02"].kill()
        federation.processes["hospital_02"].wait()
        federation.start("hospital_02")
        found = federation.coordinator.wait(run, 600)
        for hospital in found["hospitals"]:
            spent = budget(federation.folders[hospital["name"]])
            assert 0 < hospital["epsilon"] <= 4.001
            assert spent["runs"][0]["epsilon"] == pytest.approx(hospital["epsilon"], rel=1e-3)
