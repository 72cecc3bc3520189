"""Runs in forks of this process that are killed at random moments, and gone on with.

    python -m tests.prove.killing FOLDER KILLS

Prints one JSON object. One of the runs is gone on with by a new interpreter, imports and all; the
others by a fork, so that only the work costs time.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from aegis.store.home import Home
from aegis.store.journal import Journal
from tests.prove.memory import a_run, check, child


def dies(root: Path, after_s: float) -> float:
    """0 where the run was killed before its end, else how many seconds it took."""
    pid, began = os.fork(), time.monotonic()
    if pid == 0:
        a_run(root)()
        os._exit(0)
    while time.monotonic() < began + after_s:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return time.monotonic() - began
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 0.0


def begun(root: Path) -> bool:
    home = Home(root)
    if not home.database.exists():
        return False
    journal = Journal(home.database)
    try:
        return bool(journal.runs())
    finally:
        journal.close()


def main(folder: Path, kills: int) -> dict[str, object]:
    began = time.monotonic()
    code, told = child(a_run(folder / "whole"), "count", 0)
    assert code == 0, told
    usual, expected = time.monotonic() - began, told.split()[0]
    draw, took, own, fresh, number = random.Random(1), [], [], [], 0
    while len(took) + len(fresh) < kills:
        root, number = folder / str(number), number + 1
        if ended := dies(root, draw.uniform(0, usual)):
            usual = ended  # the machine is faster or slower than it was
            continue
        if not begun(root):
            continue
        began, before = time.monotonic(), os.times()
        if not fresh:
            again = [sys.executable, "-m", "tests.prove.killing", str(root), "0"]
            found = json.loads(subprocess.run(again, capture_output=True, check=True).stdout)
            fresh.append(round(time.monotonic() - began, 2))
            assert found["model"] == expected
        else:
            code, told = child(a_run(root), "count", 0)
            assert (code, told.split()[0]) == (0, expected), told
            took.append(time.monotonic() - began)
        after = os.times()
        own.append(after.children_user + after.children_system
                   - before.children_user - before.children_system)  # fmt: skip
        check(root, expected)
    return {
        "kills": len(took) + len(fresh),
        "tried": number,
        "longest_s": round(max(took), 2),
        "new_interpreter_s": fresh[0],
        "longest_own_s": round(max(own), 2),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    where, wanted = Path(sys.argv[1]), int(sys.argv[2])
    if wanted:
        where.mkdir(parents=True, exist_ok=True)
        print(json.dumps(main(where, wanted)))
    else:
        print(json.dumps({"model": a_run(where)().split()[0]}))
