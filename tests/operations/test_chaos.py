"""Twenty seeds of everything going wrong; ``make prove PART=chaos`` plays two hundred.

python -m tests.operations.test_chaos SEED        what happens in one of them, and when
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aegis.errors import RunAborted
from aegis.plan import Plan, load_plan
from aegis.simulation import local
from tests.operations import history
from tests.operations.chaos import Faults, Ground, Opened, World

_COUNT = itertools.count()

BASE = {
    "task": "breast_cancer",
    "federated.num_clients": "5",
    "federated.num_rounds": "3",
    "federated.deadline_s": "20",
    "federated.attempts": "8",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
}
EPSILON = 4.0
PRIVATE = {
    "privacy.enabled": "true",
    "privacy.mechanism": "local_update",
    "privacy.epsilon_budget": str(EPSILON),
    "training.solver": "sgd",
    "training.learning_rate": "0.1",
}


def kinds(seed: int) -> dict[str, str]:
    """What a seed is about: who sees what, who must be there, whether noise is charged."""
    draw = random.Random(f"plan {seed}")
    said = dict(BASE, trust=draw.choice(("open", "masked")))
    said["federated.quorum"] = draw.choice(("3", "4", "all"))
    said["evaluation.every"] = draw.choice(("0", "1"))
    return said | (PRIVATE if seed % 4 == 0 else {})


def plan_of(seed: int) -> Plan:
    return load_plan(None, kinds(seed)).plan


def play(ground: Ground, seed: int, logged: Callable[[], str] = str) -> dict[str, Any]:
    """One seed, and everything that must hold afterwards."""
    plan, faults = plan_of(seed), Faults.drawn(random.Random(f"faults {seed}"))
    run = f"chaos-{seed}-{next(_COUNT)}"
    before = {name: history.rows_of(ground.folder(name).ledger) for name in ground.names}
    world = World(ground, seed, faults)
    reason, found = "", None
    try:
        found = world.conduct(plan, run)
    except RunAborted as error:
        reason = str(error)
    finally:
        world.end()
    closed = history.rounds_are_one_chain(ground, run)
    history.ledgers_hold(ground, run, EPSILON * 1.2, before)
    history.nothing_secret_in(ground, [*world.wire, logged().encode()])
    if found is None:
        assert "hospitals" in reason, reason
    else:
        assert history.verified(found)
        assert closed == found["rounds"] == plan.federated.num_rounds
        if not plan.privacy.enabled and history.all_of(ground, run, found):
            assert found["model_sha256"] == undisturbed(plan.effective_trust)
    return {
        "ended": found is not None,
        "reason": reason,
        "rounds": closed,
        "virtual_s": round(world.now, 1),
        "deaths": sum(" dies " in what for _, what in world.trace),
        "trace": world.trace,
    }


@cache
def undisturbed(trust: str) -> str:
    """The model of the same plan where nothing goes wrong and all hospitals take part."""
    wanted = load_plan(None, BASE | {"trust": trust, "federated.quorum": "all"}).plan
    with tempfile.TemporaryDirectory() as home:
        done = local.run(wanted, home=Path(home), compare=False, audit=False, files=False)
    return done.model_sha256


@contextmanager
def somewhere() -> Iterator[Path]:
    """A folder in memory where there is one: each step syncs files, and none outlives a test."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as found:
        yield Path(found)


@pytest.fixture(scope="module")
def ground():
    with somewhere() as found:
        yield Ground(found)


@pytest.fixture(autouse=True)
def quiet():
    """Refused envelopes are the rule here."""
    log = logging.getLogger("aegis")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_goes_wrong_the_invariants_hold(ground, seed, caplog):
    play(ground, seed, lambda: caplog.text)


def test_a_seed_plays_the_same_again(ground):
    assert play(ground, 7)["trace"] == play(ground, 7)["trace"]


def test_the_checker_finds_what_it_is_there_to_find(ground):
    run = f"chaos-{1}-{next(_COUNT)}"
    world = World(ground, 1, Faults())
    try:
        world.conduct(plan_of(1), run)
    finally:
        world.end()
    history.rounds_are_one_chain(ground, run)
    with Opened(ground.office.home.database) as journal:
        journal._db.execute(
            "UPDATE events SET event=replace(event, 'next_sha256', 'was_sha256') WHERE run=?"
            " AND kind='RoundClosed'",
            (run,),
        )
        journal._db.execute("DELETE FROM training_history WHERE run=? AND round=2", (run,))
    with pytest.raises((AssertionError, KeyError)):
        history.rounds_are_one_chain(ground, run)
    secret = ground.folder(ground.names[0]).identity().signing.raw
    with pytest.raises(AssertionError):
        history.nothing_secret_in(ground, [b"harmless", b"x" + secret])


if __name__ == "__main__":
    logging.getLogger("aegis").setLevel(logging.CRITICAL)
    with somewhere() as place:
        shown = play(Ground(place), int(sys.argv[1]))
    for at, what in shown.pop("trace"):
        print(f"{at:10.3f} s  {what}")
    print(shown)
