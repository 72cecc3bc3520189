"""Lines that go down between real processes in real networks. Row 6 of the fault table.

    AEGIS_ROADS=flower make prove PART=faults_lines        (or xmpp; without it, xmpp)

Four hospitals, each in a network namespace of its own; a sealed sum among four needs three. One of
them may be cut off; without two of them nothing is opened, and nothing that could open it has left.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from itertools import pairwise

import pytest

from aegis.plan import load_plan
from aegis.simulation import local
from aegis.store.journal import Journal
from tests.prove.namespaces import FarScene, Lines
from tests.prove.scene import NAMES

pytestmark = [pytest.mark.prove, pytest.mark.engine]

ROADS = tuple(filter(None, os.environ.get("AEGIS_ROADS", "xmpp").split(",")))
ROUNDS, THRESHOLD = 8, 3
PLAN = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": str(ROUNDS),
    "federated.quorum": "3",
    "federated.deadline_s": "6",
    "federated.attempts": "60",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}


def plan(**changed):
    said = PLAN | {key.replace("__", "."): str(value) for key, value in changed.items()}
    found = load_plan(None, said).plan
    assert found.effective_trust == "masked"
    return found


@pytest.fixture(scope="module", params=ROADS)
def scene(request, tmp_path_factory):
    if request.param == "xmpp" and shutil.which("prosody") is None:
        pytest.skip("no Prosody is installed")
    lines = Lines.laid()
    try:
        found = FarScene(tmp_path_factory.mktemp(request.param), request.param, lines)
        try:
            yield found
        finally:
            found.close()
    finally:
        lines.close()


def there(scene: FarScene, count: int = 4) -> None:
    scene._until(lambda: sum(one["present"] for one in scene.state()["hospitals"]) >= count)


def events(scene: FarScene, run: str) -> list[dict]:
    journal = Journal.reading(scene.home.database)
    try:
        return [event for _, _, event in journal.events(run)]
    finally:
        journal.close()


def shares_given(scene: FarScene, run: str, round: int) -> int:
    """How many hospitals let shares of this round's secrets out, by their own books."""
    found = set()
    for name in NAMES:
        for line in scene.folders[name].sent.read_text().splitlines():
            said = json.loads(line)
            if (said["run"], said["round"], said["sent"]) == (run, round, "Unmasked"):
                found.add(name)
    return len(found)


@pytest.mark.parametrize("seconds", [5, 30, 120])
def test_a_run_goes_on_without_the_one_that_is_cut_off_and_takes_it_back(scene, measured, seconds):
    def how():
        there(scene)
        run = scene.begin(plan(federated__num_rounds=40 if seconds > 5 else ROUNDS))
        scene.reached(run, 2)
        began = time.monotonic()
        scene.lines.cut((NAMES[3],), seconds)
        meanwhile = [one["round"] for one in events(scene, run) if one["event"] == "RoundClosed"]
        found = scene.result(run, 300 + seconds)
        rounds = {one["name"]: one["rounds"] for one in found["hospitals"]}
        longest = slowest(scene, run)
        there(scene)
        return {
            "status": found["status"],
            "rounds_while_cut": max(meanwhile, default=0),
            "rounds": found["rounds"],
            "rounds_of_the_cut": rounds[NAMES[3]],
            "rounds_of_the_others": min(rounds[name] for name in NAMES[:3]),
            "longest_round_s": longest,
            "log_holds": found["audit_log"]["verified"],
            "seconds": round(time.monotonic() - began, 1),
        }

    figures = measured(f"{scene.road}: one of four cut off for {seconds} s", how)
    print(figures)
    assert figures["status"] == "completed"
    assert figures["rounds_of_the_others"] == figures["rounds"]
    assert figures["log_holds"]
    assert seconds == 5 or figures["rounds_while_cut"] >= 3


def slowest(scene: FarScene, run: str) -> float:
    """Seconds of the longest round, as the log has them."""
    from datetime import datetime

    journal = Journal.reading(scene.home.database)
    try:
        told = journal.events(run)
    finally:
        journal.close()
    times = [datetime.fromisoformat(at) for _, at, e in told if e["event"] == "RoundClosed"]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    return round(max(gaps, default=0.0), 1)


@pytest.mark.parametrize("seconds", [5, 30, 120])
def test_with_two_cut_off_nothing_is_opened_and_it_goes_on_when_they_are_back(
    scene, measured, seconds
):
    """The plan wants all in every round, so its model is the simulator's."""
    wanted = plan(federated__quorum="all")

    def how():
        whole = local.run(
            wanted, home=scene.root / "simulated", compare=False, audit=False, files=False
        )
        there(scene)
        run = scene.begin(wanted)
        scene.reached(run, 3)
        cutting = threading.Thread(target=scene.lines.cut, args=(NAMES[2:], seconds))
        began = time.monotonic()
        cutting.start()
        time.sleep(seconds * 0.8)
        before = [e for e in events(scene, run) if e["event"] == "RoundClosed"]
        cutting.join()
        opened = len([e for e in events(scene, run) if e["event"] == "RoundClosed"]) - len(before)
        found = scene.result(run, 300 + seconds)
        return {
            "status": found["status"],
            "rounds": found["rounds"],
            "closed_before_the_end_of_the_cut": len(before),
            "closed_in_its_last_fifth": opened,
            "same_model": found["model_sha256"] == whole.model_sha256,
            "log_holds": found["audit_log"]["verified"],
            "seconds_after_the_cut": round(time.monotonic() - began - seconds, 1),
        }

    figures = measured(f"{scene.road}: two of four cut off for {seconds} s", how)
    print(figures)
    assert figures["status"] == "completed"
    assert figures["rounds"] == ROUNDS
    assert figures["same_model"]
    assert figures["log_holds"]
    assert figures["closed_in_its_last_fifth"] == 0
    assert seconds == 5 or figures["closed_before_the_end_of_the_cut"] < ROUNDS


def test_more_cut_off_than_may_be_lost_end_the_run_without_a_share_too_many(scene, measured):
    """One attempt only: the run ends and says why, and what left the hospitals opens nothing."""

    def how():
        there(scene)
        run = scene.begin(plan(federated__attempts=1))
        scene.reached(run, 3)
        began = time.monotonic()
        for name in NAMES[2:]:
            scene.lines.set(name, "down")
        try:
            scene._until(lambda: scene.state()["run"] is None, 120)
            took = time.monotonic() - began
        finally:
            for name in NAMES[2:]:
                scene.lines.set(name, "up")
        told = events(scene, run)
        closed = [one["round"] for one in told if one["event"] == "RoundClosed"]
        sums = [one["round"] for one in told if one["event"] == "SumOpened"]
        last = max(one["round"] for one in told if one["event"] == "RoundOpened")
        aborted = next(one for one in told if one["event"] == "RunEnded")
        there(scene)
        return {
            "status": aborted["status"],
            "reason": aborted["reason"][:200],
            "seconds": round(took, 1),
            "last_round": last,
            "closed": max(closed, default=0),
            "sums_of_the_last_round": sums.count(last),
            "shares_given_in_it": shares_given(scene, run, last),
        }

    figures = measured(f"{scene.road}: two of four cut off, one attempt", how)
    print(figures)
    assert figures["status"] == "aborted"
    assert "hospitals" in figures["reason"]
    assert figures["closed"] == figures["last_round"] - 1
    assert figures["sums_of_the_last_round"] == 0
    assert figures["shares_given_in_it"] < THRESHOLD
    assert figures["seconds"] < 60
