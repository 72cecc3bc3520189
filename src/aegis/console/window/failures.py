"""What is said when something fails: a page to people, JSON to programs, the same words to both.

Whatever was not foreseen gets a number that stands in the log beside the reason; the answer itself
says no more than that, for a reason may quote a value.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteException

from aegis.console.people.rights import is_page
from aegis.console.reading import NotFound
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput, CheckFailed, RunAborted

log = logging.getLogger("aegis")

HEADLINES = {
    400: "That cannot be done as it was asked",
    401: "Please sign in first",
    403: "Your role does not allow this",
    404: "There is nothing here",
    405: "That is not how this address is used",
    409: "That cannot be done now",
    411: "The request does not say how long it is",
    413: "That is too large",
    422: "Something in the form is not right",
    429: "Too many requests; please wait a little",
    500: "Something went wrong that was not foreseen",
    503: "The console is busy",
}


def answers_failures(app: FastAPI) -> None:
    """Has the app answer every failure in the house's own form."""
    app.add_exception_handler(AegisError, _known)
    app.add_exception_handler(StarletteException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unforeseen)


def failure(
    request: Request, status: int, error: AegisError, reference: str = "", **headers: str
) -> Response:
    """The answer to a request that failed for this reason."""
    if not is_page(request):
        said: dict[str, Any] = dict(error.as_json())
        if reference:
            said["reference"] = reference
        return JSONResponse({"error": said}, status, headers)
    sentences = [text for text in (error.value, error.need) if text]
    answer = render(
        request,
        "layout/error.html",
        status,
        number=status,
        headline=HEADLINES.get(status, HEADLINES[500]),
        sentences=sentences,
        way_out=error.way_out,
        reference=reference,
    )
    answer.headers.update(headers)
    return answer


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, AegisError)
    match error:
        case NotFound():
            status = 404
        case CheckFailed():
            status = 403
        case RunAborted():
            status = 409
        case _:
            status = 400
    return failure(request, status, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteException)
    headers = dict(error.headers or {})
    if error.status_code in (301, 302, 303, 304, 307, 308):
        return Response(status_code=error.status_code, headers=headers)
    plain = {404: "no page has this address", 405: "another method is needed here"}
    said = str(error.detail)
    if said in ("Not Found", "Method Not Allowed"):
        said = plain[error.status_code]
    way_out = "Sign in at /login, or send Authorization: Bearer TOKEN"
    return failure(
        request,
        error.status_code,
        BadInput(said, way_out=way_out if error.status_code == 401 else ""),
        **headers,
    )


async def _invalid(request: Request, error: Exception) -> Response:
    """The field is named; what stood in it is not repeated."""
    assert isinstance(error, RequestValidationError)
    found = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    ]
    return failure(
        request, 422, BadInput("; ".join(found)[:2000], way_out="Correct it, send again")
    )


async def _unforeseen(request: Request, error: Exception) -> Response:
    reference = secrets.token_hex(4)
    log.error("unforeseen failure %s at %s: %s", reference, request.url.path, type(error).__name__)
    log.debug("failure %s", reference, exc_info=error)
    said = BadInput("an unforeseen failure", "nothing was changed by it", "Try again")
    return failure(request, 500, said, reference)
