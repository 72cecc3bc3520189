"""``/people``: an administrator adds people, gives roles, disables, resets.

A one-time link is shown once, on the page that answers the form, and nowhere kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.people.rights import Person, Right, Role, may
from aegis.console.people.token_routes import door_of
from aegis.console.window.rendering import render
from aegis.errors import BadInput

Text = Annotated[str, Form()]
Several = Annotated[list[str], Form(default_factory=list)]
Fault = tuple[str, str]
ADMIN = Depends(may(Right.PEOPLE))
MEANING = {
    Role.ADMIN: "people and hospitals",
    Role.RESEARCHER: "starts and steers runs, proposes models",
    Role.HOSPITAL_OPERATOR: "one hospital's data, and its figures only",
    Role.PRIVACY_OFFICER: "budgets, approves plans, confirms models",
    Role.AUDITOR: "reads everything, the log too",
    Role.VIEWER: "reads results",
}

router = APIRouter(prefix="/people", include_in_schema=False)


@router.get("")
def people(request: Request, person: Person = ADMIN) -> Response:
    return _people(request)


@router.post("")
def add(
    request: Request,
    roles: Several,
    name: Text = "",
    hospital: Text = "",
    person: Person = ADMIN,
) -> Response:
    try:
        given = _roles(roles)
        token = door_of(request).accounts.add(name, given, person.name, hospital)
    except BadInput as error:
        field = "hospital" if "hospital" in error.value else "name"
        field = "roles" if "role" in error.value else field
        return _people(request, [(field, str(error))], 422, {"name": name, "hospital": hospital})
    return _link(request, name.strip().lower(), token)


@router.post("/{name}/roles")
def change_roles(
    request: Request, name: str, roles: Several, hospital: Text = "", person: Person = ADMIN
) -> Response:
    _there(request, name)
    try:
        door_of(request).accounts.set_roles(name, _roles(roles), person.name, hospital)
    except BadInput as error:
        return _people(request, [("", str(error))], 422)
    return RedirectResponse("/people", 303)


@router.post("/{name}/disable")
def disable(request: Request, name: str, person: Person = ADMIN) -> Response:
    _there(request, name)
    try:
        door_of(request).accounts.disable(name, person.name)
    except BadInput as error:
        return _people(request, [("", str(error))], 422)
    return RedirectResponse("/people", 303)


@router.post("/{name}/enable")
def enable(request: Request, name: str, person: Person = ADMIN) -> Response:
    _there(request, name)
    try:
        door_of(request).accounts.enable(name, person.name)
    except BadInput as error:
        return _people(request, [("", str(error))], 422)
    return RedirectResponse("/people", 303)


@router.post("/{name}/reset")
def reset(request: Request, name: str, person: Person = ADMIN) -> Response:
    _there(request, name)
    try:
        token = door_of(request).accounts.reset(name, person.name)
    except BadInput as error:
        return _people(request, [("", str(error))], 422)
    return _link(request, name, token)


def _people(
    request: Request,
    faults: list[Fault] | None = None,
    status: int = 200,
    typed: dict[str, str] | None = None,
) -> Response:
    accounts = door_of(request).accounts
    invited = accounts.invited()
    shown = [
        {
            "name": one.name,
            "roles": [role.value for role in Role if role in one.roles],
            "hospital": one.hospital or "",
            "state": _state(
                one.disabled, one.has_password or bool(one.subject), one.name in invited
            ),
            "disabled": one.disabled,
            "way": "single sign-on" if one.subject else "password",
            "second_factor": one.second_factor,
        }
        for one in accounts.everybody()
    ]
    changes = [
        {"time": f"{datetime.fromtimestamp(then, UTC):%Y-%m-%d %H:%M} UTC",
         "who": who, "about": about, "what": what}
        for then, who, about, what in accounts.book.changes(50)
    ]  # fmt: skip
    return render(
        request,
        "people/people.html",
        status,
        faults=faults or [],
        people=shown,
        changes=changes,
        roles=[(role.value, MEANING[role]) for role in Role],
        typed={key: text[:63] for key, text in (typed or {}).items()},
        hospital=accounts.hospital or "",
    )


def _state(disabled: bool, came: bool, invited: bool) -> tuple[str, str]:
    if disabled:
        return "off", "Disabled"
    if came:
        return "ok", "Active"
    return ("info", "Invited") if invited else ("warn", "Link has expired")


def _link(request: Request, name: str, token: str) -> Response:
    address = f"{str(request.base_url).rstrip('/')}/welcome?token={token}"
    return render(request, "people/link.html", name=name, address=address)


def _roles(words: list[str]) -> list[Role]:
    known = {role.value: role for role in Role}
    if unknown := [word for word in words if word not in known]:
        raise BadInput(f"{unknown[0]!r:.40} is no role", f"some of: {', '.join(known)}")
    return [known[word] for word in words]


def _there(request: Request, name: str) -> None:
    if door_of(request).accounts.find(name) is None:
        raise HTTPException(404, f"there is no person {name!r:.60}")
