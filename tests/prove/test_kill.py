"""Kill -9 at every journal step of a five-round run: every resume ends with the same model."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANS = {
    "scaffold": "server: {optimizer: scaffold}\n",
    "fedadam": "server: {optimizer: fedadam, learning_rate: 0.05}\n",
}
PLAN = """\
task: breast_cancer
federated: {num_clients: 4, num_rounds: 5, partition: {by: dirichlet, alpha: 0.5}}
training: {solver: sgd, learning_rate: 0.05, batch_size: 16, tolerance: null, l2: 0}
"""


def crashing(home: Path, plan: Path, where: str, number: int, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove.crashing", home, plan, where, str(number), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip() or done.stderr[-2000:]


def check_every_kill(folder: Path, extra: str, points: list[tuple[str, int]] | None = None) -> int:
    plan = folder / "plan.yaml"
    plan.write_text(PLAN + extra)
    code, told = crashing(folder / "whole", plan, "never", 0)
    assert code == 0, told
    commits, expected = int(told.split()[0]), told.split()[1]
    every = [(where, n) for n in range(1, commits + 1) for where in ("before", "inside", "after")]
    died = 0
    for where, number in points or every:
        home = folder / f"{where}-{number}"
        code, told = crashing(home, plan, where, number)
        if code == 0:  # this save had no event, so there was no inside to die in
            assert where == "inside", told
        else:
            assert code == -signal.SIGKILL, told
            died += 1
            code, told = crashing(home, plan, "never", 0, "--resume")
            assert code == 0, told
        assert told.split()[1] == expected, f"killed {where} commit {number}"
    return died


@pytest.mark.prove
@pytest.mark.parametrize("name", PLANS)
def test_every_resume_ends_with_the_same_model(name, tmp_path):
    died = check_every_kill(tmp_path, PLANS[name])
    print(f"\n{name}: killed {died} times, {died} resumes with the same model hash")
    assert died > 20


def test_a_run_killed_while_it_is_saving_resumes_to_the_same_model(tmp_path):
    points = [("inside", 3), ("after", 9)]
    assert check_every_kill(tmp_path, PLANS["scaffold"], points) == 2
