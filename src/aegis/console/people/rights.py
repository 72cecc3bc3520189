"""The dependency that every route declares: ``person: Person = Depends(may(Right.START))``.

Nobody logged in: a page answers 303 to ``/login?next=...``, everything else 401. Logged in without
the right: 403, naming the right and the roles that have it. A route that declares none is refused
by a test, unless it stands in ``PUBLIC``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request

from aegis.console.people.roles import (
    RIGHTS,
    THIS_MACHINE,
    Person,
    Right,
    Role,
    of_hospital,
    rights_of,
    seen,
)

__all__ = [
    "PUBLIC",
    "RIGHTS",
    "THIS_MACHINE",
    "NotAllowed",
    "NotKnown",
    "Person",
    "Right",
    "Role",
    "asking",
    "declared",
    "is_page",
    "may",
    "of_hospital",
    "only_of_hospital",
    "rights_of",
    "seen",
    "still_here",
]

# A path ending in a slash stands for all below it.
PUBLIC = (
    "/health",
    "/api/federation",
    "/api/enrol",
    "/api/ask-for-run",
    "/api/token",
    "/api/token/refresh",
    "/api/token/revoke",
    "/login",
    "/login/sso",
    "/login/sso/back",
    "/welcome",
    "/static/",
    "/favicon.ico",
    "/theme",
)
_FOR_SCRIPTS = ("/api/", "/client/", "/metrics", "/openapi", "/static/")


class NotKnown(HTTPException):
    """Nobody is logged in."""

    def __init__(self, request: Request) -> None:
        if is_page(request):
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            where = "/login" if target == "/" else f"/login?next={quote(target, safe='/')}"
            super().__init__(303, "log in first", {"Location": where})
        else:
            headers = {"WWW-Authenticate": 'Bearer realm="aegis"'}
            if request.headers.get("hx-request"):
                headers["HX-Redirect"] = "/login"
            super().__init__(401, "this needs a person who is logged in, or a token", headers)


class NotAllowed(HTTPException):
    """Somebody is, without the right."""

    def __init__(self, person: Person, right: Right) -> None:
        roles = ", ".join(role.value for role in Role if right in RIGHTS[role])
        self.person, self.right = person, right
        super().__init__(403, f"{person.name} may not '{right.value}'; the roles that may: {roles}")


def asking(request: Request) -> Person | None:
    """Who the guard found, if anybody."""
    found = request.scope.get("state", {}).get("person")
    return found if isinstance(found, Person) else None


def still_here(request: Request) -> bool:
    """Whether whoever opened a stream still may have it: a session or token that ended since, or an
    account that was disabled, says no. It is asked before each frame and keeps no session alive."""
    found = request.scope.get("state", {}).get("still")
    return found is None or bool(found())


@cache
def may(right: Right) -> Callable[[Request], Awaitable[Person]]:
    async def declared_right(request: Request) -> Person:  # not sync: that would cost a thread
        person = asking(request)
        if person is None:
            raise NotKnown(request)
        if not person.can(right):
            raise NotAllowed(person, right)
        return person

    declared_right.right = right  # type: ignore[attr-defined]
    return declared_right


def declared(route: Any) -> frozenset[Right]:
    """The rights a FastAPI route asks for, its dependencies' included."""
    found: set[Right] = set()
    waiting = [route.dependant] if hasattr(route, "dependant") else []
    while waiting:
        one = waiting.pop()
        right = getattr(one.call, "right", None)
        if isinstance(right, Right):
            found.add(right)
        waiting += one.dependencies
    return frozenset(found)


def only_of_hospital(person: Person, name: str) -> None:
    """404 for another hospital's figures, as if there were none of that name."""
    if not of_hospital(person, name):
        raise HTTPException(404, f"there is no hospital {name!r:.60} here")


def is_page(request: Request) -> bool:
    """Whether a browser asks for a whole page."""
    return (
        request.method in ("GET", "HEAD")
        and not request.url.path.startswith(_FOR_SCRIPTS)
        and not request.headers.get("hx-request")
        and "text/html" in request.headers.get("accept", "")
    )
