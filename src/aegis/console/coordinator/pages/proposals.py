"""What needs two people: what waits for a second one, and what became of the others.

Each proposal has a page that says in full what would happen; there the second person confirms or
refuses, with the digest of what was shown. Promoting a model happens with the confirmation; leaving
masked mode and a larger budget are agreements to one plan, which may then be started within a day.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.coordinator.desk import Desk, desk_of
from aegis.console.coordinator.records import log_checks, own_log
from aegis.console.coordinator.runs.agreements import facts, needed, title, what
from aegis.console.coordinator.runs.next_plan import kept
from aegis.console.people.promoting import confirm_model
from aegis.console.people.rights import Person, Right, may
from aegis.console.people.two_persons import NEEDS, Kind, Proposal, Proposals
from aegis.console.reading import NotFound
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.store.journal import Journal
from aegis.store.promotion import Promotions, gates
from aegis.store.registry import Registry

router = APIRouter()
Reader = Annotated[Person, Depends(may(Right.READ))]

STATES = {
    "open": ("info", "Waits for a second person"),
    "done": ("ok", "Confirmed"),
    "withdrawn": ("off", "Withdrawn"),
    "refused": ("bad", "Refused"),
    "failed": ("bad", "Failed"),
    "expired": ("off", "Expired"),
}


def proposals_of(request: Request) -> Proposals | None:
    """None where this window has no accounts."""
    door = getattr(request.app.state, "door", None)
    return None if door is None else door.proposals


def _there(request: Request) -> Proposals:
    found = proposals_of(request)
    if found is None:
        raise CheckFailed(
            "this window has no accounts, so nobody can be told from anybody",
            "the rule of two persons needs two people who have logged in",
            "Use the command line: aegis models promote VERSION --by NAME",
        )
    return found


@router.get("/privacy/proposals", include_in_schema=False)
def proposals(request: Request, person: Reader) -> Response:
    return _listed(request, person)


def _listed(request: Request, person: Person, status: int = 200, **more: Any) -> Response:
    found, desk = proposals_of(request), desk_of(request)
    waiting = [] if found is None else found.waiting()
    waits = {one.number for one in waiting}
    past = [] if found is None else [one for one in found.past() if one.number not in waits]
    values = {
        "faults": (),
        "there": found is not None,
        "waiting": [_shown(one, found) for one in waiting],
        "past": [_shown(one, found) for one in past],
        "next": _next(desk),
        "may_propose": person.can(Right.BUDGET) and person.way != "machine",
    }
    return render(request, "coordinator/proposals.html", status, **(values | more))


@router.post("/privacy/proposals", include_in_schema=False)
def propose(
    request: Request,
    person: Annotated[Person, Depends(may(Right.BUDGET))],
    kind: Annotated[str, Form()] = "",
    plan_sha256: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Proposes the next plan for leaving masked mode, or for its budget."""
    found, ahead = _there(request), _next(desk_of(request))
    wanted = {one["kind"]: one for one in ahead["needs"]}
    if kind not in wanted or ahead["sha256"] != plan_sha256:
        raise BadInput(
            "the next plan is another one now, or needs no such agreement",
            way_out="Look at it again: /privacy/proposals",
        )
    try:
        made = found.propose(Kind(kind), wanted[kind]["payload"], person, reason)
    except BadInput as error:
        faults = (("reason", f"{error.value}; {error.need}" if error.need else error.value),)
        return _listed(request, person, 422, faults=faults)
    return RedirectResponse(f"/privacy/proposals/{made.number}", 303)


@router.get("/privacy/proposals/{number}", include_in_schema=False)
def proposal(number: int, request: Request, person: Reader) -> Response:
    return _page(request, person, number)


def _page(
    request: Request, person: Person, number: int, status: int = 200, **more: Any
) -> Response:
    found = _there(request)
    one = _find(found, number)
    right = NEEDS[one.kind]
    values = {
        "faults": (),
        "one": _shown(one, found),
        "facts": facts(one),
        "what": what(one),
        "may": person.can(right) and person.way != "machine",
        "mine": person.name == one.proposer,
        "right": right.value,
        "act": f"/privacy/proposals/{number}/"
        + ("promote" if one.kind is Kind.PROMOTE_MODEL else "agree"),
    }
    return render(request, "coordinator/proposal.html", status, **(values | more))


@router.post("/privacy/proposals/{number}/promote", include_in_schema=False)
def promote(
    number: int,
    request: Request,
    person: Annotated[Person, Depends(may(Right.PROMOTE))],
    act: Annotated[str, Form()] = "",
    sha256: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    found, desk = _there(request), desk_of(request)
    one = _of_kind(found, number, (Kind.PROMOTE_MODEL,))

    def confirmed() -> str:
        faults = log_checks.log_faults(desk, _run_of(desk, one))
        journal = Journal(desk.home.database)
        try:
            registry = Registry(desk.home, journal)
            version = registry.find(f"v{one.payload['version']}")
            promotions, checks = Promotions(journal, registry), gates(registry, version, faults)
            confirm_model(
                found, promotions, number, version, person, sha256, checks,
                lambda event: own_log.tell(desk.home, event),
            )  # fmt: skip
            return f"/models/{version.name}"
        finally:
            journal.close()

    return _decided(request, person, found, one, act, reason, confirmed)


@router.post("/privacy/proposals/{number}/agree", include_in_schema=False)
def agree(
    number: int,
    request: Request,
    person: Annotated[Person, Depends(may(Right.BUDGET))],
    act: Annotated[str, Form()] = "",
    sha256: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """An agreement to one plan; what it allows is asked when that plan is started."""
    found = _there(request)
    one = _of_kind(found, number, (Kind.LEAVE_MASKED, Kind.RAISE_BUDGET))

    def confirmed() -> str:
        found.confirm(number, person, sha256, one.payload, lambda proposal: None)
        return f"/privacy/proposals/{number}"

    return _decided(request, person, found, one, act, reason, confirmed)


def _decided(
    request: Request,
    person: Person,
    found: Proposals,
    one: Proposal,
    act: str,
    reason: str,
    confirmed: Any,
) -> Response:
    try:
        if act == "confirm":
            return RedirectResponse(confirmed(), 303)
        if act == "refuse":
            found.refuse(one.number, person, reason)
            return RedirectResponse(f"/privacy/proposals/{one.number}", 303)
    except AegisError as error:
        said = ". ".join(text for text in (error.value, error.need, error.way_out) if text)
        status = 403 if isinstance(error, CheckFailed) else 409
        return _page(request, person, one.number, status, faults=(("", said),))
    return _page(
        request, person, one.number, 422, faults=(("confirm", "Choose to confirm or to refuse"),)
    )


def _find(found: Proposals, number: int) -> Proposal:
    try:
        return found.find(number)
    except (BadInput, OverflowError) as error:
        raise NotFound(f"there is no proposal {number}") from error


def _of_kind(found: Proposals, number: int, kinds: tuple[Kind, ...]) -> Proposal:
    one = _find(found, number)
    if one.kind not in kinds:
        raise NotFound(f"proposal {number} is of another kind")
    return one


def _run_of(desk: Desk, one: Proposal) -> str:
    with desk.reading.journal() as journal:
        return Registry(desk.home, journal).find(f"v{one.payload['version']}").run


def _shown(one: Proposal, found: Proposals | None) -> dict[str, Any]:
    state = one.state
    if state == "open" and found is not None and found.book.clock() >= one.expires:
        state = "expired"  # type: ignore[assignment]
    kind, word = STATES.get(state, ("off", state))
    return {
        "number": one.number,
        "title": title(one),
        "proposer": one.proposer,
        "reason": one.reason,
        "sha256": one.sha256,
        "made": one.made,
        "expires": one.expires,
        "second": one.second,
        "closed": one.closed,
        "outcome": one.outcome,
        "state": state,
        "kind": kind,
        "word": word,
    }


def _next(desk: Desk) -> dict[str, Any]:
    """What the next plan, as it is kept now, would need two people for."""
    try:
        plan = kept(desk.home).plan
    except AegisError as error:
        return {"plan": None, "sha256": "", "needs": [], "why": str(error)}
    return {"plan": plan, "sha256": plan.sha256, "needs": needed(desk, plan), "why": ""}
