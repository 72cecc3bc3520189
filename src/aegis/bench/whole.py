"""The whole run: everything that a coordinator does around the engine, and what hospitals do.

``whole_run`` is the same training with the journal, the audit log and its witnesses.
``charged_run`` has noise on each update besides, charged to a ledger at each hospital before
anything is sent; ``sealed_run`` has each request and each reply signed, sealed, numbered and opened
by its receiver besides. ``private_run`` has ledgers too, and DP-SGD in place of the plain training:
another and heavier work, which has a benchmark of its own (``aegis bench privacy``). Sealed sums
are measured apart (``aegis bench secagg`` and ``scale``). The last evaluation is not timed; the
others have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from time import perf_counter
from typing import Any

from aegis.bench.problem import COMPARED_ROUND, LEARNING_RATE, MODEL, SEED, Measured, start
from aegis.bench.scene import RUN, TASK, private, scene
from aegis.events import Event, RoundOpened, RunEnded
from aegis.messages import Answer, Request, Train
from aegis.plan import Plan
from aegis.simulation.sealed_road import sealed_road
from aegis.simulation.stacked import StackedHospitals


def whole_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_plan(hospitals, rounds), hospitals)


def charged_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_private(hospitals, rounds, "local_update"), hospitals)


def sealed_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_private(hospitals, rounds, "local_update"), hospitals, sealed=True)


def private_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_private(hospitals, rounds, "dp_sgd"), hospitals)


def _measured(plan: Plan, hospitals: int, *, sealed: bool = False) -> Measured:
    opened: list[float] = []

    def told(event: Event) -> None:
        if isinstance(event, RoundOpened | RunEnded):
            opened.append(perf_counter())

    with scene(plan, hospitals) as here:
        watched = _Watched(here.nodes)
        road = sealed_road(plan, here.nodes, inside=watched) if sealed else watched
        final = here.run(road, start(), told)
        rounds = final.progress.round
        assert here.trail.log.size(RUN) > rounds
        for node in here.nodes.values():
            assert node.account is None or len(node.account.ledger.events(RUN)) >= rounds
    seconds = [after - before for before, after in pairwise(opened)]
    weights = watched.compared if rounds > COMPARED_ROUND else final.progress.weights
    return Measured(seconds[1 : rounds - 1], weights)


class _Watched(StackedHospitals):
    """Remembers the weights that the round after the compared one starts from."""

    compared = start()

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        first = next(iter(requests.values()))
        if isinstance(first, Train) and first.round == COMPARED_ROUND + 1:
            self.compared = first.weights
        return super().ask(requests, deadline_s)


def _private(hospitals: int, rounds: int, mechanism: str) -> Plan:
    return _plan(hospitals, rounds, privacy=private(mechanism), data={"standardize": "none"})


def _plan(hospitals: int, rounds: int, **said: Any) -> Plan:
    return Plan(
        **{
            "task": TASK,
            "seed": SEED,
            "trust": "open",
            "data": {"standardize": "federated"},
            "federated": {"num_clients": hospitals, "num_rounds": rounds},
            "model": {"name": "mlp", "hidden": list(MODEL.hidden), "init": "uniform"},
            "training": {
                "solver": "sgd",
                "learning_rate": LEARNING_RATE,
                "batch_size": 32,
                "local_epochs": 1,
                "local_steps": None,
                "tolerance": None,
            },
            "privacy": {"enabled": False},
            "evaluation": {"every": 0},
            **said,
        }
    )
