"""Ten thousand adaptive schedules with deaths at every statement, and true kill -9 beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from aegis.hospital.ledger import Exhausted, Ledger
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap, enforced_epsilon
from tests.hospital.dying import DATA, DELTA, Trial, answered

ROOT = Path(__file__).parents[2]
SCHEDULES = 10_000
KILLS = 60
CAP = Cap(8.0, DELTA)


@pytest.mark.prove
def test_ten_thousand_schedules_never_overspend_and_never_answer_twice():
    began = time.perf_counter()
    deaths = answers = spent_up = 0
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for seed in range(SCHEDULES):
            trial = Trial(Path(folder, str(seed)), seed)
            trial.play(seed % 5)
            deaths, answers = deaths + trial.deaths, answers + len(trial.sent)
            spent_up += len(trial.asked) > len(trial.sent)
            trial.check()
    took = time.perf_counter() - began
    print(
        f"\n{SCHEDULES} schedules, {deaths} deaths, {answers} questions answered, {spent_up} "
        f"schedules with an abstention or a lost answer: 0 overspends, 0 second answers, "
        f"{took:.0f} s"
    )
    assert deaths > SCHEDULES


def serve(path: Path) -> None:
    """Answers questions for ever, old and new ones, telling each answer when it is sent."""
    import random

    ledger, rng = Ledger.open(path, DATA), random.SystemRandom()
    while True:
        number = rng.randrange(1, 400)
        key = ("run", number, "train")
        payload = answered(ledger, key, GaussianRelease(8.0), CAP, rng)
        print(number, "none" if payload is None else payload.hex(), flush=True)


@pytest.mark.prove
def test_kill_9_at_any_moment_loses_no_charge_and_changes_no_answer(tmp_path):
    path, sent = tmp_path / "ledger.db", {}
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.prove.test_ledger", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(0.005 * (kill % 7))
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        for line in lines:
            number, _, payload = line.strip().partition(" ")
            if line.endswith("\n") and payload != "none":
                assert sent.setdefault(number, payload) == payload
    ledger = Ledger.open(path, DATA)
    ledger.verify()
    charged = {str(row.round) for row in ledger.rows() if row.kind == "reserved"}
    assert set(sent) <= charged
    assert enforced_epsilon(ledger.events(), DELTA) <= CAP.epsilon * (1 + 1e-9)
    assert isinstance(ledger.reserve("run", 10**9, "train", GaussianRelease(1.0), CAP), Exhausted)
    print(f"\n{KILLS} kills, {len(sent)} answers sent, {len(charged)} charged, 0 lost")
    ledger.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
