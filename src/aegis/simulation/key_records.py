"""What happens to keys goes on record: in the coordinator's own log, which nobody can rewrite.

The log of a run names one key of the coordinator from its beginning to its end, so that key does
not change while a run is not finished.
"""

from __future__ import annotations

from contextlib import closing

from aegis.errors import BadInput
from aegis.events import ConfigChanged
from aegis.identity.membership import Membership
from aegis.states import Failed, Terminated
from aegis.store.audit_log import AuditLog
from aegis.store.handing_over import COORDINATOR, coordinator_key
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.outcome import enter_own
from aegis.store.way_on import way_on


def open_runs(home: Home) -> list[str]:
    """Runs that have begun a log under the coordinator's present key and may go on."""
    if not (home.audit_log.exists() and home.database.exists()):
        return []
    log, journal = AuditLog(home.audit_log), Journal(home.database)
    try:
        known = set(journal.runs())
        begun = [run for run in log.runs() if run in known]
        ended = (Terminated, Failed)
        return [run for run in begun if not isinstance(journal.run(run).state, ended)]
    finally:
        log.close()
        journal.close()


def check_nothing_runs(home: Home, name: str) -> None:
    """Raises ``BadInput`` where this is the coordinator's key and a run's log still needs it."""
    if name != COORDINATOR:
        return
    if waiting := open_runs(home):
        with closing(Journal(home.database)) as journal:
            how = way_on(journal.run(waiting[0]))
        raise BadInput(
            f"the log of {waiting[0]} is signed by this key and is not finished",
            "a run's log has one key",
            f"{how}; or add --force to leave it unfinished",
        )


def record_members(home: Home, before: Membership | None, after: Membership) -> None:
    """That the list of members changed, by the digests of both versions."""
    if before == after:
        return
    was = "" if before is None else before.sha256
    log = AuditLog(home.audit_log)
    try:
        change = ConfigChanged("", f"members of {after.federation}", was, after.sha256)
        enter_own(log, coordinator_key(home), change)
    finally:
        log.close()
