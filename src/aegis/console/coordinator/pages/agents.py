"""The hospitals: who is there, who is late, and why; who waits to join, and who may.

GET  /agents?state=...         a tile for each hospital
GET  /agents/NAME              one hospital's runs and what happened there
POST /agents/invite            a join code, shown once
POST /agents/admit             with the fingerprint that was read out
GET  /agents/NAME/revoke, POST asks once, then closes the road
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.coordinator.desk import Desk, Sight, current, desk_of
from aegis.console.coordinator.live import Parts, live
from aegis.console.coordinator.pages import members
from aegis.console.coordinator.pages.hospitals_now import (
    STATES,
    UNCOVERED,
    course_of,
    history_of_hospital,
    hospitals_now,
)
from aegis.console.coordinator.records import happened
from aegis.console.people.rights import Person, Right, may, only_of_hospital
from aegis.console.reading import NotFound
from aegis.console.window.formats import utc
from aegis.console.window.rendering import fragment, render
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.report.wording import counted

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form()]
MOST_EVENTS = 50


@router.get("/agents")
def agents(
    request: Request, person: Annotated[Person, Depends(may(Right.READ))], state: str = ""
) -> Response:
    return _page(request, person, state=state)


def _page(
    request: Request,
    person: Person,
    status: int = 200,
    state: str = "",
    faults: tuple[tuple[str, str], ...] = (),
    code: str = "",
    name: str = "",
    fingerprint: str = "",
) -> Response:
    desk = desk_of(request)
    chosen = state if state in STATES else ""
    governs = person.can(Right.HOSPITALS) and desk.coordinator is not None
    return render(
        request,
        "coordinator/agents.html",
        status,
        live=f"/live/agents{f'-{chosen}' if chosen else ''}",
        faults=faults,
        governs=governs,
        waiting=_waiting(desk) if governs else (),
        invited=code,
        name=name,
        fingerprint=fingerprint,
        **_now(desk, Sight.of(person), chosen),
    )


def _now(desk: Desk, sight: Sight, chosen: str) -> dict[str, Any]:
    run, state = current(desk), desk.state()
    there = hospitals_now(desk, sight, run, chosen)
    simulated = bool(there.tiles) and all(one.simulated for one in there.tiles)
    return {
        "hospitals": there,
        "headline": _headline(there.present, len(state["hospitals"]), there.total, simulated),
        "road": state["road"],
        "waits": len(state["waiting_to_join"]),
        "run": run,
        "simulated": simulated,
        "states": STATES,
        "chosen": chosen,
        "uncovered": UNCOVERED if there.scores else "",
    }


def _headline(present: int, hospitals: int, total: int, simulated: bool) -> str:
    if hospitals:
        return f"{present} of {counted(hospitals, 'hospital')} connected".replace("\xa0", " ")
    if simulated:
        return f"{counted(total, 'simulated hospital')} of a rehearsal".replace("\xa0", " ")
    return "No hospital has joined yet"


def _live(chosen: str) -> None:
    @live(f"agents-{chosen}" if chosen else "agents")
    def parts(desk: Desk, sight: Sight, run: str | None) -> Parts:
        found = _now(desk, sight, chosen)
        return {
            "agents-head": fragment("partials/agents_head.html", **found),
            "filters": fragment("partials/agents_filters.html", **found),
            "agents": fragment("partials/agents_tiles.html", **found),
        }


for _state in STATES:
    _live(_state)


def _waiting(desk: Desk) -> tuple[dict[str, Any], ...]:
    return tuple(desk.state()["waiting_to_join"])


@router.get("/agents/{name}")
def agent(
    name: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    return _one(request, person, name)


def _one(
    request: Request,
    person: Person,
    name: str,
    status: int = 200,
    faults: tuple[tuple[str, str], ...] = (),
) -> Response:
    desk = desk_of(request)
    only_of_hospital(person, name)
    run = current(desk)
    course = course_of(desk, run)
    standing = members.standing(desk, name)
    tiles = {one.name: one for one in hospitals_now(desk, Sight.of(person), run, "", course).tiles}
    past = history_of_hospital(desk, name)
    if name not in tiles and not past and standing is None:
        raise NotFound(f"there is no hospital {name!r:.60} here", way_out="See /agents for all")
    return render(
        request,
        "coordinator/agent.html",
        status,
        live=None,
        faults=faults,
        name=name,
        tile=tiles.get(name),
        past=past,
        told=_told(desk, run, name),
        run=run,
        member=standing,
        since=utc(standing.time) if standing is not None and standing.time else "",
        road=desk.state()["road"],
        governs=person.can(Right.HOSPITALS) and standing is not None and not standing.revoked,
    )


def _told(desk: Desk, run: str | None, name: str) -> list[tuple[str, str]]:
    """(time, sentence) of what the present run says about this hospital, newest first."""
    if run is None:
        return []
    events = desk.reading.events(run)
    found = [
        (utc(time), happened.sentence(event))
        for _, time, event in events
        if happened.about(event) == name
    ]
    return found[::-1][:MOST_EVENTS]


@router.post("/agents/invite")
def invite(
    request: Request,
    person: Annotated[Person, Depends(may(Right.HOSPITALS))],
    name: Text = "",
    trusted: Text = "",
) -> Response:
    try:
        host = request.url.netloc
        code = members.invite(desk_of(request), name.strip(), host, bool(trusted))
    except BadInput as error:
        return _page(request, person, 422, faults=(("name", str(error)),), name=name)
    return _page(request, person, code=code, name=name.strip())


@router.post("/agents/admit")
def admit(
    request: Request,
    person: Annotated[Person, Depends(may(Right.HOSPITALS))],
    name: Text = "",
    fingerprint: Text = "",
) -> Response:
    try:
        members.admit(desk_of(request), name, fingerprint, person)
    except (CheckFailed, BadInput) as error:
        faults = ((f"read-{name}"[:100], str(error)),)
        return _page(request, person, 422, faults=faults, fingerprint=fingerprint)
    return RedirectResponse("/agents", 303)


@router.get("/agents/{name}/revoke")
def ask_to_revoke(
    name: str, request: Request, person: Annotated[Person, Depends(may(Right.HOSPITALS))]
) -> Response:
    return _ask(request, name)


def _ask(
    request: Request, name: str, status: int = 200, fault: str = "", said: str = ""
) -> Response:
    standing = members.standing(desk_of(request), name)
    if standing is None or standing.revoked:
        raise NotFound(f"{name!r:.60} is no member of the federation")
    return render(
        request,
        "coordinator/confirm.html",
        status,
        headline=f"Revoke {name}?",
        sentences=[
            "Its road is closed at once, and nothing more is sent to it. Runs that are going on "
            "continue without it. What it has contributed stays in the models.",
            "It can come back only with new keys and a new join code.",
        ],
        action=f"/agents/{name}/revoke",
        hidden=(),
        ask={
            "name": "reason",
            "label": "Why?",
            "hint": "It is told to the hospital and stands in the list of members for good.",
            "value": said,
            "fault": fault,
        },
        button=f"Revoke {name}",
        back=f"/agents/{name}",
    )


@router.post("/agents/{name}/revoke")
def revoke(
    name: str,
    request: Request,
    person: Annotated[Person, Depends(may(Right.HOSPITALS))],
    reason: Text = "",
) -> Response:
    try:
        members.revoke(desk_of(request), name, reason, person)
    except BadInput as error:
        return _ask(request, name, 422, str(error), reason)
    except AegisError as error:
        return _one(request, person, name, 409, (("", str(error)),))
    return RedirectResponse("/agents", 303)
