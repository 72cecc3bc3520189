"""What the window's people do goes into the coordinator's own log before it holds."""

from __future__ import annotations

from collections.abc import Callable

from aegis.events import ConfigChanged, Event
from aegis.identity.keys import SigningKey
from aegis.store.audit_log import AuditLog
from aegis.store.handing_over import coordinator_key
from aegis.store.home import Home
from aegis.store.outcome import enter_own


def tell(home: Home, event: Event, key: SigningKey | None = None) -> None:
    """Signed with ``key``, else with the data root's. Raises, and nothing may follow, where the
    event cannot be put on record."""
    key = key or coordinator_key(home)
    log = AuditLog(home.audit_log)
    try:
        enter_own(log, key, event)
    finally:
        log.close()


def accounts_told(home: Home, key: SigningKey | None = None) -> Callable[[str, str, str], None]:
    """Hears (who, about, what) of every change of an account, by the console or by a command."""

    def told(who: str, about: str, what: str) -> None:
        tell(home, ConfigChanged("", f"account of {about}: {what} (by {who})", "", ""), key)

    return told
