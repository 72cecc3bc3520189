"""A request's body, counted as it comes, and looked into for the token that a form shows.

Small bodies are read whole before the app hears of them. Of an upload only the beginning is, where
the form has its token: in a form with a file, the field ``csrf`` comes first.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from fastapi import HTTPException

Message = MutableMapping[str, Any]
MOST_FIELDS = 1000
_BOUNDARY = re.compile(r'boundary="?([A-Za-z0-9\'()+_,./:=? -]{1,70})"?\s*(?:;|$)')
_CSRF_PART = re.compile(rb'content-disposition:\s*form-data;\s*name="csrf"\s*(?:\r\n|$)', re.I)


class TooLarge(Exception):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit} bytes")


class Body:
    """Stands in for ASGI's ``receive``. ``over`` says that more came than ``limit`` bytes; whoever
    reads on in the app gets the 413 as an exception."""

    def __init__(self, receive: Callable[[], Awaitable[Message]], limit: int) -> None:
        self._receive, self.limit = receive, limit
        self._held: deque[Message] = deque()
        self._size = 0
        self._ended = False
        self.over = self.gone = False

    def announced(self, length: str | None) -> None:
        """Raises ``TooLarge`` for a length that says so itself."""
        if length is not None and (not length.isascii() or not length.isdigit()):
            raise TooLarge(self.limit)
        if length is not None and (len(length) > 15 or int(length) > self.limit):
            raise TooLarge(self.limit)

    async def ahead(self, most: int | None) -> None:
        """Read until there are ``most`` bytes or all. Raises ``TooLarge``."""
        while not self._ended and not self.gone and (most is None or self._size < most):
            self._held.append(await self._next())
            if self.over:
                raise TooLarge(self.limit)

    @property
    def seen(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self._held)

    async def __call__(self) -> Message:
        if self._held:
            return self._held.popleft()
        message = None if self.over else await self._next()
        if message is None or self.over:
            raise HTTPException(413, f"a body of more than {self.limit} bytes")
        return message

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            self.over = self.over or self._size > self.limit
        else:
            self.gone = True
        return message


def csrf_shown(headers: dict[str, str], body: bytes) -> str:
    """The synchroniser token a request shows: in its header, or in its form; empty for none."""
    if (said := headers.get("x-csrf-token")) is not None:
        return said
    kind, _, options = headers.get("content-type", "").partition(";")
    match kind.strip().lower():
        case "application/x-www-form-urlencoded":
            try:
                found = parse_qs(body.decode("ascii"), max_num_fields=MOST_FIELDS).get("csrf", [])
            except (ValueError, UnicodeError):
                return ""
            return found[0] if len(found) == 1 else ""
        case "multipart/form-data":
            return _first_part(options, body)
        case _:
            return ""


def _first_part(options: str, body: bytes) -> str:
    boundary = _BOUNDARY.search(options)
    if boundary is None:
        return ""
    mark = b"--" + boundary[1].encode()
    start, found, rest = body.partition(mark + b"\r\n")
    if start.strip() or not found:
        return ""
    head, found, rest = rest.partition(b"\r\n\r\n")
    if not found or not _CSRF_PART.search(head):
        return ""
    value, found, _ = rest.partition(b"\r\n" + mark)
    return value.decode("ascii", "replace") if found and len(value) <= 100 else ""
