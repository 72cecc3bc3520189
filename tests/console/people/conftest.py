"""A door with cheap passwords and a clock that stands still, and an app behind it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Form, Request, UploadFile
from fastapi.responses import StreamingResponse

from aegis.console.people.accounts import HERE
from aegis.console.people.door import Door, opened
from aegis.console.people.guard import Guard
from aegis.console.people.pages import routers
from aegis.console.people.passwords import Passwords
from aegis.console.people.rights import Person, Right, Role, may, only_of_hospital
from aegis.console.window import assets
from aegis.console.window.failures import answers_failures
from aegis.console.window.rendering import Window

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it wishes for a newer httpx than others allow
    from starlette.testclient import TestClient

CHEAP = (1, 8, 1)
PASSWORD = "kettle orbit walnut pier"
MACHINE = "machine-token-machine-token-machine-token-0"
AT = "https://console.test"


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    import time

    return Clock(time.time())


@pytest.fixture
def door(tmp_path: Path, clock: Clock) -> Iterator[Door]:
    found = opened(
        tmp_path,
        keys=tmp_path / "keys",
        side="coordinator",
        secure=True,
        machine=MACHINE,
        passwords=Passwords(CHEAP),
        clock=clock,
    )
    yield found
    found.close()


def came(door: Door, name: str, *roles: Role, hospital: str | None = None) -> str:
    """A person who has set a password."""
    token = door.accounts.add(name, roles or (Role.VIEWER,), HERE, hospital)
    door.accounts.welcome(token, "", PASSWORD)
    return name


@cache
def _shared() -> FastAPI:
    return behind(None)


def behind(door: Door | None) -> FastAPI:
    """A small app of the same make as a console's."""
    app = FastAPI()
    app.state.window = Window("coordinator", (("Now", (("/", "Overview"),)),))
    app.state.door = door
    answers_failures(app)
    app.include_router(assets.router)
    for router in routers():
        app.include_router(router)

    @app.get("/")
    def overview(person: Annotated[Person, Depends(may(Right.READ))]) -> dict[str, Any]:
        return {"name": person.name, "way": person.way, "csrf": person.csrf}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/forgotten")
    def forgotten() -> dict[str, str]:
        return {"secret": "a route that declares no right"}

    @app.post("/api/control")
    def control(person: Annotated[Person, Depends(may(Right.START))]) -> dict[str, str]:
        return {"by": person.name}

    @app.post("/form")
    def form(
        person: Annotated[Person, Depends(may(Right.READ))], word: Annotated[str, Form()] = ""
    ) -> dict[str, str]:
        return {"word": word}

    @app.post("/upload")
    def upload(
        table: UploadFile, person: Annotated[Person, Depends(may(Right.UPLOAD))]
    ) -> dict[str, int]:
        return {"bytes": len(table.file.read())}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/hospitals/{name}")
    def hospital(name: str, person: Annotated[Person, Depends(may(Right.READ))]) -> dict[str, str]:
        only_of_hospital(person, name)
        return {"name": name}

    @app.get("/stream")
    def stream(person: Annotated[Person, Depends(may(Right.READ))]) -> StreamingResponse:
        return StreamingResponse(iter(["one", "two"]), media_type="text/event-stream")

    @app.get("/broken")
    def broken(person: Annotated[Person, Depends(may(Right.READ))]) -> None:
        raise RuntimeError("a value that nobody may see")

    return app


def browser(door: Door, **options: Any) -> TestClient:
    """A browser without anybody in it. It follows no redirects, so that each answer is seen."""
    app = _shared()
    app.state.door = door  # one app serves one test after the other
    guard = Guard(app, door, uploads=("/upload",), **options)
    return TestClient(
        guard,
        AT,
        follow_redirects=False,
        raise_server_exceptions=False,
        headers={"Accept": "text/html,*/*"},
    )


FROM_HERE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Origin": "null"}


def sign_in(client: TestClient, name: str, password: str = PASSWORD, code: str = "") -> str:
    """The session's CSRF token."""
    form = {"name": name, "password": password, "code": code}
    answer = client.post("/login", data=form, headers=FROM_HERE)
    assert answer.status_code == 303, answer.text
    return str(client.get("/").json()["csrf"])
