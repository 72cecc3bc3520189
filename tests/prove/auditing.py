"""A process that runs a plan and kills itself at the n-th write of its audit log.

    python -m tests.prove.auditing HOME PLAN WHERE N [--resume]

A write is an entry, a kept checkpoint, what witnesses remember, or an event without a state; WHERE
is ``before`` it, ``inside`` its transaction or ``after`` it. With N = 0 it does not die and prints
how many there were; in every case the model's hash and the log's summary come last.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from aegis.hospital.witness import SqliteSightings
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.store.audit_log import AuditLog
from aegis.store.journal import Journal

writes = 0


def _die_at(where: str, number: int) -> None:
    change, tell, together = AuditLog._change, Journal.tell, SqliteSightings.together

    def die(at: str) -> None:
        if writes == number and where == at:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def counted(context):
        global writes
        writes += 1
        die("before")
        with context:
            yield
            die("inside")
        die("after")

    def telling(self, run, events):
        with counted(contextmanager(lambda: (yield))()):
            tell(self, run, events)

    AuditLog._change = lambda self, *how: counted(change(self, *how))  # type: ignore[method-assign]
    SqliteSightings.together = lambda self: counted(together(self))  # type: ignore[method-assign]
    Journal.tell = telling  # type: ignore[method-assign]


def main() -> None:
    home, plan, where, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    _die_at(where, number)
    if "--resume" in sys.argv:
        journal = Journal(home / "federated_learning.db")
        name = journal.runs()[0]
        journal.close()
        result = local.resume(name, home=home)
    else:
        result = local.run(load_plan(plan).plan, home=home, compare=False, audit=False)
    print(writes, result.model_sha256, json.dumps(result.document["audit_log"]))


if __name__ == "__main__":
    main()
