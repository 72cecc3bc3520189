"""Whole federations of real processes, each of them killed at random moments, and cut lines.

    AEGIS_ROADS=xmpp make prove PART=kills        (or flower; without it both)

One coordinator, its courier and four hospitals, as people start them. A hospital's line goes
through a wire that can be cut without either end hearing of it. The plan wants all hospitals in
every round, so the model must be the simulator's, whatever was killed.
"""

from __future__ import annotations

import random
import shutil
import time

import pytest

from aegis.plan import load_plan
from aegis.simulation import local
from tests.prove.scene import NAMES, ROADS, Scene

pytestmark = [pytest.mark.prove, pytest.mark.engine]

POINTS = range(3)
ROUNDS = 6
PLAN = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": str(ROUNDS),
    "federated.quorum": "all",
    "federated.attempts": "60",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}
# A SuperLink takes one or two seconds for a question to four hospitals; a masked round asks seven.
ON = {
    "xmpp": {"trust": "masked", "federated.deadline_s": "5"},
    "flower": {"trust": "open", "federated.deadline_s": "10"},
}


@pytest.fixture(scope="module")
def plan(scene):
    return load_plan(None, PLAN | ON[scene.road]).plan


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, plan) -> str:
    home = tmp_path_factory.mktemp("simulated")
    return local.run(plan, home=home, compare=False, audit=False, files=False).model_sha256


@pytest.fixture(scope="module", params=ROADS)
def scene(request, tmp_path_factory):
    if request.param == "xmpp" and shutil.which("prosody") is None:
        pytest.skip("no Prosody is installed")
    found = Scene(tmp_path_factory.mktemp(request.param), request.param)
    yield found
    found.close()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("victim", ["coordinator", "courier", "hospital"])
def test_whoever_is_killed_the_run_ends_with_the_simulators_model(
    scene, plan, simulated, measured, victim, point
):
    def outcome():
        draw = random.Random(f"{victim} {point}")
        run = scene.begin(plan)
        scene.reached(run, draw.randint(1, ROUNDS - 1))
        time.sleep(draw.random() * 2)
        began = time.monotonic()
        match victim:
            case "coordinator":
                scene.kill("coordinator")
                time.sleep(draw.random())
                scene.start("coordinator")
            case "courier":
                scene.kill_courier()
            case _:
                name = draw.choice(NAMES)
                scene.kill(name)
                time.sleep(draw.random() * 3)
                scene.start(name)
        found = scene.result(run)
        return {
            "status": found["status"],
            "rounds": found["rounds"],
            "same_model": found["model_sha256"] == simulated,
            "log_holds": found["audit_log"]["verified"],
            "seconds_from_the_kill": round(time.monotonic() - began, 1),
        }

    figures = measured(f"{scene.road}: {victim} killed, {point}", outcome)
    print(scene.road, victim, point, figures)
    assert figures["status"] == "completed"
    assert figures["rounds"] == ROUNDS
    assert figures["same_model"]
    assert figures["log_holds"]


@pytest.mark.parametrize("seconds", [5, 30, 120])
def test_a_line_that_is_cut_costs_its_time_and_nothing_else(
    scene, plan, simulated, measured, seconds
):
    def outcome():
        run = scene.begin(plan)
        scene.reached(run, 2)
        began = time.monotonic()
        scene.wire.cut(seconds)
        found = scene.result(run, 300 + seconds)
        return {
            "status": found["status"],
            "same_model": found["model_sha256"] == simulated,
            "log_holds": found["audit_log"]["verified"],
            "seconds_after_the_cut": round(time.monotonic() - began - seconds, 1),
        }

    figures = measured(f"{scene.road}: a line cut for {seconds} s", outcome)
    print(scene.road, "cut", seconds, figures)
    assert figures["status"] == "completed"
    assert figures["same_model"]
    assert figures["log_holds"]
