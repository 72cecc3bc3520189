"""Asking an app without a port: a browser's or a script's requests, one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx

from aegis.console.coordinator.opening import CoordinatorWindow
from aegis.console.people.roles import THIS_MACHINE, Person, Role

PEOPLE: dict[str, Person] = {
    role.value: Person(f"the {role.value}", frozenset({role})) for role in Role
}


def belongs(hospital: str, *roles: Role) -> Person:
    """Somebody of a hospital."""
    return Person(f"{hospital}'s", frozenset(roles or {Role.HOSPITAL_OPERATOR}), hospital)


class Asking:
    """``person`` is whom the guard would have let in; None for nobody, or where ``app`` has the
    guard in front. Failures of the app are answers, as behind a port."""

    def __init__(self, app: Any, person: Person | None = THIS_MACHINE) -> None:
        self.app, self.person = app, person

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.person is not None or not isinstance(self.app, CoordinatorWindow):
            state = {"person": self.person, "session": "", "still": None}
            scope["state"] = {**scope.get("state", {}), **state}
        await self.app(scope, receive, send)

    def request(self, method: str, path: str, **said: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **said))

    def get(self, path: str, **said: Any) -> httpx.Response:
        return self.request("GET", path, **said)

    def post(self, path: str, **said: Any) -> httpx.Response:
        return self.request("POST", path, **said)

    async def _request(self, method: str, path: str, **said: Any) -> httpx.Response:
        road = httpx.ASGITransport(self, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=road, base_url="http://localhost") as client:
            return await client.request(method, path, **said)


def stream_ends(window: Any, path: str, headers: dict[str, str], deed: Callable[[], Any]) -> None:
    """A browser reads a page's stream; ``deed`` comes in between, and the stream is over."""
    told: list[httpx.Response] = []

    def reads() -> None:
        told.append(Asking(window, None).get(path, headers=headers))

    reading = threading.Thread(target=reads, daemon=True)
    reading.start()
    reading.join(0.7)
    assert reading.is_alive()
    deed()
    reading.join(10)
    assert not reading.is_alive()
    assert told[0].headers["content-type"].startswith("text/event-stream")
