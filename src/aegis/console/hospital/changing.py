"""A policy that lets more out: one person proposes it, another one confirms exactly that."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request

from aegis.console.hospital.desk import HospitalDesk
from aegis.console.people.roles import Person
from aegis.console.people.two_persons import Kind, Proposal, Proposals
from aegis.errors import RunAborted
from aegis.hospital.policy import Policy
from aegis.operations.hospital.repolicing import (
    checked_text,
    file_sha256,
    leaves_masked,
    loosened,
    put_in_force,
)

KINDS = (Kind.RAISE_BUDGET, Kind.LEAVE_MASKED)


def proposals_of(request: Request) -> Proposals | None:
    """None where this console knows no people."""
    door = getattr(request.app.state, "door", None)
    return None if door is None else door.proposals


def payload_of(desk: HospitalDesk, text: str) -> dict[str, Any]:
    """What is proposed: this text, signed in place of the file that lies there now."""
    policy = checked_text(desk.folder, text)
    standing = desk.policy
    before = standing if isinstance(standing, Policy) else None
    return {
        "before_file_sha256": file_sha256(desk.folder),
        "epsilon_total": policy.epsilon_total,
        "epsilon_total_before": None if before is None else before.epsilon_total,
        "loosens": loosened(before, policy),
        "text": text,
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def propose(
    request: Request, desk: HospitalDesk, text: str, person: Person, reason: str
) -> Proposal:
    """Raises ``BadInput``, ``CheckFailed``; ``RunAborted`` where no people are known here."""
    desk.signer()
    standing = desk.policy
    before = standing if isinstance(standing, Policy) else None
    masked = leaves_masked(before, checked_text(desk.folder, text))
    kind = Kind.LEAVE_MASKED if masked else Kind.RAISE_BUDGET
    return _known(request).propose(kind, payload_of(desk, text), person, reason)


def confirm(request: Request, desk: HospitalDesk, number: int, person: Person, seen: str) -> None:
    """As the second person: the policy is signed and counts."""
    identity = desk.signer()
    proposals = _known(request)
    text = str(proposals.find(number).payload.get("text", ""))

    def act(one: Proposal) -> None:
        policy = put_in_force(desk.folder, text, identity)
        said = f"proposed by {one.proposer}, confirmed by {person.name}: {one.reason}"
        desk.act(person, "signed a policy", policy.sha256, said)

    proposals.confirm(number, person, seen, payload_of(desk, text), act)


def waiting(request: Request) -> list[Proposal]:
    proposals = proposals_of(request)
    if proposals is None:
        return []
    return [one for one in proposals.waiting() if one.kind in KINDS]


def past(request: Request) -> list[Proposal]:
    proposals = proposals_of(request)
    if proposals is None:
        return []
    return [one for one in proposals.past(20) if one.kind in KINDS and one.state != "open"]


def _known(request: Request) -> Proposals:
    found = proposals_of(request)
    if found is None:
        raise RunAborted(
            "no people are known to this console", "two people must log in for this", "aegis people"
        )
    return found
