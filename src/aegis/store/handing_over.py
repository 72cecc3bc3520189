"""The coordinator's own log goes on under its new key: the old one signs each change.

The old key's signature on the new one lies in the key file with the new key, so whatever a crash
kept from being entered is entered the next time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from aegis.errors import BadInput
from aegis.events import Event, KeyChanged
from aegis.identity.identity import Identity
from aegis.identity.keyfile import Keys
from aegis.identity.keys import SigningKey
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN
from aegis.store.home import Home

COORDINATOR = "coordinator"


def hand_over(path: Path, identity: Identity) -> int:
    """Enter the changes of the coordinator's key that the log at ``path`` lacks: how many."""
    if not identity.rotations or not path.exists():
        return 0
    log = AuditLog(path)
    try:
        held = _held(log)
        missing: list[Event] = []
        for rotation in identity.rotations:
            if rotation.old.signing.hex == held:
                held, proof = rotation.new.signing.hex, rotation.handover.hex()
                missing.append(KeyChanged("", "", rotation.old.signing.hex, held, proof))
        for event in missing:
            log.append(event, OWN)
        if missing:
            log.witnessed(OWN, log.checkpoint(OWN, identity.signing))
        return len(missing)
    finally:
        log.close()


def _held(log: AuditLog) -> str:
    """The coordinator's key by its own log; empty where the log has not begun."""
    held = ""
    for entry in log.entries(OWN):
        fields = json.loads(entry.data)
        if fields["event"] == "RosterFixed":
            held = fields["coordinator"]
        elif fields["event"] == "KeyChanged" and not fields["name"]:
            held = fields["after"]
    return held


def coordinator_key(home: Home) -> SigningKey:
    """The key of this data root's coordinator, new where there is none."""
    keys = Keys(home.keys)
    if not keys.path(COORDINATOR).exists():
        keys.write(Identity.generate(COORDINATOR))
    try:
        identity = keys.read(COORDINATOR, os.environ.get("AEGIS_KEY_PASSPHRASE") or None)
    except BadInput as error:
        raise BadInput(
            f"the coordinator's key cannot be used here: {error.value}",
            error.need,
            f"{error.way_out or 'It signs the audit log'}; or set another AEGIS_HOME",
        ) from error
    hand_over(home.audit_log, identity)
    return identity.signing
