"""Eight hospitals for a thousand rounds in which something always goes wrong, in one process.

    python -m tests.prove.soak KIND ROUNDS SEED

The world of ``tests.operations.chaos`` with faults that never stop: whoever starts is doomed to die
some thousand steps later, lines are cut all the time, messages are lost, late, repeated and spoilt.
After each round the process is looked at (memory, descriptors, threads, seconds of CPU). At the end
the invariants are held against the files. One JSON document goes to stdout.

Real processes give all their memory back when they die. Here a hundred die in one, and each leaves
holes in its heap, the larger the more history it had read when it began again. So memory in use is
what counts (glibc's own account of it, where Python's pools are left out: PYTHONMALLOC=malloc);
elsewhere it is what is resident, and that is written down beside it.

``sure`` waits for all hospitals in every round, so its model must be the one of a run without any
fault; ``private`` charges ledgers at every hospital; ``masked`` goes through the sealed sum.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aegis.hospital.chain import recorded
from aegis.hospital.ledger import Ledger
from aegis.plan import Plan, load_plan
from aegis.simulation import local
from aegis.store.audit_log import AuditLog
from tests.operations import chaos, history
from tests.operations.chaos import COORDINATOR, Faults, Ground, World
from tests.operations.test_chaos import BASE, PRIVATE, somewhere

HOSPITALS = 8
ROUNDS = {"sure": 1000, "private": 600, "masked": 450}
FAULTS = Faults(
    lost=0.02, late_s=0.05, repeated=0.05, spoilt=0.01, coordinator_deaths=1, hospital_deaths=1,
    steps=4000,
)  # fmt: skip
EPSILON = 4.0
SURE = {"federated.quorum": "all", "federated.attempts": "20", "evaluation.every": "5"}
KINDS = {
    "sure": SURE | {"trust": "open"},
    "private": PRIVATE | {"trust": "open", "federated.quorum": "5", "evaluation.every": "5"},
    "masked": SURE | {"trust": "masked", "evaluation.every": "0"},
}


def plan_of(kind: str, rounds: int) -> Plan:
    said = {"federated.num_clients": str(HOSPITALS), "federated.num_rounds": str(rounds)}
    return load_plan(None, BASE | {"training.tolerance": "null"} | KINDS[kind] | said).plan


class Weather(World):
    """``samples`` holds a line a round: memory in use, descriptors, threads, seconds of CPU, and
    memory that is resident; in KiB."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self.samples: list[tuple[int, int, int, float, int]] = []
        self.deaths = self.restarts = self.cuts = 0
        super().__init__(ground, seed, FAULTS, trace=deque(maxlen=200), wire=deque(maxlen=200))  # type: ignore[arg-type]
        self._deaths = 1 << 30
        self._cut_again()

    def tell(self, what: str) -> None:
        super().tell(what)
        self.deaths += " dies " in what
        self.restarts += what == "coordinator starts again"
        if what == "RoundClosed":
            self.samples.append(looked_at())

    def _life(self, plan: Plan, run: str) -> dict[str, Any]:
        self._doomed(COORDINATOR)
        return super()._life(plan, run)

    def _start(self, hospital: str) -> None:
        super()._start(hospital)
        self._doomed(hospital)

    def _cut_again(self) -> None:
        name, seconds = self.draw.choice(self.ground.names), self.draw.choice((5, 15, 60))
        if self.now:
            self.cuts += 1
            self._cut_for(name, seconds)
        self._at(self.draw.uniform(60, 600), self._cut_again)


def looked_at() -> tuple[int, int, int, float, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE") >> 10
    handles = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    return in_use() or resident, handles, threads, time.process_time(), resident


class _Account(ctypes.Structure):
    """``struct mallinfo2`` (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def in_use() -> int:
    """KiB of the heap that are in use; 0 where the C library does not say."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None or os.environ.get("PYTHONMALLOC") != "malloc":
        return 0
    ask.restype = _Account
    found = ask()
    return int(found.uordblks + found.hblkhd) >> 10


def undisturbed(plan: Plan) -> str:
    with somewhere() as home:
        done = local.run(plan, home=home, compare=False, audit=False, files=False)
    return done.model_sha256


def epsilon_of(ground: Ground, name: str, run: str, plan: Plan) -> float:
    """What the run was charged, by the exact account."""
    path = ground.folder(name).ledger
    if not path.exists():
        return 0.0
    ledger = Ledger.open(path, recorded(path)[0][0].detail)
    try:
        return ledger.spent(plan.privacy.delta, run).pld
    finally:
        ledger.close()


def soak(kind: str, rounds: int, seed: int) -> dict[str, Any]:
    began, plan, run = time.monotonic(), plan_of(kind, rounds), f"soak-{kind}"
    with somewhere() as folder, patch.object(chaos, "MOST_S", 1e9):
        ground = Ground(folder, HOSPITALS)
        world = Weather(ground, seed)
        try:
            found = world.conduct(plan, run)
        finally:
            world.end()
        seconds = time.monotonic() - began
        assert history.verified(found)
        closed = history.rounds_are_one_chain(ground, run)
        history.ledgers_hold(ground, run, EPSILON * 1.2, {})
        history.nothing_secret_in(ground, world.wire)
        log = AuditLog.reading(ground.office.home.audit_log)
        entries, checkpoints = log.size(run), len(log.checkpoints(run))
        log.close()
        spent = [epsilon_of(ground, name, run, plan) for name in ground.names]
        sizes = {
            str(path.relative_to(folder)): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
        }
    return {
        "rounds": closed,
        "planned": found["rounds"],
        "entries": entries,
        "checkpoints": checkpoints,
        "epsilon": max(spent),
        "same_model": found["model_sha256"] == undisturbed(plan) if kind != "private" else None,
        "deaths": world.deaths,
        "restarts": world.restarts,
        "cuts": world.cuts,
        "virtual_s": round(world.now),
        "seconds": round(seconds, 1),
        "disk_kib": sum(sizes.values()) >> 10,
        "largest": sorted(((size >> 10, name) for name, size in sizes.items()), reverse=True)[:12],
        "samples": world.samples,
    }


if __name__ == "__main__":
    logging.getLogger("aegis").setLevel(logging.CRITICAL)
    print(json.dumps(soak(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
