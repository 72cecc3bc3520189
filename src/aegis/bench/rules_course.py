"""One matrix, all contenders, in a process with one thread: ``python -m aegis.bench.rules_course
ROWS LENGTH F TURNS OUT``.

Contenders take turns. Seconds are the processor's, since nothing here waits and the machine may be
shared; the speed at which memory is read is measured in the same turns, by the fastest way numpy
has. Whoever computes the same must find the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation.rules import rule
from aegis.bench.peers import rules as peers

RULES = ("fedavg", "median", "trimmed_mean", "krum", "multi_krum", "bulyan")
OTHERS = ("foolsgold", "centered_clipping", "geometric_median", "nnm_trimmed_mean", "bucketing")
NEEDS = {"flower": "flwr", "flower messages": "flwr", "byzfl": "byzfl"}
SAME = ("fedavg", "median", "trimmed_mean")
LONG = 10_000_000  # numbers in a row: from here on only ours run, and their memory is looked at
AGREEMENT = 1e-5


def ours(matrix: NDArray[np.float32], f: int) -> dict[str, Callable[[], Any]]:
    weights = np.ones(len(matrix))

    def of(name: str) -> Callable[[], Any]:
        made = rule(name, f=0 if name == "fedavg" else f)
        return lambda: made(matrix, weights).vector

    return {name: of(name) for name in (*RULES, *OTHERS)}


def contenders(matrix: NDArray[np.float32], f: int) -> dict[str, Mapping[str, Callable[[], Any]]]:
    found: dict[str, Mapping[str, Callable[[], Any]]] = {"aegis": ours(matrix, f)}
    if matrix.shape[1] >= LONG:
        return found
    makers = {"flower": peers.flower, "flower messages": peers.flower_messages}
    for name, make in {**makers, "byzfl": peers.byzfl}.items():
        if find_spec(NEEDS[name]) is not None:
            found[name] = make(matrix, f, f)
    return found


def main(rows: str, length: str, f: str, turns: str, out: str) -> None:
    matrix = np.random.default_rng(16).standard_normal((int(rows), int(length)), dtype=np.float32)
    racing = contenders(matrix, int(f))
    seconds: dict[str, dict[str, list[float]]] = {
        name: {rule: [] for rule in rules} for name, rules in racing.items()
    }
    reading: list[float] = []
    apart: dict[str, float] = {}
    extra: dict[str, float | None] = {}
    for turn in range(int(turns)):
        reading.append(_reading(matrix))
        for rule_name in (*RULES, *OTHERS):
            results = {}
            for name in racing:
                work = racing[name].get(rule_name)
                # Peers that take many seconds have one turn.
                if work is None or (turn and seconds[name][rule_name][0] > 10):
                    continue
                if name == "aegis":
                    before = _held(reset=True)
                began = process_time()
                results[name] = np.asarray(work())
                seconds[name][rule_name].append(process_time() - began)
                if name == "aegis":
                    held = _held()
                    extra[rule_name] = None if held is None or before is None else held - before
            if rule_name in SAME and not turn:
                for name, vector in results.items():
                    gap = float(np.abs(vector - results["aegis"]).max())
                    apart[name] = max(apart.get(name, 0.0), gap)
    document = {
        "seconds": {n: {r: t for r, t in rules.items() if t} for n, rules in seconds.items()},
        "reading": reading,
        "apart": apart,
        "extra_mb": extra,
        "bytes": matrix.nbytes,
    }
    Path(out).write_text(json.dumps(document))


def _reading(matrix: NDArray[np.float32]) -> float:
    """Seconds to read the matrix once: the faster of the greatest number and a plain product."""
    ones = np.ones(len(matrix), dtype=np.float32)
    ways: tuple[Callable[[], Any], ...] = (lambda: matrix.max(), lambda: ones @ matrix)
    found = []
    for way in ways:
        began = process_time()
        way()
        found.append(process_time() - began)
    return min(found)


def _held(reset: bool = False) -> float | None:
    """The most memory held since the last reset, or with ``reset`` what is held now, in MB."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    what = "VmRSS" if reset else "VmHWM"
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(what)), None)


if __name__ == "__main__":
    main(*sys.argv[1:])
