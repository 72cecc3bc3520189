"""The pages by which people come in, go out and look after their own account.

    /login  /logout  /welcome?token=...            coming and going
    /login/sso  /login/sso/back                    by the hospital's own provider
    /account  and what is below                    password, second factor, sessions

Each is a plain form that works without any script; what is wrong is said above it with the field
named, and a password never comes back to the page. ``router`` has these and the administrator's.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.people import account_pages, people_pages, single_sign_on, token_routes
from aegis.console.people.accounts import FIRST
from aegis.console.people.door import Door, Wait
from aegis.console.people.rights import Person, Right, asking, may
from aegis.console.people.roles import Role
from aegis.console.people.token_routes import address_of, come_in, door_of
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput

Text = Annotated[str, Form()]
Fault = tuple[str, str]
OWN = Depends(may(Right.ACCOUNT))
WITH_SECOND = (Role.ADMIN, Role.PRIVACY_OFFICER)  # who is asked to set up a second factor

router = APIRouter(include_in_schema=False)
router.include_router(account_pages.router)
router.include_router(people_pages.router)
_apart = APIRouter()
_apart.include_router(token_routes.router)


def routers() -> tuple[APIRouter, ...]:
    """What an app includes: the pages, and the routes for tokens."""
    return (router, _apart)


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:
    return _login(request, inside(next))


@router.post("/login")
def login(
    request: Request, name: Text = "", password: Text = "", code: Text = "", next: Text = "/"
) -> Response:
    door, target = door_of(request), inside(next)
    found = door.login(name, password, code, address_of(request))
    if isinstance(found, Wait):
        answer = _login(request, target, 429, [("name", str(found.error))], name)
        answer.headers["Retry-After"] = str(found.seconds)
        return answer
    if found is None:
        said = "Name, password or code does not fit. Which of them is not said."
        return _login(request, target, 401, [("name", said)], name)
    return come_in(request, door, found, RedirectResponse(target, 303))


@router.post("/logout")
def logout(request: Request, person: Person = OWN) -> Response:
    door = door_of(request)
    door.sessions.close(request.scope["state"]["session"])
    answer = RedirectResponse("/login", 303)
    answer.headers.append("Set-Cookie", door.sessions.set_cookie(""))
    return answer


@router.get("/login/sso")
def to_provider(request: Request, next: str = "/") -> Response:
    """To the hospital's own provider, where one is set."""
    sign_on = _sign_on(door_of(request))
    where, cookie = sign_on.begin(_back(request), inside(next))
    answer = RedirectResponse(where, 303)
    answer.headers.append("Set-Cookie", single_sign_on.set_cookie(cookie))
    return answer


@router.get("/login/sso/back")
def from_provider(request: Request) -> Response:
    """A page and no redirect: a browser that comes from another site sends no strict cookie along
    until it follows a link of ours."""
    door = door_of(request)
    cookie = request.cookies.get(single_sign_on.COOKIE, "")
    try:
        vouched = _sign_on(door).finish(cookie, dict(request.query_params))
        account = door.accounts.from_provider(vouched.subject, vouched.name, vouched.roles)
        if account.disabled:
            raise BadInput(f"the account {account.name} is disabled here")
    except AegisError as error:
        answer = _login(request, "/", 403, [("", str(error))])
        answer.headers.append("Set-Cookie", single_sign_on.set_cookie(""))
        return answer
    answer = render(
        request, "people/arrived.html", target=inside(vouched.target), name=account.name
    )
    answer.headers.append("Set-Cookie", single_sign_on.set_cookie(""))
    return come_in(request, door, account, answer)


@router.get("/welcome")
def welcome_page(request: Request, token: str = "") -> Response:
    return _welcome(request, token)


@router.post("/welcome")
def welcome(
    request: Request, token: Text = "", name: Text = "", password: Text = "", again: Text = ""
) -> Response:
    door = door_of(request)
    if wait := door.buckets.take(("proving", address_of(request)), door.rates.proving):
        said = Wait(int(wait) + 1).error
        return _welcome(request, token, [("", str(said))], name, 429)
    if password != again:
        said_twice = "The two passwords differ; type the same one twice."
        return _welcome(request, token, [("again", said_twice)], name, 422)
    try:
        account = door.accounts.welcome(token, name, password)
    except BadInput as error:
        field = "name" if "name" in error.value or "person" in error.value else "password"
        field = "" if "link" in error.value else field
        return _welcome(request, token, [(field, str(error))], name, 422)
    return come_in(request, door, account, RedirectResponse("/", 303))


def inside(target: str) -> str:
    """A page of this console, "/" for anything else: nobody is sent elsewhere by a link of ours."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    if not plain or not target.isprintable() or "\\" in target or len(target) > 500:
        return "/"
    return quote(target, safe="/?&=%:;,+@!$'()*~-._#")


def _login(
    request: Request,
    target: str,
    status: int = 200,
    faults: list[Fault] | None = None,
    name: str = "",
) -> Response:
    sso = f"/login/sso?next={quote(target, safe='/')}" if door_of(request).sign_on else ""
    return render(
        request,
        "people/login.html",
        status,
        faults=faults or [],
        name=name[:63],
        next=target,
        sso=sso,
        known=asking(request),
    )


def _welcome(
    request: Request,
    token: str,
    faults: list[Fault] | None = None,
    name: str = "",
    status: int = 200,
) -> Response:
    whom = door_of(request).accounts.link_for(token)
    return render(
        request,
        "people/welcome.html",
        status if whom is not None else max(status, 404),
        faults=faults or [],
        token=token[:64],
        whom=whom,
        first=whom == FIRST,
        name=name[:63],
    )


def _sign_on(door: Door) -> single_sign_on.SignOn:
    if door.sign_on is None:
        raise HTTPException(404, "single sign-on is not set up here")
    return door.sign_on


def _back(request: Request) -> str:
    return str(request.base_url).rstrip("/") + "/login/sso/back"
