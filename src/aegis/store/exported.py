"""Evidence in one file, for an auditor who has nothing else of ours.

The file is JSON: every entry of a run's log with its hash, all checkpoints, plan, result, model,
the ledgers' rows (digests and charges; answers are left out), what the witnesses remember, and the
proof that the coordinator's own log knows how this one ended. It is written in one way only, with a
digest over all of it, so that a single changed byte shows.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import astuple
from typing import Any

from aegis.store.audit_log import canonical
from aegis.store.evidence import Evidence, Seal

FORMAT = "aegis-audit/1"


def exported(evidence: Evidence) -> bytes:
    """The evidence as one file."""
    model = evidence.model
    body: dict[str, Any] = {
        "run": evidence.run,
        "entries": [entry.data.decode("ascii") for entry in evidence.entries],
        "leaves": [entry.leaf.hex() for entry in evidence.entries],
        "checkpoints": list(evidence.checkpoints),
        "plan": evidence.plan,
        "card": evidence.card,
        "result": evidence.result,
        "model": None if model is None else base64.b64encode(model).decode(),
        "ledgers": None,
        "seen": None,
        "seal": None if evidence.seal is None else _plain(evidence.seal),
    }
    if evidence.ledgers is not None:
        body["ledgers"] = {
            name: [list(astuple(row)) for row in ledger.rows]  # type: ignore[call-overload]
            for name, ledger in evidence.ledgers.items()
        }
    if evidence.seen is not None:
        body["seen"] = {name: [size, root.hex()] for name, (size, root) in evidence.seen.items()}
    digest = hashlib.sha256(canonical(body)).hexdigest()
    return canonical({"format": FORMAT, "sha256": digest, "evidence": body}) + b"\n"


def _plain(seal: Seal) -> dict[str, Any]:
    return {
        "number": seal.number,
        "entry": seal.entry.decode("ascii"),
        "proof": [one.hex() for one in seal.proof],
        "checkpoint": seal.checkpoint,
        "handovers": [list(one) for one in seal.handovers],
    }
