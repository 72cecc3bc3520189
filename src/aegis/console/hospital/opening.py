"""A hospital's window, ready to be listened at: the app, its people, the guard in front."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from aegis.console.hospital.app import UPLOADS, hospital_app
from aegis.console.hospital.desk import HospitalDesk
from aegis.console.listening import Listening, loopback, token_at
from aegis.console.people import door as doors
from aegis.console.people.door import Door
from aegis.console.people.guard import Guard
from aegis.errors import AegisError, BadInput
from aegis.events import ConfigChanged
from aegis.identity.identity import Identity
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder
from aegis.transport.carrier import Trust

PORT = 8501
TOKEN = "console.token"  # noqa: S105  (a file's name)
Told = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class HospitalWindow:
    """An ASGI application; a context that is closed in the end."""

    desk: HospitalDesk
    app: FastAPI
    door: Door
    guard: Guard

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.guard(scope, receive, send)

    def __enter__(self) -> HospitalWindow:
        return self

    def __exit__(self, *error: object) -> None:
        self.door.close()
        self.desk.close()


def hospital_window(
    folder: HospitalFolder,
    identity: Identity | None = None,
    *,
    token: str = "",
    secure: bool = False,
) -> HospitalWindow:
    """Without ``identity`` everything is shown and nothing is signed. Raises ``BadInput`` where
    this is no hospital, or its files cannot be used."""
    desk = HospitalDesk(folder, identity)

    def tell(event: ConfigChanged) -> None:
        desk.acts.record(desk.signer().signing, "two people", event.what, event.after_sha256)

    def told(who: str, about: str, what: str) -> None:
        if desk.identity is not None:
            desk.acts.record(desk.identity.signing, who, f"changed {about}'s account", "", what)

    try:
        door = doors.opened(
            folder.root,
            keys=folder.root / "keys",
            side=folder.name,
            secure=secure,
            machine=token,
            hospital=folder.name,
            told=told,
            tell=tell,
        )
    except BaseException:
        desk.close()
        raise
    app = hospital_app(desk)
    app.state.door = door
    hosts = () if secure else ("localhost",)
    return HospitalWindow(desk, app, door, Guard(app, door, uploads=UPLOADS, hosts=hosts))


@contextmanager
def console(
    folder: HospitalFolder,
    identity: Identity | None,
    host: str,
    port: int | None,
    told: Told,
) -> Iterator[HospitalWindow | None]:
    """The window behind a port. ``port`` None is the usual one, and where that is taken, nothing
    opens, it is said, and the node serves all the same; a port that was asked for must be free."""
    trust = None if loopback(host) else _trust(folder)
    window = hospital_window(
        folder,
        identity,
        token=token_at(folder.root / "keys" / TOKEN),
        secure=trust is not None,
    )
    with window:
        try:
            listening = Listening(window, host, PORT if port is None else port, trust)
        except BadInput as error:
            if port is not None:
                raise BadInput(
                    error.value, error.need, "Choose another with --console-port, or --no-console"
                ) from error
            said = f"{error.value}: no console here; choose another port with --console-port"
            told({"event": "console", "url": None, "text": said})
            yield None
            return
        with listening:
            for line in welcome(window, listening):
                told(line)
            yield window


def welcome(window: HospitalWindow, listening: Listening) -> Iterator[dict[str, Any]]:
    """Lines for whoever started it; what opens a door goes to the terminal alone."""
    url = listening.url
    yield {"event": "console", "url": url, "text": f"Open: {url}"}
    first = window.door.accounts.first_admin_link()
    if first is not None:
        yield {
            "event": "first person",
            "secret": f"Set up the first person (once, within a day): {url}/welcome?token={first}",
        }


def opened_key(folder: HospitalFolder, passphrase: str | None) -> Identity | None:
    """The hospital's identity, or nothing where its key does not open."""
    try:
        return folder.identity(passphrase)
    except AegisError:
        return None


def _trust(folder: HospitalFolder) -> Trust:
    try:
        return Federation.load(folder.federation).trust
    except AegisError as error:
        raise BadInput(
            "a console beyond this machine speaks TLS, and there is no certificate yet",
            "a hospital gets one when it joins",
            "Join first, or use --console-host 127.0.0.1",
        ) from error
