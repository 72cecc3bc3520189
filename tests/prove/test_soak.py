"""A thousand rounds of eight hospitals with faults that never stop, six hundred with privacy and
four hundred and fifty behind masks: nothing grows but the files, every invariant holds, and with
all hospitals in every round the model is the one of a run without a fault. Each is kept as it ends.

make prove PART=soak
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.prove.soak import EPSILON, KINDS, ROUNDS

ROOT = Path(__file__).parents[2]
WARM = 300  # rounds in which caches fill: SQLite's, checked signatures
MOST_MIB, MOST_SLOWER = 1.0, 1.5  # per 100 rounds; the last tenth over the third tenth
LONGEST_S = 1500
ALONE = {"OMP_NUM_THREADS": "1", "AEGIS_DATABASE_URL": "", "PYTHONMALLOC": "malloc"}
RESULTS = ROOT / "benchmarks" / "results" / "soak.json"


def slope(values: Sequence[float]) -> float:
    """The median of the slopes of all pairs (Theil and Sen), per step."""
    y = np.asarray(values, dtype=np.float64)
    early, late = np.triu_indices(len(y), 1)
    return float(np.median((y[late] - y[early]) / (late - early)))


def figures(samples: Sequence[Sequence[float]]) -> dict[str, float]:
    """Of memory in use (KiB), descriptors, threads, CPU and resident memory after each round."""
    memory, handles, threads, seconds, resident = np.asarray(samples, dtype=np.float64).T
    cost = np.diff(seconds)
    half, tenth = len(samples) // 2, len(samples) // 10
    return {
        "mib_per_100_rounds": 100 * slope(memory[WARM:]) / 1024,
        "memory_mib": float(memory[-1] / 1024),
        "resident_mib_per_100_rounds": 100 * slope(resident[WARM:]) / 1024,
        "more_handles": float(handles[half:].max() - handles[:half].max()),
        "more_threads": float(threads[half:].max() - threads[:half].max()),
        "slower": float(np.median(cost[-tenth:]) / np.median(cost[2 * tenth : 3 * tenth])),
        "ms_a_round": 1e3 * float(np.median(cost)),
    }


def check(found: dict[str, float]) -> None:
    assert found["mib_per_100_rounds"] < MOST_MIB
    assert found["more_handles"] <= 0
    assert found["more_threads"] <= 0
    assert found["slower"] <= MOST_SLOWER


def soaked(kind: str) -> dict[str, Any]:
    seed = str(list(KINDS).index(kind))
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove.soak", kind, str(ROUNDS[kind]), seed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env=os.environ | ALONE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | figures(found.pop("samples"))


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_rounds_of_faults_leave_nothing_behind(kind, measured):
    found = measured(kind, lambda: soaked(kind))
    print(f"\n{kind}: {found}")
    assert found["rounds"] == found["planned"] == ROUNDS[kind]
    assert found["checkpoints"] >= ROUNDS[kind]
    assert found["deaths"] >= 50
    assert found["restarts"] >= 10
    assert found["cuts"] >= 10
    if kind == "private":
        assert 0 < found["epsilon"] <= EPSILON
    else:
        assert found["same_model"]
    check(found)


@pytest.mark.prove
def test_the_figures_are_written_down(measured):
    found = {kind: measured(kind, lambda kind=kind: soaked(kind)) for kind in KINDS}
    targets = []
    for kind, one in found.items():
        for what, name, most in (
            ("MiB of memory in use per 100 rounds", "mib_per_100_rounds", MOST_MIB),
            ("CPU of a round, the last tenth over the third", "slower", MOST_SLOWER),
            ("more descriptors in the second half", "more_handles", 0),
            ("more threads in the second half", "more_threads", 0),
        ):
            value = one[name]
            targets.append(
                {"what": f"{what}, {kind}", "value": value, "target": most, "met": value <= most}
            )
    document = {
        "problem": "8 hospitals, messages lost, late, repeated and spoilt, lines cut, "
        + ", ".join(
            f"{kind}: {one['rounds']} rounds with {one['deaths']} deaths of processes "
            f"({one['restarts']} of the coordinator; resident memory of the one process in which "
            f"all died: {one['resident_mib_per_100_rounds']:+.2f} MiB per 100 rounds)"
            for kind, one in found.items()
        ),
        "found": found,
        "targets": targets,
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def test_a_leak_would_be_found():
    draw = np.random.default_rng(1)
    noise = draw.normal(0, 300, 1000)
    rounds = np.arange(1000)
    flat = [100_000 + noise, np.full(1000, 50), np.ones(1000), 0.1 * rounds, np.ones(1000)]
    check(figures(np.stack(flat, axis=1)))
    for place, grown in enumerate(
        (
            flat[0] + 11 * rounds,
            50 + rounds // 600,
            1 + rounds // 600,
            0.05 * rounds + 2e-4 * rounds**2,
        )
    ):
        leaking = [*flat[:place], grown, *flat[place + 1 :]]
        with pytest.raises(AssertionError):
            check(figures(np.stack(leaking, axis=1)))
