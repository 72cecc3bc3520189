"""Plans: may this hospital take part, and what would leave?"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.hospital.pages.approval import card
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.window.rendering import render
from aegis.errors import BadInput
from aegis.hospital.decisions import Proposal

router = APIRouter(include_in_schema=False)
WORDS = {
    "pending": ("warn", "Waiting for a decision"),
    "approved": ("ok", "Approved"),
    "refused": ("bad", "Refused"),
}


@router.get("/plans")
def plans(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    desk = desk_of(request)
    found = sorted(desk.decisions.proposals(), key=lambda one: one.asked, reverse=True)
    rows = [_row(one) for one in found]
    rows.sort(key=lambda row: row["status"] != "pending")
    return render(request, "hospital/plans.html", plans=rows, policy=desk.policy)


@router.get("/plans/{sha256}")
def plan(
    sha256: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    return _page(request, desk_of(request), _found(desk_of(request), sha256), person)


@router.post("/plans/{sha256}")
def decide(
    sha256: str,
    request: Request,
    person: Annotated[Person, Depends(may(Right.APPROVE_PLAN))],
    decision: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """One decision, signed and written down; the same again changes nothing."""
    desk = desk_of(request)
    proposal = _found(desk, sha256)
    faults = _faults(decision, reason)
    if not faults and proposal.status != "pending" and decision == "approve":
        unused = proposal.status == "approved" and len(proposal.begun) < proposal.runs
        if unused:
            faults = [
                ("decision", "This plan is approved already, for a run that is still to come")
            ]
    if faults:
        return _page(request, desk, proposal, person, 422, faults, decision, reason)
    if decision == "approve":
        desk.act(person, "approved a plan", sha256, f"{proposal.plan.task}, for one run")
        desk.decisions.approve(sha256, person.name, 1)
    else:
        said = " ".join(reason.split())
        desk.act(person, "refused a plan", sha256, said)
        desk.decisions.refuse(sha256, person.name, said)
    return RedirectResponse(f"/plans/{sha256}", 303)


def _faults(decision: str, reason: str) -> list[tuple[str, str]]:
    if decision not in ("approve", "refuse"):
        return [("approve", "Choose one: approve once, or refuse")]
    if decision == "refuse" and not reason.strip():
        return [("reason", "A refusal says why: the coordinator sees the reason")]
    if len(reason) > 500:
        return [("reason", "The reason has more than 500 characters")]
    return []


def _page(
    request: Request,
    desk: HospitalDesk,
    proposal: Proposal,
    person: Person,
    status: int = 200,
    faults: list[tuple[str, str]] | None = None,
    decision: str = "",
    reason: str = "",
) -> Response:
    return render(
        request,
        "hospital/plan.html",
        status,
        name=desk.name,
        faults=faults or [],
        decision=decision,
        reason=reason[:500],
        row=_row(proposal),
        may_decide=person.can(Right.APPROVE_PLAN),
        **card(desk, proposal),
    )


def _found(desk: HospitalDesk, sha256: str) -> Proposal:
    try:
        return desk.proposal(sha256)
    except BadInput as error:
        raise NotFound(error.value, way_out=error.way_out) from error


def _row(one: Proposal) -> dict[str, Any]:
    kind, word = WORDS[one.status]
    privacy = one.plan.privacy
    if one.status == "approved" and len(one.begun) >= one.runs:
        kind, word = "off", "Approved, and used"
    return {
        "sha256": one.plan_sha256,
        "task": one.plan.task,
        "trust": one.plan.effective_trust,
        "noise": f"{privacy.epsilon_budget:g} epsilon" if privacy.enabled else "no noise",
        "asked": one.asked,
        "status": one.status,
        "kind": kind,
        "word": word,
        "by": one.by,
        "decided": one.decided,
        "reason": one.reason,
        "runs": ", ".join(one.begun),
    }
