"""``/account``: a person's own password, second factor and sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.people import second_factor
from aegis.console.people.accounts import Account
from aegis.console.people.door import Door, Wait
from aegis.console.people.rights import Person, Right, may
from aegis.console.people.roles import Role
from aegis.console.people.sessions import Session
from aegis.console.people.token_routes import address_of, come_in, door_of
from aegis.console.window.rendering import render
from aegis.errors import BadInput

Text = Annotated[str, Form()]
Fault = tuple[str, str]
OWN = Depends(may(Right.ACCOUNT))
WITH_SECOND = (Role.ADMIN, Role.PRIVACY_OFFICER)  # who is asked to set up a second factor

router = APIRouter(include_in_schema=False)


@router.get("/account")
def account_page(request: Request, person: Person = OWN) -> Response:
    return _account(request, person)


@router.post("/account/password")
def change_password(
    request: Request, old: Text = "", new: Text = "", again: Text = "", person: Person = OWN
) -> Response:
    door, own = door_of(request), _own(request, person)
    if fault := _unproven(request, door, own, old, "old"):
        return _account(request, person, [fault], 422)
    if new != again:
        fault = ("again", "The two new passwords differ; type the same one twice.")
        return _account(request, person, [fault], 422)
    try:
        door.proofs.change_password(own.name, new)
    except BadInput as error:
        return _account(request, person, [("new", str(error))], 422)
    door.sessions.close_all(own.name)
    door.tokens.revoke_all(own.name)
    return come_in(request, door, own, RedirectResponse("/account?said=password", 303))


@router.post("/account/second-factor")
def begin_second_factor(request: Request, person: Person = OWN) -> Response:
    own = _own(request, person)
    if own.has_password and not own.second_factor:
        door_of(request).proofs.begin_second_factor(own.name)
    return RedirectResponse("/account/second-factor", 303)


@router.get("/account/second-factor")
def second_factor_page(request: Request, person: Person = OWN) -> Response:
    return _second_factor(request, person)


@router.post("/account/second-factor/confirm")
def confirm_second_factor(
    request: Request, password: Text = "", code: Text = "", person: Person = OWN
) -> Response:
    door, own = door_of(request), _own(request, person)
    if fault := _unproven(request, door, own, password, "password"):
        return _second_factor(request, person, [fault], 422)
    try:
        codes = door.proofs.confirm_second_factor(own.name, code)
    except BadInput as error:
        return _second_factor(request, person, [("code", str(error))], 422)
    return render(request, "people/recovery.html", codes=codes)


@router.post("/account/second-factor/end")
def end_second_factor(request: Request, password: Text = "", person: Person = OWN) -> Response:
    door, own = door_of(request), _own(request, person)
    if fault := _unproven(request, door, own, password, "password"):
        return _account(request, person, [fault], 422)
    door.proofs.end_second_factor(own.name)
    return RedirectResponse("/account?said=ended", 303)


@router.post("/account/sessions/end")
def end_session(request: Request, key: Text = "", person: Person = OWN) -> Response:
    """One of the own sessions; another's key is as good as none."""
    door, own = door_of(request), _own(request, person)
    door.sessions.end(own.name, key)
    return RedirectResponse("/account?said=session", 303)


@router.post("/account/sessions/end-all")
def end_everywhere(request: Request, person: Person = OWN) -> Response:
    """Here too; and all tokens."""
    door, own = door_of(request), _own(request, person)
    door.sessions.close_all(own.name)
    door.tokens.revoke_all(own.name)
    answer = RedirectResponse("/login", 303)
    answer.headers.append("Set-Cookie", door.sessions.set_cookie(""))
    return answer


SAID = {
    "password": "Your password is changed. All other sessions and all tokens have ended.",
    "ended": "Your second factor is gone. Your password alone opens this account.",
    "session": "That session has ended.",
}


def _account(
    request: Request, person: Person, faults: list[Fault] | None = None, status: int = 200
) -> Response:
    door, own = door_of(request), _own(request, person)
    here = door.sessions.find(request.scope["state"]["session"], deed=False)
    return render(
        request,
        "people/account.html",
        status,
        faults=faults or [],
        own=own,
        sight=own.hospital or ("all" if own.roles - {Role.HOSPITAL_OPERATOR} else "none"),
        roles=[role.value for role in Role if role in own.roles],
        sessions=[_shown(one, here) for one in door.sessions.of(own.name)],
        said=SAID.get(request.query_params.get("said", ""), ""),
        asked=own.has_password
        and not own.second_factor
        and any(role in own.roles for role in WITH_SECOND),
    )


def _second_factor(
    request: Request, person: Person, faults: list[Fault] | None = None, status: int = 200
) -> Response:
    door, own = door_of(request), _own(request, person)
    secret = door.proofs.pending_second_factor(own.name)
    if not secret:
        return RedirectResponse("/account", 303)
    address = second_factor.address(secret, own.name, f"Aegis {door.side}")
    return render(
        request,
        "people/second_factor.html",
        status,
        faults=faults or [],
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        address=address,
        picture=second_factor.picture(address),
    )


def _shown(one: Session, here: Session | None) -> dict[str, object]:
    return {
        "key": one.key,
        "made": _time(one.made),
        "seen": _time(one.seen),
        "address": one.address or "not known",
        "browser": one.browser or "not known",
        "here": here is not None and one.key == here.key,
    }


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _unproven(
    request: Request, door: Door, own: Account, password: str, field: str
) -> Fault | None:
    match door.proven(own.name, password, address_of(request)):
        case Wait() as wait:
            return field, str(wait.error)
        case False:
            return field, "Your present password does not fit."
        case _:
            return None


def _own(request: Request, person: Person) -> Account:
    account = door_of(request).accounts.find(person.name)
    if person.way != "session" or account is None:
        raise HTTPException(403, "an account's page is for whoever is logged in by a browser")
    return account
