"""What the window's people do goes into the coordinator's own log before it holds."""

from __future__ import annotations

from aegis.events import Event
from aegis.store.audit_log import AuditLog
from aegis.store.handing_over import coordinator_key
from aegis.store.home import Home
from aegis.store.outcome import enter_own


def tell(home: Home, event: Event) -> None:
    """Raises, and nothing may follow, where the event cannot be put on record."""
    key = coordinator_key(home)
    log = AuditLog(home.audit_log)
    try:
        enter_own(log, key, event)
    finally:
        log.close()
