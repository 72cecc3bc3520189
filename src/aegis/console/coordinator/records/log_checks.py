"""The whole verification of a log, where somebody asks for it; kept, with who asked, as long as the
application runs.

What hospitals keep (ledgers, what their witnesses remember) is not looked at: the coordinator has
none of it. ``aegis audit verify`` looks at that too, where all of it is on one machine.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.records.logbook import log_name, logs, run_of
from aegis.console.reading import NotFound
from aegis.errors import BadInput, CheckFailed, DataError
from aegis.store.checkpoint import OWN
from aegis.store.evidence import Evidence
from aegis.store.gathering import coordinators_evidence
from aegis.store.verification import Verified, verify


@dataclass(frozen=True)
class Looked:
    """A verification that was asked for."""

    found: Verified
    by: str
    seconds: float
    size: int


def evidence_of(desk: Desk, log: str) -> Evidence:
    """What the coordinator holds of a run; what hospitals keep is not among it."""
    run = run_of(log)
    if log not in {log_name(one) for one in logs(desk)}:
        raise NotFound(f"no log is called {log!r:.80}", way_out="See /audit for all logs")
    return coordinators_evidence(desk.home, run, open=desk.state()["run"] == run and run != OWN)


def check(desk: Desk, log: str, by: str) -> Looked:
    """The whole verification, now. Raises ``BadInput`` while another of the same log goes on."""
    going: set[str] = desk.extra.setdefault("verifying", set())
    lock: threading.Lock = desk.extra.setdefault("verifying_lock", threading.Lock())
    with lock:
        if log in going:
            raise BadInput("this log is being verified already", way_out="Wait for its result")
        going.add(log)
    try:
        found = verify(evidence_of(desk, log))
        now = datetime.now(UTC).timestamp()
        looked = Looked(found, by, now, found.size)
        desk.extra.setdefault("verified", {})[log] = looked
        return looked
    finally:
        with lock:
            going.discard(log)


def checked(desk: Desk, log: str) -> Looked | None:
    """The last verification that was asked for since the application started."""
    found: Looked | None = desk.extra.get("verified", {}).get(log)
    return found


def log_faults(desk: Desk, run: str) -> list[str]:
    """What speaks against relying on a run's log, after a whole verification now. A run made by a
    simulation had its ledgers verified when it ended; the result says how."""
    try:
        found = check(desk, log_name(run), "the gates of a promotion").found
    except (NotFound, DataError, CheckFailed) as error:
        return [str(error)]
    if not found.faults and not found.complete:
        return ["the run's log is not complete"]
    faults = [str(fault) for fault in found.faults]
    said = desk.reading.document(run).get("audit_log") or {}
    if not faults and said.get("verified") is False:
        faults.append(f"it did not hold when the run ended: {said.get('first_bad')}")
    return faults
