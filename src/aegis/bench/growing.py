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
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Literal

from aegis import codec
from aegis.bench.contender import peak_mb
from aegis.bench.problem import LEARNING_RATE, SEED
from aegis.bench.scene import RUN, TASK, Scene, private, scene
from aegis.bench.sealed import Round
from aegis.events import Event, RoundOpened, RunEnded
from aegis.plan import Plan
from aegis.privacy.accounting import epsilon_rdp
from aegis.simulation.stacked import StackedHospitals
from aegis.tasks.models import Perceptron

INPUTS = 13


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
    marks: list[float] = []

    def told(event: Event) -> None:
        if isinstance(event, RoundOpened | RunEnded):
            marks.append(process_time())

    with scene(plan_of(case), case.hospitals) as here:
        began = perf_counter()
        final = here.run(StackedHospitals(here.nodes), case.model.initial(SEED), told)
        run_s = perf_counter() - began
        size = here.trail.log.size(RUN)
        found = _spent(here)
        events = here.journal.last_event(RUN)
        files = [path for path in here.home.root.rglob("*") if path.is_file()]
        disk = sum(path.stat().st_size for path in files)
        log = here.home.audit_log.stat().st_size
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
    exact = case.privacy == "none"
    return Plan(
        task=TASK,
        seed=SEED,
        trust=case.trust,
        data={"standardize": "federated" if exact else "none"},
        federated={"num_clients": case.hospitals, "num_rounds": case.rounds},
        model={"name": "mlp", "hidden": [case.width, case.width], "init": "uniform"},
        training={
            "solver": "sgd",
            "learning_rate": LEARNING_RATE,
            "batch_size": 32,
            "local_steps": 1,
            "tolerance": None,
        },
        privacy={"enabled": False} if exact else private(case.privacy),
        evaluation={"every": 0},
    )


def _spent(here: Scene) -> dict[str, Any]:
    """What the ledgers hold, where there are any, by Renyi: the exact account takes a hospital half
    a second."""
    ledgers = [node.account.ledger for node in here.nodes.values() if node.account is not None]
    if not ledgers:
        return {}
    spent, charged = [], 0
    for ledger in ledgers:
        ledger.verify()
        events = ledger.events(RUN)
        spent.append(epsilon_rdp(events, here.plan.privacy.delta))
        charged += len(events)
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
