"""A process that runs a plan and kills itself at the n-th commit of its journal.

    python -m tests.prove.crashing HOME PLAN WHERE N [--resume RUN]

WHERE is ``before`` the save, ``inside`` the transaction or ``after`` the commit. With N = 0 it does
not die, and prints the number of commits it made; in every case the model's hash comes last.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from aegis.plan import load_plan
from aegis.simulation import local
from aegis.store.journal import Journal

saved = 0


def _die_at(where: str, number: int) -> None:
    save, append = Journal.save, Journal._append

    def counted(self, run, state, events):
        global saved
        saved += 1
        if saved == number and where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        save(self, run, state, events)
        if saved == number and where == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    def half_way(self, run, events, now):
        if saved == number and where == "inside":
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, run, events, now)

    Journal.save, Journal._append = counted, half_way  # type: ignore[method-assign]


def main() -> None:
    home, plan, where, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    _die_at(where, number)
    if "--resume" in sys.argv:
        journal = Journal(home / "federated_learning.db")
        name = journal.runs()[0]
        journal.close()
        result = local.resume(name, home=home)
    else:
        result = local.run(load_plan(plan).plan, home=home, compare=False)
    print(saved, result.model_sha256)


if __name__ == "__main__":
    main()
