"""Killed at every write, and with a full disk at every write: no corruption, and it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def memory(folder: Path, what: str, how: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove.memory", folder, what, how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{what}, {how}: {found}")
    return found


@pytest.mark.prove
@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_run_stopped_at_any_write_goes_on_to_the_same_model(tmp_path, how):
    found = memory(tmp_path, "run", how)
    assert found["stopped"] == found["writes"] == found["same_hash"]
    assert found["writes"] > 20


@pytest.mark.prove
def test_files_that_may_not_grow_are_said_and_nothing_is_lost(tmp_path):
    assert len(memory(tmp_path, "run", "limit")["said"]) >= 5


@pytest.mark.prove
@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_backup_stopped_at_any_write_is_whole_or_not_there(tmp_path, how):
    assert memory(tmp_path, "backup", how)["stopped"] >= 4
