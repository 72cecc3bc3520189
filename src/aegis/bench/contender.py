"""One contender in a process of its own: ``python -m aegis.bench.contender NAME HOSPITALS ROUNDS``.

A fresh process has a clean memory peak and clean thread pools. What was measured is written to a
file, because engines write what they like to the terminal.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from aegis.bench.problem import Contender, Measured

# Where each contender lies. Adding one is a line here and a function of ``problem.Contender``.
CONTENDERS = {
    "engine": "aegis.bench.ours:stacked",
    "whole": "aegis.bench.whole:whole_run",
    "charged": "aegis.bench.whole:charged_run",
    "sealed": "aegis.bench.whole:sealed_run",
    "private": "aegis.bench.whole:private_run",
    "flower": "aegis.bench.peers.flower:simulation",
    "plain": "aegis.bench.peers.plain:loop",
    "pfl": "aegis.bench.peers.pfl_research:simulation",
}


def contender(name: str) -> Contender:
    module, function = CONTENDERS[name].split(":")
    found: Contender = getattr(import_module(module), function)
    return found


def peak_mb() -> float | None:
    """The most memory this process ever held; unknown where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(name: str, hospitals: str, rounds: str, out: str) -> None:
    measured: Measured = contender(name)(int(hospitals), int(rounds))
    document = {
        "seconds": measured.seconds,
        "weights": measured.weights.tolist(),
        "peak_mb": peak_mb(),
    }
    Path(out).write_text(json.dumps(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
