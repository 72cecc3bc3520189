"""Work on a data root in children that are stopped at their n-th write; each is a fork of this
process, so that only the work costs time.

    python -m tests.prove.memory FOLDER WHAT HOW

WHAT is ``run`` (a short run with its files) or ``backup``; HOW is ``kill`` (SIGKILL at the n-th
sync to disk), ``full`` (every sync from the n-th on finds no space) or ``limit`` (no file may grow
beyond some size: RLIMIT_FSIZE, databases included). After each stop the root is checked as a whole.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from aegis.errors import AegisError
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.simulation.evidence import verify_home
from aegis.simulation.rescoring import rescore
from aegis.store.backup.backups import Backups
from aegis.store.experiments import listed
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry

KEYS = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": "2",
    "training.solver": "sgd",
    "training.learning_rate": "0.05",
    "training.tolerance": "null",
    "training.l2": "0",
    "trust": "open",
}
KIB = (1, 4, 16, 24, 32, 48, 64, 96, 128, 192, 256)
count = 0


def _stop_at(how: str, number: int) -> None:
    sync = os.fsync

    def counted(handle: int) -> None:
        global count
        count += 1
        if how == "kill" and count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "full" and 0 < number <= count:
            raise OSError(28, "No space left on device")
        sync(handle)

    os.fsync = counted
    if how == "limit" and number:
        resource.setrlimit(resource.RLIMIT_FSIZE, (number << 10, number << 10))


def child(work: Callable[[], str], how: str, number: int) -> tuple[int, str]:
    """(how it ended: 0, 3 for an error that was said, or -9; what it told)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code, told = 1, "an unforeseen error"
        try:
            _stop_at(how, number)
            told = f"{work()} {count}"
            code = 0
        except (AegisError, OSError) as error:
            code, told = 3, f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, told.encode()[:4000])
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), told


def a_run(root: Path) -> Callable[[], str]:
    """Go on with the run that is there, or begin one."""

    def work() -> str:
        home = Home(root)
        if home.database.exists():
            journal = Journal(home.database)
            runs = journal.runs()
            journal.close()
            if runs:
                return local.resume(runs[0], home=root).model_sha256
        plan = load_plan(None, KEYS).plan
        return local.run(plan, home=root, compare=False, audit=False).model_sha256

    return work


def a_backup(root: Path) -> Callable[[], str]:
    return lambda: Backups(root / "backups").create(Home(root)).name


def check(root: Path, expected: str) -> None:
    """Everything in the data root is whole, and the model is the one of an undisturbed run."""
    home = Home(root)
    journal = Journal(home.database)
    assert journal._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (version,) = Registry(home, journal).versions()
    Registry(home, journal).verify(version)
    journal.close()
    assert version.sha256 == expected
    faults = [str(fault) for one in verify_home(home) for fault in one.faults]
    assert faults == [], faults
    assert all(one.complete for one in verify_home(home) if one.run)
    assert listed(home)[1] == []
    rescore("v1", root)


def runs(folder: Path, how: str) -> dict[str, object]:
    code, told = child(a_run(folder / "whole"), "count", 0)
    assert code == 0, told
    expected, writes = told.split()
    check(folder / "whole", expected)
    numbers = KIB if how == "limit" else range(1, int(writes) + 1)
    stopped, said = 0, []
    for number in numbers:
        root = folder / str(number)
        code, told = child(a_run(root), how, number)
        if how != "limit" or code:
            assert code == (-signal.SIGKILL if how == "kill" else 3), (number, code, told)
            stopped += 1
            said.append(told[:120])
            code, told = child(a_run(root), "count", 0)
            assert code == 0, (number, told)
        assert told.split()[0] == expected
        check(root, expected)
        shutil.rmtree(root)
    return {"writes": int(writes), "stopped": stopped, "same_hash": stopped, "said": said}


def backups(folder: Path, how: str) -> dict[str, object]:
    root = folder / "home"
    code, told = child(a_run(root), "count", 0)
    assert code == 0, told
    expected = told.split()[0]
    first = a_backup(root)()
    stopped = 0
    for number in range(1, 200):
        (root / "experiments" / "new.json").write_text(f"{how} {number}")
        code, told = child(a_backup(root), how, number)
        assert code in (0, 3, -signal.SIGKILL), told
        made = Backups(root / "backups")
        assert first in made.names()
        for name in made.names():
            assert made.verify(name) == []
        if code == 0:
            break
        stopped += 1
    (root / "experiments" / "new.json").unlink()
    check(Backups(root / "backups").restore(folder / "new", first).root, expected)
    return {"stopped": stopped}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    work = {"run": runs, "backup": backups}[sys.argv[2]]
    print(json.dumps(work(place, sys.argv[3])))
