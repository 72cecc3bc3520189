"""``/api/token``: scripts get, renew and give back their tokens (``tokens`` says what they are)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from aegis.console.people.accounts import Account
from aegis.console.people.door import Door, Wait
from aegis.console.people.limits import place
from aegis.console.people.rights import asking
from aegis.console.people.sessions import csrf_fits
from aegis.console.people.tokens import Given
from aegis.errors import CheckFailed

router = APIRouter(prefix="/api/token", tags=["people"])


class Proof(BaseModel):
    """Who you are. All empty takes the browser's session, with its X-CSRF-Token."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"name": "ana", "password": "four words nobody guesses"}},
    )

    name: str = Field("", max_length=100)
    password: str = Field("", max_length=1000)
    code: str = Field("", max_length=100, description="Of the second factor, once it is set up.")


class Renewal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=200)


class Ended(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=4096, description="An access token or a refresh token.")


class TokenPair(BaseModel):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds.")
    refresh_token: str = Field(description="Works once; it comes with the next one.")
    refresh_expires_in: int = Field(description="Seconds.")


@router.post("", response_model=TokenPair)
def token(proof: Proof, request: Request) -> Response:
    """A new pair of tokens."""
    door = door_of(request)
    if proof.name or proof.password:
        found = door.login(proof.name, proof.password, proof.code, address_of(request))
        if isinstance(found, Wait):
            raise HTTPException(429, str(found.error), {"Retry-After": str(found.seconds)})
        if found is None:
            raise HTTPException(401, "name, password or code does not fit")
        return _given(door.tokens.login(found.name))
    person = asking(request)
    if person is None or person.way != "session":
        raise HTTPException(401, "a name and a password, or a session")
    shown = request.headers.get("x-csrf-token", "")
    if not csrf_fits(request.scope["state"]["session"], shown):
        raise HTTPException(403, "this needs the session's X-CSRF-Token")
    return _given(door.tokens.login(person.name))


@router.post("/refresh", response_model=TokenPair)
def refresh(renewal: Renewal, request: Request) -> Response:
    """A new pair for a refresh token, which is spent; one that was spent before ends all tokens of
    its login."""
    door = door_of(request)
    try:
        person, given = door.tokens.refresh(renewal.refresh_token)
    except CheckFailed as error:
        raise HTTPException(401, str(error)) from error
    account = door.accounts.find(person)
    if account is None or account.disabled:
        door.tokens.revoke(given.refresh)
        raise HTTPException(401, "this token's person has no account here any more")
    return _given(given)


@router.post("/revoke", status_code=204)
def revoke(ended: Ended, request: Request) -> Response:
    """Ends a token and all that came from the same login. Nobody learns whether it was one."""
    door_of(request).tokens.revoke(ended.token)
    return Response(status_code=204)


def door_of(request: Request) -> Door:
    door = request.app.state.door
    assert isinstance(door, Door)
    return door


def address_of(request: Request) -> str:
    return place(request.client.host if request.client else "")


def come_in(request: Request, door: Door, account: Account, answer: Response) -> Response:
    """A new session in place of the browser's old one."""
    made = door.sessions.open(
        account.name,
        address_of(request),
        request.headers.get("user-agent", ""),
        before=request.cookies.get(door.sessions.cookie, ""),
    )
    answer.headers.append("Set-Cookie", door.sessions.set_cookie(made))
    return answer


def _given(given: Given) -> Response:
    content: dict[str, Any] = given.as_json()
    return JSONResponse(content)
