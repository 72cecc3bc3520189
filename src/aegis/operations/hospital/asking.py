"""A hospital asks its coordinator for a run: a short statement, signed with the hospital's own key.

It can only ask for a plan that the coordinator has run or proposed before, by its hash; whether
there is a run is the coordinator's to say, and whether anybody takes part each hospital's.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from aegis.errors import DataError
from aegis.identity.asking import DOMAIN, asked_bytes
from aegis.identity.identity import Identity
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.joining import exchange

PATH = "/api/ask-for-run"


def ask_for_run(federation: Federation, identity: Identity, plan_sha256: str) -> str:
    """The name of the run that the coordinator began. Raises ``CheckFailed`` or ``BadInput`` with
    the coordinator's reason, ``RunAborted`` where it cannot be reached."""
    asked: dict[str, Any] = {
        "hospital": identity.name,
        "plan_sha256": plan_sha256,
        "time": round(time.time(), 3),
        "nonce": secrets.token_hex(16),
    }
    mark = identity.signing.sign(DOMAIN, asked_bytes(asked)).hex()
    body = json.dumps({**asked, "signature": mark}).encode()
    root = (federation.folder / "root.pem").read_bytes()
    data = exchange(federation.address, "POST", PATH, body, root)
    try:
        return str(json.loads(data)["run"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{federation.address} answers with something else than a run") from error
