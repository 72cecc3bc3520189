"""What goes out: the headers of every answer, and 413 where a body grew too large on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from aegis.console.people.bodies import Body
from aegis.errors import BadInput

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-aegis": "research use only; not medical software",
}
HSTS = "max-age=31536000"


def headers_out(secure: bool) -> list[tuple[bytes, bytes]]:
    """``secure`` adds that this name speaks TLS for a year."""
    found = HEADERS | ({"strict-transport-security": HSTS} if secure else {})
    return [(name.encode(), value.encode()) for name, value in found.items()]


class Sending:
    """What goes out has the headers of all answers; and where a body grew too large while the app
    was reading it, the answer is 413 whatever the app made of that."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send, self._headers = send, headers
        self.body: Body | None = None
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if self.body is not None and self.body.over and message["status"] != 413:
                self._replaced = True
                large = {"error": too_large(self.body.limit).as_json()}
                answer = JSONResponse(large, 413, {"Connection": "close"})
                await answer({"type": "http"}, _nothing, Sending(self._send, self._headers))
                return
            message = {**message, "headers": self._with(list(message.get("headers", [])))}
        await self._send(message)

    def _with(self, own: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = {name for name, _ in self._headers}
        kept = [(name, value) for name, value in own if name.lower() not in ours]
        if not any(name.lower() == b"cache-control" for name, _ in kept):
            kept.append((b"cache-control", b"no-store"))
        return kept + self._headers


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def too_large(limit: int) -> BadInput:
    return BadInput(f"a body of more than {limit} bytes", f"at most {limit}")
