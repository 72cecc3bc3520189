"""A thousand simulated hospitals with privacy on, and a hundred behind masks, as ``aegis run`` runs
them: ledgers, log and report included. Time and memory are written down; only what would be a
mistake of ours has a bar.

make prove PART=scale
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aegis.bench.sealed import lost_of
from tests.prove.scaling import EPSILON, KINDS, ROUNDS

ROOT = Path(__file__).parents[2]
# Of the process, where a thousand hospitals each send 41 histograms of 1000 bins; CPU of the whole.
MOST_MB, MOST_S = 4096, 600
RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"


def scaled(kind: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove.scaling", kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1500,
        env={**os.environ, "OMP_NUM_THREADS": "1", "AEGIS_DATABASE_URL": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_a_large_federation_keeps_every_promise(kind, measured):
    found = measured(kind, lambda: scaled(kind))
    print(f"\n{kind}: { {key: value for key, value in found.items() if key != 'took_part'} }")
    hospitals, _ = KINDS[kind]
    lost = lost_of(hospitals) if kind == "masked" else 0
    assert found["hospitals"] == hospitals
    assert found["rounds"] == ROUNDS
    assert sorted(found["took_part"]) == [0] * lost + [ROUNDS] * (hospitals - lost)
    assert found["verified"]
    assert found["epsilon"] <= EPSILON
    assert (found["epsilon"] > 0) == (kind != "masked")
    assert found["trust"] == ("masked" if kind.startswith("masked") else "open")
    assert found["peak_mb"] < MOST_MB
    assert found["cpu_s"] < MOST_S


@pytest.mark.prove
def test_the_figures_are_written_down(measured):
    found = {kind: measured(kind, lambda kind=kind: scaled(kind)) for kind in KINDS}
    targets = []
    for kind, one in found.items():
        about = f"{one['hospitals']} hospitals, {kind.replace('_', ' ')}"
        for what, name, most in (("peak memory, MB", "peak_mb", MOST_MB), ("s", "cpu_s", MOST_S)):
            value = one[name]
            said = "the whole run, s of CPU" if what == "s" else what
            targets.append(
                {"what": f"{said}, {about}", "value": value, "target": most, "met": value < most}
            )
    for one in found.values():
        del one["took_part"]
    document = {
        "problem": "symptom lists, 41 conditions, 5412 parameters, 3 rounds; of those behind masks "
        "a tenth is lost after sharing",
        "found": found,
        "targets": targets,
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
