"""One federation of a chosen size in a process of its own, and what it took.

    python -m aegis.bench.growing CASE OUT        CASE is a ``Case`` as JSON

Invented hospitals make one step of 32 rows in each round, so that time and memory are the
federation's and not those of training, which hospitals do side by side. All else is there: journal
and log synced to disk, checkpoints with witnesses, and, where the case says so, ledgers at every
hospital and sealed sums. All hospitals work in this one process, one after the other: what a single
hospital or the coordinator alone computes in a sealed sum is measured apart (``sides``). Seconds
are the CPU's: the machine may be shared, and a disk that syncs says nothing about growth.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Literal

import numpy as np

from aegis import codec
from aegis.bench.contender import peak_mb
from aegis.bench.problem import LEARNING_RATE, SEED, rows_of
from aegis.bench.sealed import Round
from aegis.coordinator.steps import Study
from aegis.events import Event, RoundOpened, RunEnded
from aegis.hospital.node import Node
from aegis.hospital.site import Site, VolatileMemory
from aegis.plan import Plan
from aegis.privacy.accounting import epsilon_rdp
from aegis.simulation.audit_trail import AuditTrail
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.states import StartingPoint, Terminated
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.tasks.models import Perceptron
from aegis.tasks.preparation import Feature, Preparation
from aegis.tasks.task import Dataset, Rows, find_task
from aegis.wiring import federate

TASK = "fed_heart_disease"  # thirteen numbers, as the invented rows have
RUN = "bench"
INPUTS = 13
EPSILON, DELTA = 8.0, 1e-5


@dataclass(frozen=True)
class Case:
    """``parameters`` is what is wanted; the nearest network of two equal layers is taken.
    ``sides`` measures one sealed sum taken apart instead of a run."""

    hospitals: int
    parameters: int
    rounds: int
    trust: Literal["open", "masked"] = "open"
    privacy: Literal["none", "dp_sgd", "local_update"] = "none"
    sides: bool = False

    @property
    def width(self) -> int:
        return max(1, round(math.sqrt(63 + self.parameters) - 8))

    @property
    def model(self) -> Perceptron:
        return Perceptron(INPUTS, (self.width, self.width))


def run(case: Case) -> dict[str, Any]:
    """Seconds of CPU of a round after the first, the most memory, and what is left on disk."""
    held = held_mb()
    plan = plan_of(case)
    study = Study(plan, find_task(TASK).schema)
    sites = {f"hospital_{n:04}": _site(study, n) for n in range(1, case.hospitals + 1)}
    some = next(iter(sites.values())).train
    federation = Federation(study, Dataset(some, source="invented", synthetic=True), sites)
    names = study.schema.names
    preparation = Preparation(tuple(Feature(name, name) for name in names)).to_json()
    start = None  # what is private begins at public ranges, and has no other preparation
    if case.privacy == "none":
        start = StartingPoint("", preparation, case.model.initial(SEED))
    marks: list[float] = []

    def told(event: Event) -> None:
        if isinstance(event, RoundOpened | RunEnded):
            marks.append(process_time())

    with tempfile.TemporaryDirectory(prefix="aegis-") as folder:
        home = Home(Path(folder)).prepare()
        journal = Journal(home.database)
        journal.open_run(RUN, plan.task, plan.to_json(), plan.sha256, {})
        results = home.results(RUN)
        with AuditTrail.begin(home, journal, RUN, plan, tuple(sites)) as trail:
            nodes = federation.nodes(VolatileMemory(), results)
            for name, watch in trail.watching.items():
                nodes[name].watch = watch
            began = perf_counter()
            listeners = [*trail.listeners, told]
            road = StackedHospitals(nodes)
            final = federate(study, RUN, road, journal, listeners, start=start, stages_last=False)
            run_s = perf_counter() - began
            size = trail.log.size(RUN)
            found = _spent(plan, nodes)
        events = journal.last_event(RUN)
        journal.close()
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        disk = sum(path.stat().st_size for path in files)
        log = home.audit_log.stat().st_size
    assert isinstance(final, Terminated)
    seconds = [after - before for before, after in pairwise(marks)]
    return {
        **_said(case),
        "rounds_done": final.progress.round,
        "round_s": median(seconds[1:] or seconds),
        "first_s": seconds[0],
        "last_tenth_s": median(seconds[-max(1, len(seconds) // 10) :]),
        "run_s": run_s,
        **_memory(held),
        "disk_bytes": disk,
        "log_bytes": log,
        "entries": size,
        "events": events,
        **found,
    }


def sides(case: Case) -> dict[str, Any]:
    """Seconds of CPU of one hospital and of the coordinator in one sealed sum of which a tenth of
    the hospitals is lost, and the bytes that go either way."""
    one = Round(case.hospitals, case.model.size, 64)
    found: dict[str, Any] = _said(case)
    for name, work in (("hospital", one.hospital), ("coordinator", one.coordinator)):
        taken = []
        for _ in range(3):
            began = process_time()
            work()
            taken.append(process_time() - began)
        found[f"{name}_s"] = median(taken)
    found["to_hospital_bytes"] = sum(len(codec.dumps(asked)) for asked in one.asked)
    first = one.names[0]
    replies = [answers[first] for answers in one.answers if first in answers]
    found["from_hospital_bytes"] = sum(len(codec.dumps(reply)) for reply in replies)
    found["to_coordinator_bytes"] = sum(
        len(codec.dumps(reply)) for answers in one.answers for reply in answers.values()
    )
    return found | {"peak_mb": peak_mb()}


def plan_of(case: Case) -> Plan:
    privacy: dict[str, Any] = {"enabled": False}
    if case.privacy != "none":
        privacy = {
            "enabled": True,
            "mechanism": case.privacy,
            "epsilon_budget": EPSILON,
            "delta": DELTA,
        }
    return Plan(
        task=TASK,
        seed=SEED,
        trust=case.trust,
        data={"standardize": "federated" if case.privacy == "none" else "none"},
        federated={"num_clients": case.hospitals, "num_rounds": case.rounds},
        model={"name": "mlp", "hidden": [case.width, case.width], "init": "uniform"},
        training={
            "solver": "sgd",
            "learning_rate": LEARNING_RATE,
            "batch_size": 32,
            "local_steps": 1,
            "tolerance": None,
        },
        privacy=privacy,
        evaluation={"every": 0},
    )


def _site(study: Study, number: int) -> Site:
    design, labels = rows_of(number)
    columns = {name: design[:, j].astype(float) for j, name in enumerate(study.schema.names)}
    rows = Rows(columns, labels)
    few = rows.take(np.arange(10))
    return Site(f"hospital_{number:04}", study.schema, rows, few, few)


def _spent(plan: Plan, nodes: Mapping[str, Node]) -> dict[str, Any]:
    """What the ledgers hold, where there are any, by Renyi: the exact account takes a hospital half
    a second. They are closed here."""
    ledgers = [node.account.ledger for node in nodes.values() if node.account is not None]
    if not ledgers:
        return {}
    spent, charged = [], 0
    for ledger in ledgers:
        ledger.verify()
        events = ledger.events(RUN)
        spent.append(epsilon_rdp(events, plan.privacy.delta))
        charged += len(events)
        ledger.close()
    return {"ledgers": len(ledgers), "epsilon": max(spent), "charges": charged}


def _memory(before: float) -> dict[str, float]:
    peak = peak_mb() or 0.0
    return {"peak_mb": peak, "grown_mb": max(peak - before, 0.1)}


def held_mb() -> float:
    """What this process holds now; 0 where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _said(case: Case) -> dict[str, Any]:
    return {**asdict(case), "parameters": case.model.size}


if __name__ == "__main__":
    wanted = Case(**json.loads(sys.argv[1]))
    measured = sides(wanted) if wanted.sides else run(wanted)
    Path(sys.argv[2]).write_text(json.dumps(measured))
