"""A whole federation of invented hospitals in this process, for whatever is measured around it.

Everything a coordinator keeps is there: a journal and an audit log synced to disk, checkpoints
with witnesses, and, where the plan is private, a ledger at every hospital (ADR 24).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegis.bench.problem import name_of, rows_of
from aegis.coordinator.steps import Study
from aegis.events import Event
from aegis.hospital.node import Node
from aegis.hospital.site import Site, VolatileMemory
from aegis.messages import Vector
from aegis.plan import Plan
from aegis.simulation.audit_trail import AuditTrail
from aegis.simulation.federation import Federation
from aegis.states import StartingPoint, Terminated
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.tasks.preparation import Feature, Preparation
from aegis.tasks.task import Dataset, Rows, find_task
from aegis.transport.transport import Transport
from aegis.wiring import federate

TASK = "fed_heart_disease"  # thirteen numbers, as the invented rows have
RUN = "bench"
EPSILON, DELTA = 8.0, 1e-5


@dataclass(frozen=True)
class Scene:
    plan: Plan
    study: Study
    home: Home
    journal: Journal
    trail: AuditTrail
    nodes: Mapping[str, Node]

    def run(self, road: Transport, weights: Vector, told: Callable[[Event], None]) -> Terminated:
        """A run that begins at ``weights``; what is private begins at public ranges instead, and
        has no other preparation."""
        begin = None
        if not self.plan.privacy.enabled:
            names = self.study.schema.names
            preparation = Preparation(tuple(Feature(name, name) for name in names)).to_json()
            begin = StartingPoint("", preparation, weights)
        listeners = [*self.trail.listeners, told]
        final = federate(
            self.study, RUN, road, self.journal, listeners, start=begin, stages_last=False
        )
        assert isinstance(final, Terminated)
        return final


@contextmanager
def scene(plan: Plan, hospitals: int) -> Iterator[Scene]:
    """Gone at the end, with its ledgers, journal and log."""
    study = Study(plan, find_task(TASK).schema)
    sites = dict(_site(study, number) for number in range(hospitals))
    some = next(iter(sites.values())).train
    federation = Federation(study, Dataset(some, source="invented", synthetic=True), sites)
    with tempfile.TemporaryDirectory(prefix="aegis-") as folder:
        home = Home(Path(folder)).prepare()
        journal = Journal(home.database)
        journal.open_run(RUN, plan.task, plan.to_json(), plan.sha256, {})
        with AuditTrail.begin(home, journal, RUN, plan, tuple(sites)) as trail:
            nodes = federation.nodes(VolatileMemory(), home.results(RUN))
            for name, watch in trail.watching.items():
                nodes[name].watch = watch
            try:
                yield Scene(plan, study, home, journal, trail, nodes)
            finally:
                for node in nodes.values():
                    if node.account is not None:
                        node.account.ledger.close()
        journal.close()


def private(mechanism: str) -> dict[str, Any]:
    return {"enabled": True, "mechanism": mechanism, "epsilon_budget": EPSILON, "delta": DELTA}


def _site(study: Study, number: int) -> tuple[str, Site]:
    design, labels = rows_of(number)
    columns = {name: design[:, j].astype(float) for j, name in enumerate(study.schema.names)}
    rows = Rows(columns, labels)
    few = rows.take(np.arange(10))
    name = name_of(number)
    return name, Site(name, study.schema, rows, few, few)
