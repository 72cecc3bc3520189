"""The coordinator's window, ready to be listened at: the app, its people, the guard in front."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.records import own_log
from aegis.console.coordinator.runs import steering
from aegis.console.people import door as doors
from aegis.console.people.door import Door
from aegis.console.people.guard import Guard
from aegis.console.people.single_sign_on import SignOn
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.store.home import Home


@dataclass(frozen=True)
class CoordinatorWindow:
    """An ASGI application; a context that is closed in the end."""

    desk: Desk
    app: FastAPI
    door: Door
    guard: Guard

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.guard(scope, receive, send)

    def __enter__(self) -> CoordinatorWindow:
        return self

    def __exit__(self, *error: object) -> None:
        steering.close(self.desk)
        self.door.close()


def coordinator_window(
    home: Home, coordinator: Coordinator | None = None, *, token: str = "", secure: bool = False
) -> CoordinatorWindow:
    """``token`` is this machine's own, empty for none; ``secure`` whether TLS is spoken. Without a
    ``coordinator`` finished runs are shown, and rehearsals can be run. Raises ``BadInput`` where
    people.db or the tokens' key cannot be used."""
    desk = Desk.of(home, coordinator)
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = None if coordinator is None else coordinator.office.identity.signing
    door = doors.opened(
        home.root,
        keys=home.keys,
        side="coordinator",
        secure=secure,
        machine=token,
        told=own_log.accounts_told(home, key),
        tell=lambda event: own_log.tell(home, event),
        sign_on=SignOn.from_environment(os.environ),
    )
    desk.extra["proposals"] = door.proposals
    app = coordinator_app(desk)
    app.state.door = door
    hosts = () if secure else ("localhost",)
    return CoordinatorWindow(desk, app, door, Guard(app, door, hosts=hosts))
