"""Budget: what is spent, by whom, what is left; and how it may be raised."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.hospital import changing
from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.hospital.pages.approval import bar
from aegis.console.hospital.pages.spending import run_table, step_line, step_table, steps
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.hospital.policy import Policy
from aegis.operations.hospital.repolicing import with_total
from aegis.report.disclosure import LOUD_EPSILON, right_guesses
from aegis.report.spending import RECORD

router = APIRouter(include_in_schema=False)
MOST_EPSILON = 1000.0
Number = Annotated[int, Path(ge=1, le=2**31)]


@router.get("/budget")
def budget(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _page(request, desk_of(request), person)


@router.post("/budget/propose")
def propose(
    request: Request,
    person: Annotated[Person, Depends(may(Right.BUDGET))],
    epsilon_total: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """The first of two people."""
    desk = desk_of(request)
    try:
        value = float(epsilon_total.strip().replace(",", "."))
        if not (math.isfinite(value) and 0 < value <= MOST_EPSILON):
            raise ValueError
    except ValueError:
        return _page(request, desk, person, 422, _WRONG, epsilon_total, reason)
    standing = desk.policy
    try:
        if not isinstance(standing, Policy):
            raise BadInput("no policy counts at this hospital", way_out="Sign one at /policy")
        text = with_total(desk.folder, standing, value)
        changing.propose(request, desk, text, person, reason)
    except (BadInput, CheckFailed) as error:
        at = "reason" if "reason" in str(error) else "epsilon_total"
        return _page(request, desk, person, 422, [(at, str(error))], epsilon_total, reason)
    return RedirectResponse("/budget#proposals", 303)


@router.post("/budget/proposals/{number}/confirm")
def confirm(
    number: Number,
    request: Request,
    person: Annotated[Person, Depends(may(Right.BUDGET))],
    seen: Annotated[str, Form()] = "",
) -> Response:
    """The second of two people; the new policy is signed."""
    desk = desk_of(request)
    try:
        changing.confirm(request, desk, number, person, seen)
    except AegisError as error:
        return _page(request, desk, person, _status(error), [("proposals", str(error))])
    return RedirectResponse("/budget", 303)


@router.post("/budget/proposals/{number}/refuse")
def refuse(
    number: Number,
    request: Request,
    person: Annotated[Person, Depends(may(Right.BUDGET))],
    reason: Annotated[str, Form()] = "",
) -> Response:
    desk = desk_of(request)
    proposals = changing.proposals_of(request)
    try:
        if proposals is None:
            raise BadInput("no people are known to this console")
        proposals.refuse(number, person, reason)
    except AegisError as error:
        return _page(request, desk, person, _status(error), [("proposals", str(error))])
    return RedirectResponse("/budget", 303)


_WRONG = [("epsilon_total", f"The total is a number above 0 and at most {MOST_EPSILON:g}")]


def _status(error: AegisError) -> int:
    return 403 if isinstance(error, CheckFailed) else 422


def _page(
    request: Request,
    desk: HospitalDesk,
    person: Person,
    status: int = 200,
    said: list[tuple[str, str]] | None = None,
    epsilon_total: str = "",
    reason: str = "",
) -> Response:
    return render(
        request,
        "hospital/budget.html",
        status,
        said=said or [],
        asked=epsilon_total[:40],
        reason=reason[:500],
        may_raise=person.can(Right.BUDGET),
        me=person.name,
        people_known=changing.proposals_of(request) is not None,
        waiting=changing.waiting(request),
        past=changing.past(request),
        can_sign=desk.identity is not None,
        **content(desk),
    )


def content(desk: HospitalDesk) -> dict[str, Any]:
    money = desk.money()
    cap, spent = money["epsilon_total"], money["spent"]
    found = steps(desk)
    words = ""
    if spent > 0:
        words = (
            "This bound alone promises little; ask for the attack tests of the models."
            if spent >= LOUD_EPSILON
            else "Over everything that was ever sent: somebody who guesses whether one given "
            f"patient was used is right in at most {right_guesses(spent)} of 100 cases, against 50 "
            "of 100 by tossing a coin."
        )
    return {
        "money": money,
        "bar": None if cap is None else bar(spent, cap),
        "unit": RECORD,
        "words": words,
        "curve": None if cap is None else step_line(found, cap),
        "steps": step_table(found) if found else None,
        "runs": run_table(money) if money["runs"] else None,
    }
