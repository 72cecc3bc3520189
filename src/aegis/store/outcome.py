"""How a run ends on record: what followed from it, and the last word in the coordinator's own log.

the run's log        BudgetSpent, ModelStored, MembershipAudited, FairnessAssessed; a checkpoint
the coordinator's    RunSealed: how long the run's log was, its root, its result, its row
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sized
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aegis.errors import CheckFailed
from aegis.events import (
    BudgetSpent,
    Event,
    FairnessAssessed,
    MembershipAudited,
    ModelStored,
    RosterFixed,
    RunSealed,
    as_json,
)
from aegis.identity.keys import SigningKey
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN, digest
from aegis.store.journal import Journal
from aegis.store.note import Note

MOST_TRIES = 20


def outcome(
    run: str, found: Mapping[str, Any], releases: Mapping[str, Sized], parent: str, card: str
) -> list[Event]:
    """What followed from a run with the result ``found``. ``releases`` by hospital; ``parent`` is
    the model it started from, ``card`` the digest of the stored model's card."""
    events: list[Event] = []
    for hospital in found["hospitals"]:
        head = hospital.get("ledger_head")
        if head is not None:
            events.append(
                BudgetSpent(
                    run,
                    hospital["name"],
                    hospital["epsilon"],
                    hospital["epsilon_rdp"],
                    found["privacy"]["delta"],
                    len(releases[hospital["name"]]),
                    head["rows"],
                    head["sha256"],
                )
            )
    model = found["model_sha256"]
    events.append(ModelStored(run, model, parent, card))
    attacked = found.get("membership_audit")
    if attacked is not None:
        tried = attacked["membership_inference_attack"].values()
        aucs = [one["auc"] for one in tried if one["auc"] is not None]
        verdict = str(attacked["verdict"])
        events.append(MembershipAudited(run, model, verdict, max(aucs, default=None)))
    fairness = found.get("fairness")
    if fairness is not None:
        broken = tuple(str(one["measure"]) for one in fairness.get("violations") or ())
        events.append(FairnessAssessed(run, model, broken))
    return events


def enter_own(log: AuditLog, key: SigningKey, event: Event) -> None:
    """An event in the coordinator's own log, signed at once; that log has no witnesses."""
    if log.size(OWN) == 0:
        # Only the first of several processes fixes the keys.
        first = as_json(RosterFixed("", key.public.hex, {}, ()))
        log.enter(OWN, [(1, datetime.now(UTC).isoformat(timespec="milliseconds"), first)])
    log.append(event, OWN)
    for attempt in range(MOST_TRIES):
        try:
            log.witnessed(OWN, log.checkpoint(OWN, key))
            return
        except CheckFailed:  # another process signed meanwhile; its checkpoint comes first
            if attempt == MOST_TRIES - 1:
                raise


def sealed(log: AuditLog, journal: Journal, key: SigningKey, run: str, result: Path) -> None:
    """Note in the coordinator's own log how this run's log ended."""
    notes = log.checkpoints(run)
    ended = RunSealed(
        run,
        log.size(run),
        log.root(run).hex(),
        digest(Note.parse(notes[-1])).hex() if notes else "",
        hashlib.sha256(result.read_bytes()).hexdigest() if result.exists() else "",
        journal.digest(run),
    )
    enter_own(log, key, ended)


def closed(log: AuditLog, run: str) -> bool:
    """Whether this run's log has had its last word."""
    own = (json.loads(entry.data) for entry in log.entries(OWN))
    return any(fields["event"] == "RunSealed" and fields["run"] == run for fields in own)


def first_model(log: AuditLog, run: str) -> str:
    """The model that the first round started from; empty where there was no round."""
    entries = (json.loads(entry.data) for entry in log.entries(run))
    return next((f["model_sha256"] for f in entries if f["event"] == "RoundOpened"), "")
