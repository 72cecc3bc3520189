"""What the window's people do goes into the coordinator's own log before it holds."""

from __future__ import annotations

import os

from aegis.errors import BadInput
from aegis.events import Event
from aegis.identity.identity import Identity
from aegis.identity.keyfile import Keys
from aegis.identity.keys import SigningKey
from aegis.store.audit_log import AuditLog
from aegis.store.handing_over import hand_over
from aegis.store.home import Home
from aegis.store.outcome import enter_own

COORDINATOR = "coordinator"


def coordinators_key(home: Home) -> SigningKey:
    """Of this data root, new where there is none. Raises ``BadInput`` where it cannot be read."""
    keys = Keys(home.keys)
    if not keys.path(COORDINATOR).exists():
        keys.write(Identity.generate(COORDINATOR))
    try:
        identity = keys.read(COORDINATOR, os.environ.get("AEGIS_KEY_PASSPHRASE") or None)
    except BadInput as error:
        raise BadInput(
            f"the coordinator’s key cannot be used here: {error.value}",
            "what people do here is signed with it",
            error.way_out,
        ) from error
    hand_over(home.audit_log, identity)
    return identity.signing


def tell(home: Home, event: Event) -> None:
    """Raises, and nothing may follow, where the event cannot be put on record."""
    key = coordinators_key(home)
    log = AuditLog(home.audit_log)
    try:
        enter_own(log, key, event)
    finally:
        log.close()
