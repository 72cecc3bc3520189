"""``aegis bench scale``: how time and memory grow with hospitals, parameters and rounds.

Each point is a federation in a process of its own (``growing``), so that one point's memory says
nothing about another's. What is drawn from it is an exponent: the slope of the line through the
last decade of a curve on scales of factors. Seconds (of CPU) say little about another machine,
their growth says much: 1 is proportional, 2 is every pair.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import numpy as np

from aegis.bench.engine import ENVIRONMENT, machine
from aegis.bench.growing import Case
from aegis.errors import CheckFailed

Measure: TypeAlias = Callable[[Case], Mapping[str, Any]]
Point: TypeAlias = Mapping[str, Any]

FEW, SMALL = 8, 3500  # hospitals and parameters where another axis grows
LONGEST_S = 1800  # of one process
DECADE = 10.5
LINES = {
    "open": "each update seen",
    "private": "DP-SGD, a ledger at each hospital",
    "masked": "sealed sums",
}
AXES = ("hospitals", "parameters", "rounds")
HOSPITALS = {
    "open": (4, 10, 30, 100, 300, 1000),
    "private": (4, 10, 30, 100, 300, 1000),
    "masked": (4, 8, 16, 32, 64, 100),
}
PARAMETERS = {
    "open": (10**3, 10**4, 10**5, 10**6, 10**7),
    "private": (10**3, 10**4, 10**5, 10**6),
    "masked": (10**3, 10**4, 10**5, 10**6),
}
ROUNDS = {"open": (10, 30, 100, 300, 1000), "private": (), "masked": (10, 30, 100, 300)}
MOST = {  # exponents: what would be a mistake of ours
    ("hospitals", "open", "round_s"): 1.25,
    ("hospitals", "private", "round_s"): 1.25,
    ("hospitals", "masked", "round_s"): 2.25,
    ("hospitals", "open", "grown_mb"): 1.25,
    ("parameters", "open", "round_s"): 1.25,
    ("parameters", "masked", "round_s"): 1.25,
    ("parameters", "open", "grown_mb"): 1.25,
    ("hospitals", "one", "hospital_s"): 1.25,
    ("hospitals", "one", "coordinator_s"): 2.25,
}
SETTLED = 100  # rounds after which nothing is new
MOST_SLOWER, MOST_MB = 1.5, 1.0  # the last rounds over those then; MB per 100 rounds since
QUANTITIES = {
    "round_s": "CPU seconds a round",
    "grown_mb": "memory",
    "hospital_s": "seconds of one hospital in a sum",
    "coordinator_s": "seconds of the coordinator in a sum",
}


def scale(
    hospitals: Sequence[int] = (),
    told: Callable[[str], None] = lambda text: None,
    measure: Measure | None = None,
) -> dict[str, Any]:
    """One document that JSON can hold. ``hospitals`` leaves out larger federations than its
    largest, ``measure`` replaces the process of its own. Raises ``CheckFailed`` where a case
    breaks."""
    began = monotonic()
    most = max(hospitals, default=1000)
    curves: list[dict[str, Any]] = []
    for axis, line, cases in _courses(most):
        points = []
        for case in cases:
            told(f"{axis}, {line}: {getattr(case, axis)}")
            points.append(dict((measure or _run)(case)))
        if points:
            curves.append({"axis": axis, "line": line, "points": points})
    for curve in curves:
        curve["exponents"] = {
            name: exponent([p[curve["axis"]] for p in curve["points"]], values)
            for name in QUANTITIES
            if len(values := [p[name] for p in curve["points"] if name in p]) > 2
        }
    document = {
        "what": "how time and memory grow",
        "problem": "a 13-h-h-1 network, one step of 32 rows a round, all hospitals in one process "
        f"one after the other; {FEW} hospitals and {SMALL} parameters where another axis grows",
        "machine": machine(),
        "curves": curves,
        "seconds": round(monotonic() - began, 1),
    }
    return {**document, "targets": _targets(curves)}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """k where ``values`` grow as ``sizes`` to the k over the last decade, or the last three."""
    wanted = max(3, sum(size >= max(sizes) / DECADE for size in sizes))
    x, y = (np.log(np.maximum(one[-wanted:], 1e-9)) for one in (sizes, values))
    return float(np.polyfit(x, y, 1)[0])


def curve_of(curves: Sequence[Mapping[str, Any]], axis: str, line: str) -> Mapping[str, Any] | None:
    return next((one for one in curves if (one["axis"], one["line"]) == (axis, line)), None)


def _courses(most: int) -> list[tuple[str, str, list[Case]]]:
    found: list[tuple[str, str, list[Case]]] = []
    for line in LINES:
        sizes = [n for n in HOSPITALS[line] if n <= most]
        found.append(
            ("hospitals", line, [_case(line, n, SMALL, 10 if n < 50 else 4) for n in sizes])
        )
        numbers = PARAMETERS[line]
        found.append(("parameters", line, [_case(line, FEW, d, 4) for d in numbers]))
        found.append(("rounds", line, [_case(line, FEW, SMALL, r) for r in ROUNDS[line]]))
    sums = [Case(n, SMALL, 1, "masked", sides=True) for n in HOSPITALS["masked"] if n <= most]
    return [*found, ("hospitals", "one", sums)]


def _case(line: str, hospitals: int, parameters: int, rounds: int) -> Case:
    return Case(
        hospitals,
        parameters,
        rounds,
        "masked" if line == "masked" else "open",
        "dp_sgd" if line == "private" else "none",
    )


def _run(case: Case) -> dict[str, Any]:
    """What one process measured."""
    with tempfile.TemporaryDirectory(prefix="aegis-") as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "aegis.bench.growing", json.dumps(asdict(case)), str(out)]
        try:
            done = subprocess.run(  # noqa: S603, our own interpreter and module
                command,
                env={**os.environ, **ENVIRONMENT},
                capture_output=True,
                text=True,
                timeout=LONGEST_S,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(f"{case} took more than {LONGEST_S} s") from error
        if done.returncode or not out.exists():
            last = done.stderr.strip().splitlines()[-1:]
            raise CheckFailed(
                f"{case} ended with {done.returncode}", f"its last line was: {''.join(last)}"
            )
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def _targets(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []

    def target(what: str, value: float, wanted: float) -> None:
        found.append({"what": what, "value": value, "target": wanted, "met": value <= wanted})

    for (axis, line, name), wanted in MOST.items():
        curve = curve_of(curves, axis, line)
        if curve is not None and name in curve["exponents"]:
            who = f", {LINES[line]}" if line in LINES else ""
            what = f"exponent over {axis}: {QUANTITIES[name]}{who}"
            target(what, curve["exponents"][name], wanted)
    for line in LINES:
        curve = curve_of(curves, "rounds", line)
        by = {point["rounds"]: point for point in curve["points"]} if curve else {}
        last = max(by, default=0)
        if SETTLED in by and last > SETTLED:
            slower = by[last]["last_tenth_s"] / by[SETTLED]["last_tenth_s"]
            target(
                f"a round after {last} over one after {SETTLED}, {LINES[line]}", slower, MOST_SLOWER
            )
            more = (by[last]["peak_mb"] - by[SETTLED]["peak_mb"]) / (last - SETTLED) * 100
            target(f"MB of memory per 100 rounds, {LINES[line]}", more, MOST_MB)
    return found


def table(document: Mapping[str, Any]) -> str:
    """The measurement as Markdown."""
    made = document["machine"]
    load = "unknown" if made["load"] is None else f"{made['load']:.1f}"
    lines = [
        "# Growth",
        "",
        f"{document['problem'].capitalize()}. {made['cores']} cores, load {load} at the end. "
        "Seconds are of CPU; read the exponents (over the last decade of each curve).",
        "",
    ]
    for axis in AXES:
        for line, title in LINES.items():
            curve = curve_of(document["curves"], axis, line)
            if curve is not None:
                lines += _grid(axis, title, curve)
    curve = curve_of(document["curves"], "hospitals", "one")
    if curve is not None:
        lines += ["## One sealed sum taken apart (a tenth of the hospitals lost)", ""]
        lines += [
            "| hospitals | one hospital, ms | coordinator, ms | to a hospital, KB | "
            "from a hospital, KB | all to the coordinator, MB |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {p['hospitals']} | {1e3 * p['hospital_s']:.1f} | {1e3 * p['coordinator_s']:.1f} | "
            f"{p['to_hospital_bytes'] / 1e3:.0f} | {p['from_hospital_bytes'] / 1e3:.0f} | "
            f"{p['to_coordinator_bytes'] / 1e6:.2f} |"
            for p in curve["points"]
        ]
        lines += [_exponents(curve), ""]
    lines += ["| target | measured | at most | |", "|---|---|---|---|"]
    for one in document["targets"]:
        met = "met" if one["met"] else "MISSED"
        lines.append(f"| {one['what']} | {one['value']:.2f} | {one['target']:g} | {met} |")
    return "\n".join(lines) + "\n"


def _grid(axis: str, title: str, curve: Mapping[str, Any]) -> list[str]:
    lines = [
        f"## Over {axis}: {title}",
        "",
        f"| {axis} | ms a round | peak memory, MB | of it grown, MB | disk, MB |",
        "|---|---|---|---|---|",
    ]
    for p in curve["points"]:
        lines.append(
            f"| {p[axis]:,} | {1e3 * p['round_s']:.3g} | {p['peak_mb']:.0f} | "
            f"{p['grown_mb']:.3g} | {p['disk_bytes'] / 1e6:.2f} |"
        )
    return [*lines, _exponents(curve), ""]


def _exponents(curve: Mapping[str, Any]) -> str:
    said = [f"{QUANTITIES[name]} {value:.2f}" for name, value in curve["exponents"].items()]
    return "\nExponents: " + ", ".join(said) + "."
