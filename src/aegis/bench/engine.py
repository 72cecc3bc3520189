"""``aegis bench engine``: how long a round takes, ours beside others, on this machine and now.

Each contender runs in a process of its own, one after the other and then all again, so that a busy
moment hits everybody; medians and minima are over all rounds but each process's first. All must
end with the same global weights, or the comparison is void. Quote the ratios, not the times.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import numpy as np

from aegis.bench.contender import CONTENDERS
from aegis.bench.memory import MemoryWatch
from aegis.errors import CheckFailed

YARDSTICK = "flower"
NEEDS = {"flower": ("flwr", "ray", "torch"), "plain": ("torch",), "pfl": ("pfl", "torch")}
TITLES = {
    "engine": "Aegis, engine alone",
    "whole": "Aegis, whole run",
    "charged": "Aegis, whole run with noise and ledgers",
    "sealed": "Aegis, whole run with noise, ledgers and sealed envelopes",
    "private": "Aegis, whole run with DP-SGD and ledgers",
    "flower": "Flower simulation (Ray)",
    "plain": "plain PyTorch loop",
    "pfl": "pfl-research",
}
# At least so many times the yardstick, by contender and number of hospitals.
TARGETS = {
    "engine": {8: 40.0, 100: 40.0, 1000: 60.0},
    "whole": {8: 15.0, 100: 20.0, 1000: 30.0},
    "charged": {8: 10.0, 100: 15.0, 1000: 20.0},
    "sealed": {8: 10.0, 100: 15.0, 1000: 20.0},
}
NOISY = {"charged", "sealed", "private"}  # they end elsewhere, on purpose
MOST_MEMORY_MB = 600.0  # for ours at 1000 hospitals
AGREEMENT = 1e-5
LONGEST_S = 900  # of one process

Measure: TypeAlias = Callable[[str, int, int], dict[str, Any]]
"""(contender, hospitals, rounds) -> seconds of each round, weights, peak_mb."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
}


def engine(
    hospitals: Sequence[int] = (8, 100, 1000),
    repeats: int = 3,
    seconds: float = 600.0,
    told: Callable[[str], None] = lambda text: None,
    contenders: Sequence[str] | None = None,
    rounds: int | None = None,
    measure: Measure | None = None,
) -> dict[str, Any]:
    """Measures every size ``repeats`` times, as long as ``seconds`` allow (at least once).

    ``rounds`` replaces the number of rounds that suits size and contender, ``measure`` the process
    of its own. The answer is made for JSON; raises ``CheckFailed`` where a contender breaks or ends
    with other weights.
    """
    began = monotonic()
    names = list(contenders or CONTENDERS)
    absent = {name: missing for name in names if (missing := _missing(name))}
    runners = [name for name in names if name not in absent]
    sizes = []
    for place, size in enumerate(hospitals):
        share = seconds * (place + 1) / len(hospitals)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in runners}
        turn, took = monotonic(), 0.0
        for repeat in range(repeats):
            if repeat and turn + took - began > share:
                told(f"{size} hospitals: stopped after {repeat} of {repeats} repetitions, for time")
                break
            for name in runners:
                told(f"{size} hospitals, repetition {repeat + 1}: {TITLES[name]}")
                runs[name].append((measure or _run)(name, size, rounds or _rounds(name, size)))
            turn, took = monotonic(), monotonic() - turn
        sizes.append(_summary(size, runs))
    document = {
        "what": "seconds per round of federated averaging, side by side",
        "problem": "13-64-32-16-1 network, 3521 parameters, 75-300 rows per hospital, "
        "one epoch, batches of 32, SGD 0.05",
        "machine": machine(),
        "sizes": sizes,
        "absent": {name: f"not installed: {', '.join(absent[name])}" for name in absent},
        "seconds": round(monotonic() - began, 1),
    }
    return {**document, "targets": _targets(sizes)}


def _missing(name: str) -> list[str]:
    return [module for module in NEEDS.get(name, ()) if find_spec(module) is None]


def _rounds(name: str, hospitals: int) -> int:
    most, work = {
        "flower": (12, 900),
        "plain": (20, 1200),
        "pfl": (20, 1200),
        **dict.fromkeys(NOISY, (40, 4000)),
    }.get(name, (150, 6000))
    return max(3, min(most, work // hospitals))


def _run(name: str, hospitals: int, rounds: int) -> dict[str, Any]:
    """What one process measured."""
    with tempfile.TemporaryDirectory(prefix="aegis-", ignore_cleanup_errors=True) as folder:
        out, log = Path(folder) / "out.json", Path(folder) / "log"
        command = [sys.executable, "-m", "aegis.bench.contender", name]
        environment = {
            **os.environ,
            **ENVIRONMENT,
            "FLWR_HOME": str(Path(folder) / "flwr"),
            "RAY_TMPDIR": folder,
        }
        with log.open("wb") as text:
            process = subprocess.Popen(  # noqa: S603, our own interpreter and module
                [*command, str(hospitals), str(rounds), str(out)],
                env=environment,
                stdout=text,
                stderr=subprocess.STDOUT,
            )
            try:
                with MemoryWatch(process.pid) as memory:
                    process.wait(LONGEST_S)
            except subprocess.TimeoutExpired as error:
                raise CheckFailed(
                    f"the contender {name} took more than {LONGEST_S} s at {hospitals} hospitals"
                ) from error
            finally:
                process.kill()
        if process.returncode or not out.exists():
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise CheckFailed(
                f"the contender {name} ended with {process.returncode} at {hospitals} hospitals",
                f"its last line was: {''.join(last)}",
            )
        found: dict[str, Any] = json.loads(out.read_text())
    peaks = [peak for peak in (found["peak_mb"], memory.peak_mb) if peak is not None]
    found["peak_mb"] = max(peaks) if peaks else None
    return found


def _summary(size: int, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    found: dict[str, Any] = {"hospitals": size, "contenders": {}}
    reference = np.array(runs["engine"][0]["weights"]) if "engine" in runs else None
    for name, repeated in runs.items():
        seconds = np.concatenate([run["seconds"] for run in repeated])
        apart = None
        if reference is not None and name not in NOISY:
            apart = max(float(np.abs(run["weights"] - reference).max()) for run in repeated)
            if not apart <= AGREEMENT:
                raise CheckFailed(
                    f"after three rounds of {size} hospitals {name} is {apart:.1e} away from ours",
                    f"at most {AGREEMENT:.0e} is rounding",
                )
        peaks = [run["peak_mb"] for run in repeated if run["peak_mb"] is not None]
        found["contenders"][name] = {
            "median_ms": float(np.median(seconds) * 1e3),
            "min_ms": float(seconds.min() * 1e3),
            "us_per_hospital": float(np.median(seconds) * 1e6 / size),
            "rounds": len(seconds),
            "repetitions": len(repeated),
            "peak_mb": max(peaks) if peaks else None,
            "apart": apart,
        }
    measured = found["contenders"]
    found["ratios"] = {
        name: {
            "median": measured[YARDSTICK]["median_ms"] / one["median_ms"],
            "min": measured[YARDSTICK]["min_ms"] / one["min_ms"],
        }
        for name, one in measured.items()
        if YARDSTICK in measured and name != YARDSTICK
    }
    return found


def _targets(sizes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for one in sizes:
        size = one["hospitals"]
        for name, ratio in one["ratios"].items():
            target = TARGETS.get(name, {}).get(size)
            if target is not None:
                what = f"{TITLES[name]} over {TITLES[YARDSTICK]}, {size} hospitals"
                found.append(_target(what, ratio["median"], target, ratio["median"] >= target))
        for name in TARGETS:
            peak = one["contenders"].get(name, {}).get("peak_mb")
            if size == 1000 and peak is not None:
                what = f"{TITLES[name]}, peak memory in MB, {size} hospitals"
                found.append(_target(what, peak, MOST_MEMORY_MB, peak < MOST_MEMORY_MB))
    return found


def _target(what: str, value: float, target: float, met: bool) -> dict[str, Any]:
    return {"what": what, "value": value, "target": target, "met": met}


def machine() -> dict[str, Any]:
    """What the measurement was made on."""
    versions: dict[str, str] = {}
    for name in ("numpy", "torch", "flwr", "ray", "pfl", "opacus"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }
