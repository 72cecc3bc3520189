"""Large federations as ``aegis run`` runs them, each in a process of its own.

    python -m tests.prove.scaling KIND          KIND is one of ``KINDS``; JSON goes to stdout

Every hospital brings a file of invented symptom lists (41 conditions, 5412 parameters). The run has
everything that a run has: statistics of files, ledgers, journal, log with witnesses, registry,
report; only the comparison with each hospital alone and the attack on the model are left out. In
``masked`` a tenth of the hospitals is lost after sharing, so that its secrets must be put together.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aegis.bench.contender import peak_mb
from aegis.bench.sealed import lost_of
from aegis.messages import Absence, Answer, Request
from aegis.messages.stages import Mask
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.simulation.stacked import StackedHospitals
from aegis.tasks.symptoms import CONDITIONS, SYMPTOMS, invented
from tests.operations.test_chaos import somewhere

ROUNDS, EPSILON, LISTS = 3, 8.0, 40
PRIVATE = {"privacy.epsilon_budget": str(EPSILON), "privacy.delta": "1e-5"}
KINDS: dict[str, tuple[int, dict[str, str]]] = {
    "dp_sgd": (1000, PRIVATE | {"privacy.mechanism": "dp_sgd"}),
    "local_update": (1000, PRIVATE | {"privacy.mechanism": "local_update"}),
    "masked": (100, {"trust": "masked", "privacy.enabled": "false"}),
    "masked_private": (100, PRIVATE | {"trust": "masked", "privacy.mechanism": "dp_sgd"}),
}


class Losing(StackedHospitals):
    """A tenth of the hospitals has shared its secrets and then sends no masked update."""

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        lost = self.hospitals()[: lost_of(len(requests))]
        kept = {
            name: one
            for name, one in requests.items()
            if not (isinstance(one, Mask) and one.purpose == "train" and name in lost)
        }
        answers = dict(super().ask(kept, deadline_s))
        return answers | {name: Absence(name, "lost") for name in requests if name not in kept}


def write(folder: Path, hospitals: int) -> None:
    for number in range(hospitals):
        lists = invented(number, LISTS, 16)
        lines = [
            json.dumps(
                {
                    "symptoms": [SYMPTOMS[at] for at in np.flatnonzero(present)],
                    "condition": CONDITIONS[label],
                }
            )
            for present, label in zip(lists.present, lists.labels, strict=True)
        ]
        (folder / f"hospital_{number:04}.jsonl").write_text("\n".join(lines))


def scaled(kind: str, hospitals: int | None = None) -> dict[str, Any]:
    many, said = KINDS[kind]
    many = hospitals or many
    with somewhere() as home, tempfile.TemporaryDirectory() as folder:
        write(Path(folder), many)
        keys = {
            "task": "symptoms",
            "data.path": folder,
            "federated.partition.by": "site",
            "federated.num_clients": str(many),
            "federated.num_rounds": str(ROUNDS),
            "federated.quorum": str(many * 4 // 5),
            "trust": "open",
        }
        plan = load_plan(None, keys | said).plan
        began = time.monotonic()
        road = (lambda plan, nodes: Losing(nodes)) if kind == "masked" else None
        done = local.run(plan, home=home, compare=False, audit=False, road=road).document
        seconds = time.monotonic() - began
        disk = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    hospitals_of = done["hospitals"]
    return {
        "hospitals": len(hospitals_of),
        "rounds": done["rounds"],
        "trust": done["trust"],
        "took_part": [one["rounds"] for one in hospitals_of],
        "epsilon": max((one["epsilon"] or 0.0 for one in hospitals_of), default=0.0),
        "verified": done["audit_log"]["verified"],
        "entries": done["audit_log"]["size"],
        "round_s": sorted(one["seconds"] for one in done["history"])[ROUNDS // 2],
        "run_s": done["seconds"],
        "whole_s": round(seconds, 2),
        "cpu_s": round(time.process_time(), 2),
        "peak_mb": peak_mb(),
        "disk_mb": round(disk / 1e6, 1),
    }


if __name__ == "__main__":
    print(json.dumps(scaled(sys.argv[1], *map(int, sys.argv[2:]))))
