"""Seconds per round over each road, and our Flower road beside Flower as it comes.

``whole``: the same plan (a tiny private-free logistic regression, four hospitals, no scores between
rounds) run by the real processes of ``aegis.console.together``, in the open and masked, and in one
process for comparison. ``beside``: the same network trained in PyTorch by stock supernodes and by
our lines, over the same SuperLink, with its state in SQLite and in memory.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from aegis.bench.engine import machine
from aegis.errors import AegisError
from aegis.plan import Plan, load_plan

ROUNDS, FEW = 6, 2
ROADS = ("xmpp", "flower")
WANTED = {"flower over stock, SQLite": 3.0, "flower over stock, in memory": 5.0}
_PLAN = {
    "task": "breast_cancer",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}


def transports(
    hospitals: int = 4, told: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """One document that JSON can hold. A road whose engine is not installed is named with why."""
    began = monotonic()
    logging.getLogger("aegis").setLevel(logging.ERROR)
    whole, absent = _whole(hospitals, told)
    beside = {}
    try:
        beside = _beside(hospitals, told)
    except AegisError as error:
        absent["stock supernodes"] = str(error)
    targets = [
        {"what": name, "wanted": wanted, "found": beside[name]["ratio"]}
        for name, wanted in WANTED.items()
        if name in beside
    ]
    return {
        "what": "seconds per round over each road",
        "hospitals": hospitals,
        "rounds": ROUNDS,
        "machine": machine(),
        "whole": whole,
        "beside": beside,
        "targets": targets,
        "absent": absent,
        "seconds": round(monotonic() - began, 1),
    }


def table(document: dict[str, Any]) -> str:
    """The measurement as Markdown."""
    made = document["machine"]
    lines = [
        "# Roads",
        "",
        f"{document['hospitals']} hospitals, each a process of its own; logistic regression, 30 "
        f"columns. {made['cores']} cores, load {made['load']} at the end. Medians of "
        f"{document['rounds'] - 1} rounds after the first. Only ratios mean anything.",
        "",
        "| road | trust | seconds a round | whole run |",
        "|---|---|---|---|",
    ]
    for row in document["whole"]:
        lines.append(
            f"| {row['road']} | {row['trust']} | {row['round_s']:.3f} | {row['run_s']:.1f} |"
        )
    lines += ["", "| Flower as it comes, beside our line over it | stock | ours | ratio |"]
    lines += ["|---|---|---|---|"]
    for name, row in document["beside"].items():
        lines.append(
            f"| {name} | {row['stock_s']:.2f} s | {row['ours_s']:.2f} s | {row['ratio']:.1f} |"
        )
    for target in document["targets"]:
        lines.append("")
        lines.append(f"{target['what']}: {target['found']:.1f} (wanted: {target['wanted']:g})")
    for name, why in document["absent"].items():
        lines += ["", f"Not measured: {name} ({why})"]
    return "\n".join(lines) + "\n"


def _plan(hospitals: int, trust: str) -> Plan:
    said = {"federated.num_clients": str(hospitals), "federated.num_rounds": str(ROUNDS)}
    return load_plan(None, _PLAN | said | {"trust": trust}).plan


def _whole(
    hospitals: int, told: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    from aegis.console.together import together
    from aegis.simulation import local

    rows: list[dict[str, Any]] = []
    absent: dict[str, str] = {}
    plans = [_plan(hospitals, trust) for trust in ("open", "masked")]
    with tempfile.TemporaryDirectory(prefix="aegis-") as folder:
        for plan in plans:
            told(f"in one process, {plan.trust}")
            own = local.run(
                plan, home=Path(folder) / "one", compare=False, audit=False, files=False
            )
            rows.append(_row("one process", plan, own.document))
        for road in ROADS:
            try:
                with together(plans[0], road, home=Path(folder) / road) as federation:
                    for plan in plans:
                        told(f"{road}, {plan.trust}")
                        rows.append(_row(road, plan, federation.run(plan, 600)))
            except AegisError as error:
                absent[road] = str(error)
    return rows, absent


def _row(road: str, plan: Plan, found: dict[str, Any]) -> dict[str, Any]:
    later = [one["seconds"] for one in found["history"]][1:]
    return {
        "road": road,
        "trust": plan.trust,
        "round_s": median(later),
        "run_s": found["seconds"],
        "model_sha256": found["model_sha256"],
    }


def _beside(hospitals: int, told: Callable[[str], None]) -> dict[str, Any]:
    from aegis.bench.peers.flower_deployed import road, stock

    found = {}
    for name, in_memory in (("SQLite", False), ("in memory", True)):
        told(f"our line over Flower, {name}")
        ours = median(road(hospitals, ROUNDS, in_memory).seconds)
        told(f"Flower as it comes, {name}")
        theirs = median(stock(hospitals, FEW, in_memory).seconds)
        found[f"flower over stock, {name}"] = {
            "stock_s": theirs,
            "ours_s": ours,
            "ratio": theirs / ours,
        }
    return found
