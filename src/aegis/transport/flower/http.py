"""As much HTTP/1.1 as the gateway lets in: POST with a length, to a path from a list.

Whoever speaks slowly or at length is cut off: a head has ten seconds and 16 KiB, a body ten
seconds and one more for every 64 KiB, and nothing is chunked, so two servers in a row can never
disagree on where a request ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

LARGEST_HEAD = 16 * 1024
HEAD_WITHIN_S = 10.0
BYTES_PER_S = 64 * 1024
IDLE_S = 75.0  # between two requests of a hospital; a stranger has as long as for a head
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
    413: "Content Too Large", 431: "Request Header Fields Too Large", 502: "Bad Gateway",
    503: "Service Unavailable",
}  # fmt: skip


class Refusal(Exception):
    """Says why, with a status; the connection ends with it unless ``last`` is off."""

    def __init__(self, status: int, why: str, code: int = 0, *, last: bool = True) -> None:
        super().__init__(why)
        self.status, self.why, self.code, self.last = status, why, code, last


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case

    @property
    def length(self) -> int:
        """Raises ``Refusal`` without an honest one."""
        if "transfer-encoding" in self.headers:
            raise Refusal(411, "a request without a length is not taken")
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Refusal(400, "a length that is no number")
        return int(text)


async def read_head(reader: asyncio.StreamReader, idle_s: float) -> Head | None:
    """None where the connection ends, or is idle for so long before a request."""
    try:
        first = await asyncio.wait_for(reader.read(1), idle_s)
    except TimeoutError:
        return None
    if not first:
        return None
    try:
        async with asyncio.timeout(HEAD_WITHIN_S):
            raw = first + await reader.readuntil(b"\r\n\r\n")
    except TimeoutError as error:
        raise Refusal(408, f"the head of a request took over {HEAD_WITHIN_S:.0f} s") from error
    except asyncio.LimitOverrunError as error:
        raise Refusal(431, f"the head of a request is over {LARGEST_HEAD} bytes") from error
    except asyncio.IncompleteReadError:
        return None
    return _parsed(raw)


async def read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        async with asyncio.timeout(HEAD_WITHIN_S + length / BYTES_PER_S):
            return await reader.readexactly(length)
    except TimeoutError as error:
        raise Refusal(408, f"a body of {length} bytes came too slowly") from error
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the connection ended within a body") from error


def answer(status: int, body: bytes, kind: str, *, last: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Other')}\r\n"
        f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    )
    if last:
        head += "connection: close\r\n"
    return head.encode("latin-1") + b"\r\n" + body


def refused(refusal: Refusal) -> bytes:
    """In the form of Flower's own errors, so that a stock SuperNode prints the reason."""
    text = json.dumps({"code": refusal.code or refusal.status, "detail": refusal.why})
    return answer(refusal.status, text.encode(), "application/json", last=refusal.last)


def _parsed(raw: bytes) -> Head:
    lines = raw[:-4].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise Refusal(400, "this is no HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or name.lower() in headers:
            raise Refusal(400, "a header that cannot be read, or one twice")
        headers[name.lower()] = value.strip()
    return Head(words[0], words[1], headers)
