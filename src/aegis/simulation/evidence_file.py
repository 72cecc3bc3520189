"""Evidence in one file, for an auditor who has nothing else of ours.

The file is JSON: every entry of a run's log with its hash, all checkpoints, plan, result, model,
the ledgers' rows (digests and charges; answers are left out), what the witnesses remember, and the
proof that the coordinator's own log knows how this one ended. It is written in one way only, with a
digest over all of it, so that a single changed byte shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from aegis.errors import CheckFailed
from aegis.hospital.chain import Row
from aegis.store.audit_log import Entry, canonical
from aegis.store.evidence import Evidence, LedgerFile, Seal

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


def imported(data: bytes) -> Evidence:
    """The evidence in a file. Raises ``CheckFailed`` where it is none, or was damaged so that it
    cannot be read; what was changed in it otherwise is left to be verified."""
    try:
        document = json.loads(data)
        body = document["evidence"]
        whole = canonical(document) + b"\n" == data and document["format"] == FORMAT
        whole = whole and hashlib.sha256(canonical(body)).hexdigest() == document["sha256"]
        return Evidence(
            run=body["run"],
            entries=[
                Entry(number, text.encode(), bytes.fromhex(leaf))
                for number, (text, leaf) in enumerate(
                    zip(body["entries"], body["leaves"], strict=True), 1
                )
            ],
            checkpoints=body["checkpoints"],
            plan=body["plan"],
            card=body["card"],
            result=body["result"],
            model=None if body["model"] is None else base64.b64decode(body["model"], validate=True),
            ledgers=None if body["ledgers"] is None else _ledgers(body["ledgers"]),
            seen=None if body["seen"] is None else _seen(body["seen"]),
            seal=None if body["seal"] is None else _seal(body["seal"]),
            unreadable=() if whole else (("file", "it was changed after it was exported"),),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckFailed(
            f"this is no audit export, or it was damaged ({error})",
            way_out="Make one: aegis audit export RUN --out FILE",
        ) from error


def _ledgers(body: Mapping[str, Any]) -> dict[str, LedgerFile]:
    return {name: LedgerFile([Row(*row) for row in rows]) for name, rows in body.items()}


def _seen(body: Mapping[str, Any]) -> dict[str, tuple[int, bytes]]:
    return {name: (int(size), bytes.fromhex(root)) for name, (size, root) in body.items()}


def _plain(seal: Seal) -> dict[str, Any]:
    return {
        "number": seal.number,
        "entry": seal.entry.decode("ascii"),
        "proof": [one.hex() for one in seal.proof],
        "checkpoint": seal.checkpoint,
        "handovers": [list(one) for one in seal.handovers],
    }


def _seal(body: Mapping[str, Any]) -> Seal:
    return Seal(
        body["number"],
        body["entry"].encode(),
        tuple(bytes.fromhex(one) for one in body["proof"]),
        body["checkpoint"],
        tuple((after, signature) for after, signature in body["handovers"]),
    )
