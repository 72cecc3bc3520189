"""The whole run: everything that a coordinator does around the engine, and what hospitals do.

``whole_run`` has the journal and the audit log synced to disk, each checkpoint cosigned by every
hospital. ``charged_run`` has DP-SGD besides, charged to a ledger on disk at each hospital before
anything is sent; ``sealed_run`` has each request and reply signed, sealed, and opened by its
receiver besides. Then every hospital trains by itself, where otherwise they are trained as one
stack. (Sealed sums are measured apart: ``aegis bench secagg`` and ``scale``.) The last evaluation
is not timed; the others have none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from aegis.bench.problem import COMPARED_ROUND, LEARNING_RATE, MODEL, SEED, Measured, rows_of, start
from aegis.coordinator.steps import Study
from aegis.events import Event, RoundOpened, RunEnded
from aegis.hospital.site import Site, VolatileMemory
from aegis.messages import Answer, Request, Train
from aegis.plan import Plan
from aegis.simulation.audit_trail import AuditTrail
from aegis.simulation.federation import Federation
from aegis.simulation.sealed_road import sealed_road
from aegis.simulation.stacked import StackedHospitals
from aegis.states import StartingPoint
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.tasks.preparation import Feature, Preparation
from aegis.tasks.task import Dataset, Rows, find_task
from aegis.wiring import federate

TASK = "fed_heart_disease"  # thirteen numbers, as the race course has
RUN = "bench"
EPSILON, DELTA = 8.0, 1e-5


def whole_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_plan(hospitals, rounds), hospitals)


def charged_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_private(hospitals, rounds), hospitals)


def sealed_run(hospitals: int, rounds: int) -> Measured:
    return _measured(_private(hospitals, rounds), hospitals, sealed=True)


def _measured(plan: Plan, hospitals: int, *, sealed: bool = False) -> Measured:
    study = Study(plan, find_task(TASK).schema)
    sites = dict(_site(study, number) for number in range(hospitals))
    some = next(iter(sites.values())).train
    federation = Federation(study, Dataset(some, source="invented", synthetic=True), sites)
    begin = None  # what is private begins at public ranges, and has no other preparation
    if not plan.privacy.enabled:
        names = study.schema.names
        preparation = Preparation(tuple(Feature(name, name) for name in names)).to_json()
        begin = StartingPoint("", preparation, start())
    opened: list[float] = []

    def told(event: Event) -> None:
        if isinstance(event, RoundOpened | RunEnded):
            opened.append(perf_counter())

    with tempfile.TemporaryDirectory(prefix="aegis-") as folder:
        home = Home(Path(folder)).prepare()
        journal = Journal(home.database)
        journal.open_run(RUN, plan.task, plan.to_json(), plan.sha256, {})
        with AuditTrail.begin(home, journal, RUN, plan, tuple(sites)) as trail:
            nodes = federation.nodes(VolatileMemory(), home.results(RUN))
            for name, watch in trail.watching.items():
                nodes[name].watch = watch
            watched = _Watched(nodes)
            road = sealed_road(plan, nodes) if sealed else watched
            listeners = [*trail.listeners, told]
            final = federate(study, RUN, road, journal, listeners, start=begin, stages_last=False)
            _check(plan, nodes, trail, final.progress.round)
        journal.close()
    seconds = [after - before for before, after in pairwise(opened)]
    rounds = final.progress.round
    weights = watched.compared if rounds > COMPARED_ROUND else final.progress.weights
    return Measured(seconds[1 : rounds - 1], weights)


def _check(plan: Plan, nodes: Mapping[str, Any], trail: AuditTrail, rounds: int) -> None:
    """What is said to be there was there. Ledgers are closed here."""
    assert trail.log.size(RUN) > rounds
    for node in nodes.values():
        if plan.privacy.enabled:
            assert len(node.account.ledger.events(RUN)) >= rounds
            node.account.ledger.close()


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


def _site(study: Study, number: int) -> tuple[str, Site]:
    design, labels = rows_of(number)
    columns = {name: design[:, j].astype(float) for j, name in enumerate(study.schema.names)}
    rows = Rows(columns, labels)
    few = rows.take(np.arange(10))
    name = f"hospital {number}"
    return name, Site(name, study.schema, rows, few, few)


def _private(hospitals: int, rounds: int) -> Plan:
    privacy = {"enabled": True, "mechanism": "dp_sgd", "epsilon_budget": EPSILON, "delta": DELTA}
    return _plan(hospitals, rounds, privacy=privacy, data={"standardize": "none"})


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
