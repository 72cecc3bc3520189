"""In front of a console's app: who asks, from where, how often and how much. Pure ASGI.

    1  headers      431 for a bomb of them, 400 for an Authorization or a Host that comes twice
    2  who          a session's cookie, a token, or this machine's own token; a bad one is 401
    3  how often    429 with Retry-After, by person, or by address where nobody is known
    4  nobody       only the public paths; anything else is 401, or /login for a page
    5  from where   a deed from a browser comes from a page of ours (Sec-Fetch-Site, else Origin)
                    and, with a session, shows the session's synchroniser token
    6  how much     413 beyond 1 MiB, 50 MiB where files are uploaded; counted, not believed
    7  headers out  no inline anything, no other host, no framing, no keeping

The pages are sent with ``no-referrer``, so Chromium 156 writes ``Origin: null`` on our own forms
(measured): Sec-Fetch-Site is what is asked first. A token in a header needs no synchroniser, as no
browser adds it by itself; a cookie beside it is not looked at.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from aegis.console.listening import loopback
from aegis.console.people.answers import Sending, headers_out, too_large
from aegis.console.people.bodies import Body, TooLarge, csrf_shown
from aegis.console.people.door import Door
from aegis.console.people.limits import place
from aegis.console.people.rights import PUBLIC, NotKnown
from aegis.console.people.roles import THIS_MACHINE, Person
from aegis.console.people.sessions import csrf_fits
from aegis.errors import AegisError, BadInput, CheckFailed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST_BODY, LARGEST_UPLOAD = 2**20, 50 * 2**20
MOST_HEADERS, LARGEST_HEADERS = 100, 2**15
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class _Caller:
    """``given`` is the session's id; sensitive, for logging out and for nothing else."""

    person: Person | None = None
    given: str = ""
    token: str = ""


class Guard:
    """Wraps ``app``. ``uploads`` are the paths where a body may have 50 MiB; ``public`` those that
    need nobody (one that ends in a slash stands for all below); ``hosts`` the names this console is
    called by, empty for any; ``localhost`` among them stands for every loopback address. Without
    them a page of a stranger whose name he lets point at this machine would be one of ours."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        door: Door,
        *,
        uploads: Iterable[str] = (),
        public: Iterable[str] = PUBLIC,
        hosts: Iterable[str] = (),
    ) -> None:
        self.app, self.door = app, door
        self.uploads, self.hosts = frozenset(uploads), frozenset(hosts)
        self._public = frozenset(path for path in public if not path.endswith("/"))
        self._below = tuple(path for path in public if path.endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        scope["state"] = {**scope.get("state", {}), "person": None, "session": "", "still": None}
        if hasattr(self.app, "state"):
            scope.setdefault("app", self.app)
        sending = Sending(send, headers_out(self.door.secure))
        try:
            body = await self._let_in(scope, receive)
        except _No as no:
            answer = self._said(scope, no)
            await answer(dict(scope), receive, sending)
            return
        except ClientGone:
            return
        sending.body = body
        await self.app(scope, body, sending)

    async def _let_in(self, scope: Scope, receive: Receive) -> Body:
        """The body to hand on. Raises ``_No``."""
        headers = _headers(scope["headers"])
        address = place(scope["client"][0] if scope.get("client") else "")
        self._called(headers)
        caller = await self._who(scope, headers, address)
        scope["state"] |= {"person": caller.person, "session": caller.given}
        if caller.given or caller.token:
            scope["state"]["still"] = partial(self._still, caller)
        path, public = str(scope["path"]), self.is_public(str(scope["path"]))
        deed = scope["method"] not in SAFE
        self._often(scope, caller, address, deed and path in self.uploads)
        if caller.person is None and not public:
            refused = NotKnown(Request(dict(scope)))
            raise _No(
                refused.status_code,
                BadInput(
                    "this needs a person who is logged in, or a token",
                    way_out="Sign in at /login, or send Authorization: Bearer TOKEN",
                ),
                dict(refused.headers or {}),
            )
        upload = path in self.uploads
        body = Body(receive, LARGEST_UPLOAD if upload else LARGEST_BODY)
        try:
            body.announced(headers.get("content-length"))
            if deed:
                _from_here(scope, headers, caller)
                await body.ahead(None if not upload else 2**14)
                if caller.given and not public:
                    shown = csrf_shown(headers, body.seen)
                    if not csrf_fits(caller.given, shown):
                        raise _No(
                            403,
                            CheckFailed(
                                "this form is not from your present session",
                                "its token (field csrf, or header X-CSRF-Token)",
                                "Load the page again and send it once more; nothing was changed",
                            ),
                        )
        except TooLarge as large:
            raise _No(413, too_large(large.limit), {"Connection": "close"}) from None
        if body.gone:
            raise ClientGone
        return body

    def is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(self._below)

    def _called(self, headers: dict[str, str]) -> None:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        here = "localhost" in self.hosts and loopback(name)
        if self.hosts and name not in self.hosts and not here:
            raise _No(
                421, BadInput("this console is not called that", way_out="Use its own address")
            )

    async def _who(self, scope: Scope, headers: dict[str, str], address: str) -> _Caller:
        if (said := headers.get("authorization")) is not None:
            scheme, _, token = said.partition(" ")
            token = token.strip()
            if scheme.lower() == "bearer" and self._is_machine(token):
                return _Caller(THIS_MACHINE)
            try:
                if scheme.lower() != "bearer":
                    raise CheckFailed("an Authorization of another kind", "Bearer TOKEN")
                person = await run_in_threadpool(self.door.person_of_token, token)
            except CheckFailed as error:
                self._take(("strangers", address), self.door.rates.strangers)
                challenge = {"WWW-Authenticate": 'Bearer realm="aegis", error="invalid_token"'}
                raise _No(401, error, challenge) from None
            return _Caller(person, token=token)
        given = _cookie(headers.get("cookie", ""), self.door.sessions.cookie)
        if not given:
            return _Caller()
        deed = scope["method"] not in SAFE or headers.get("sec-fetch-mode", "navigate") in (
            "navigate",
            "nested-navigate",
        )
        known = await run_in_threadpool(self.door.person_of_session, given, deed)
        return _Caller() if known is None else _Caller(known, given)

    def _is_machine(self, token: str) -> bool:
        own = self.door.machine
        return bool(own) and hmac.compare_digest(own.encode(), token.encode())

    def _still(self, caller: _Caller) -> bool:
        try:
            if caller.given:
                return self.door.person_of_session(caller.given, False) == caller.person
            return self.door.person_of_token(caller.token) == caller.person
        except CheckFailed:
            return False

    def _often(self, scope: Scope, caller: _Caller, address: str, upload: bool) -> None:
        rates, person = self.door.rates, caller.person
        if person is None:
            self._take(("strangers", address), rates.strangers)
        elif person.way == "machine":
            self._take(("machine",), rates.machine)
        elif scope["method"] in SAFE and person.way == "session":
            self._take(("looking", person.name), rates.looking)
        else:
            self._take(("asking", person.name), rates.asking)
        if upload:
            who = address if person is None else person.name
            self._take(("uploading", who), rates.uploading)

    def _take(self, key: tuple[str, ...], a_minute: int) -> None:
        wait = self.door.buckets.take(key, a_minute)
        if wait:
            seconds = str(math.ceil(wait))
            raise _No(
                429,
                CheckFailed("too many requests", f"wait {seconds} seconds"),
                {"Retry-After": seconds},
            )

    def _said(self, scope: Scope, no: _No) -> Response:
        if no.status in (301, 302, 303):
            return Response(status_code=no.status, headers=no.headers)
        window = getattr(getattr(self.app, "state", None), "window", None)
        if window is None:
            return JSONResponse({"error": no.error.as_json()}, no.status, no.headers)
        from aegis.console.window.failures import failure

        return failure(Request(dict(scope)), no.status, no.error, **no.headers)


class _No(Exception):
    def __init__(
        self, status: int, error: AegisError, headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.error, self.headers = status, error, headers or {}
        super().__init__(str(error))


class ClientGone(Exception):
    """Nobody is there to be answered."""


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By lower-case name. Raises ``_No`` for too many, and where one that decides comes twice."""
    found: dict[str, str] = {}
    count = size = 0
    for name, value in raw:
        count, size = count + 1, size + len(name) + len(value)
        if count > MOST_HEADERS or size > LARGEST_HEADERS:
            raise _No(431, BadInput("too many headers", f"{MOST_HEADERS}, {LARGEST_HEADERS} bytes"))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in found:
            if key in ("authorization", "host", "origin", "content-type", "content-length"):
                raise _No(400, BadInput(f"the header {key} comes twice"))
            text = f"{found[key]}{'; ' if key == 'cookie' else ', '}{text}"
        found[key] = text
    return found


def _cookie(header: str, name: str) -> str:
    """The one cookie of this name, empty where there is none or more than one."""
    pairs = [pair.strip().partition("=") for pair in header.split(";")]
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else ""


def _from_here(scope: Scope, headers: dict[str, str], caller: _Caller) -> None:
    """A deed that a browser was made to do by somebody else's page is refused."""
    if caller.person is not None and not caller.given:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        here = site == "same-origin"
    elif origin is not None:
        here = origin == f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    else:
        here = True  # no browser
    if not here:
        raise _No(403, CheckFailed("this came from another site's page", "a form of this console"))
