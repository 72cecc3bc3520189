"""One harness under atheris: libFuzzer keeps what reached new code of ours, and changes it further.

python -m tests.fuzz.guided HARNESS RUNS        so many executions; findings go where cases go

Half of the changes are the harness's own, half are libFuzzer's. It ends its process by itself,
without a word to Python, so each harness has a process of its own, which says what it found as it
finds it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
LARGEST = 1 << 16
FOUND = "found: "
_BEGUN, _COVERED = re.compile(rb"INITED +cov: (\d+)"), re.compile(rb"cov: (\d+)")
_DONE = re.compile(rb"stat::number_of_executed_units: +(\d+)")


def installed() -> bool:
    return find_spec("atheris") is not None


def guided(name: str, runs: int) -> dict[str, Any]:
    """Executions, covered edges of the house's code after the seeds and in the end, findings.
    Raises ``RuntimeError`` where it ended otherwise than by having done its runs."""
    with tempfile.TemporaryDirectory(prefix="aegis-fuzz-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, str(runs)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
    units, begun, covered = (one.findall(done.stderr) for one in (_DONE, _BEGUN, _COVERED))
    if done.returncode or not units:
        said = done.stderr.decode("utf-8", "replace")[-2000:]
        raise RuntimeError(f"{name} ended with {done.returncode}: {said}")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return {
        "executions": int(units[-1]),
        "edges of the seeds": int(begun[0]) if begun else 0,
        "edges": int(covered[-1]) if covered else 0,
        "findings": [line.removeprefix(FOUND) for line in lines if line.startswith(FOUND)],
    }


def _run(name: str, runs: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["aegis"]):  # also of what is imported late
        from tests.fuzz.driving import harness, kept
        from tests.fuzz.harness import judged, scratch

        warnings.simplefilter("error", RuntimeWarning)
        one = harness(name)
        seeds, found = one.seeds(), set[tuple[str, str, str]]()
        corpus = scratch() / "corpus"
        corpus.mkdir()
        for number, data in enumerate(seeds):
            (corpus / str(number)).write_bytes(data)
            judged(one, data)

        def take(data: bytes) -> None:
            finding = judged(one, data)
            if finding is not None and finding.key not in found:
                found.add(finding.key)
                print(f"{FOUND}{finding} {kept(finding)}", flush=True)

        def mutate(data: bytes, most: int, seed: int) -> bytes:
            rng = Random(seed)
            if rng.random() < 0.5:
                return one.mutate(rng, data, seeds)[:most]
            changed: bytes = atheris.Mutate(data, most)
            return changed

        longest = max(LARGEST, 2 * max(map(len, seeds)))  # a good case is never cut
        options = (
            *(f"-runs={runs}", f"-max_len={longest}", f"-artifact_prefix={scratch()}/"),
            *("-seed=16", "-print_final_stats=1", "-timeout=60", "-rss_limit_mb=4096"),
        )
        atheris.Setup([sys.argv[0], *options, str(corpus)], take, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
