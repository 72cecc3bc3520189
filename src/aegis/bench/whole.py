"""The whole run: coordinator, journal synced to disk, validation and events around the engine.

Hospitals live in this process, so nothing is signed or sealed. The last evaluation is not timed;
the others have none either.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np

from aegis.bench.problem import COMPARED_ROUND, LEARNING_RATE, MODEL, SEED, Measured, rows_of, start
from aegis.coordinator.steps import Study
from aegis.events import Event, RoundOpened, RunEnded
from aegis.hospital.node import Node
from aegis.hospital.site import Site
from aegis.messages import Answer, Request, Train
from aegis.plan import Plan
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.stacked import StackedHospitals
from aegis.states import StartingPoint
from aegis.store.journal import Journal
from aegis.tasks.preparation import Feature, Preparation
from aegis.tasks.task import Rows, find_task
from aegis.wiring import federate

TASK = "fed_heart_disease"  # thirteen numbers, as the race course has


def whole_run(hospitals: int, rounds: int) -> Measured:
    study = Study(_plan(hospitals, rounds), find_task(TASK).schema)
    names = study.schema.names
    preparation = Preparation(tuple(Feature(name, name) for name in names)).to_json()
    road = _Watched({f"hospital {n}": _node(study, n) for n in range(hospitals)})
    opened: list[float] = []

    def told(event: Event) -> None:
        if isinstance(event, RoundOpened | RunEnded):
            opened.append(perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "federated_learning.db")
        plan = study.plan
        journal.open_run("bench", plan.task, plan.to_json(), plan.sha256, {})
        begin = StartingPoint("", preparation, start())
        final = federate(study, "bench", road, journal, [told], start=begin)
        journal.close()
    seconds = [after - before for before, after in pairwise(opened)]
    weights = road.compared if rounds > COMPARED_ROUND else final.progress.weights
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


def _node(study: Study, number: int) -> Node:
    design, labels = rows_of(number)
    columns = {name: design[:, j].astype(float) for j, name in enumerate(study.schema.names)}
    rows = Rows(columns, labels)
    few = rows.take(np.arange(10))
    return Node(Site(f"hospital {number}", study.schema, rows, few, few), policy=PUBLIC)


def _plan(hospitals: int, rounds: int) -> Plan:
    return Plan(
        task=TASK,
        seed=SEED,
        data={"standardize": "federated"},
        federated={"num_clients": hospitals, "num_rounds": rounds},
        model={"name": "mlp", "hidden": list(MODEL.hidden), "init": "uniform"},
        training={
            "solver": "sgd",
            "learning_rate": LEARNING_RATE,
            "batch_size": 32,
            "local_epochs": 1,
            "local_steps": None,
        },
        evaluation={"every": 0},
    )
