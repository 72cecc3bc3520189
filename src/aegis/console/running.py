"""The coordinator's process from its first line to its last: courier, console, runs, and an end."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.console.coordinator.opening import CoordinatorWindow, coordinator_window
from aegis.console.listening import Listening, loopback, token_at
from aegis.events import Event
from aegis.events import as_json as event_json
from aegis.operations import logs
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.operations.coordinator.office import Office
from aegis.operations.coordinator.porter import Porter
from aegis.operations.letterbox import Letterbox
from aegis.operations.mirroring import mirrored
from aegis.operations.roads import USUAL_PORTS, Place, courier
from aegis.store.home import Home

TOKEN = "console.token"  # noqa: S105  (a file's name)


@dataclass(frozen=True)
class Telling:
    """Short lines for people, or one JSON object each for programs; never a patient's value."""

    as_json: bool

    def __call__(self, **said: Any) -> None:
        if self.as_json:
            print(json.dumps(said), flush=True)
        else:
            print(said.pop("text", None) or _line(said), flush=True)

    def event(self, event: Event) -> None:
        if self.as_json:
            print(json.dumps(event_json(event)), flush=True)
        else:
            print(_line(event_json(event)), flush=True)


def run_coordinator(
    *,
    host: str,
    port: int,
    road: str,
    road_port: int = 0,
    public_host: str = "",
    federation: str = "federation",
    passphrase: str | None = None,
    as_json: bool = False,
    server: str = "",
    letterbox: Path | None = None,
    stop: threading.Event | None = None,
    ready: Callable[[Coordinator, Listening], None] | None = None,
) -> None:
    """Until ``stop`` is set or a signal comes. ``letterbox`` is a folder by which hospitals of one
    machine enrol (``aegis.operations.letterbox``). Raises ``BadInput`` where a port is taken, or
    another coordinator runs on the same data root."""
    telling = Telling(as_json or logs.as_objects())
    called = public_host or ("localhost" if loopback(host) else host)
    home = Home.from_environment()
    office = Office(home, passphrase).open(federation, [called])
    box = Letterbox(letterbox).open() if letterbox is not None else None
    place = Place(host, road_port or USUAL_PORTS.get(road, 0), called)
    engine = courier(road, home, office.trust, place, server)
    stopping = stop or signalled()
    trust = None if loopback(host) else office.trust
    logs.start(names=office.hospitals())
    shown = [telling.event] if as_json or not logs.as_objects() else []
    with (
        mirrored(lambda text: telling(event="mirroring", text=text)),
        Coordinator(office, road, engine, [*shown, *logs.listeners()]) as coordinator,
    ):
        token = token_at(home.keys / TOKEN)
        with (
            coordinator_window(home, coordinator, token=token, secure=trust is not None) as window,
            Listening(window, host, port, trust) as listening,
        ):
            address = f"{called}:{listening.port}"
            office.announce(address)
            porter = None if box is None else Porter(box, coordinator.desk, address)
            anywhere = host in ("0.0.0.0", "::")  # noqa: S104  (then this machine is one place)
            url = f"{listening.scheme}://localhost:{listening.port}" if anywhere else listening.url
            telling(
                event="listening",
                url=url,
                road=road,
                federation=office.registrar.membership.federation,
                text=f"{office.registrar.membership.federation} is at {url} ({road})",
            )
            if not telling.as_json:
                print("Research use only. Not medical software. Not independently audited.")
                print("Invite a hospital:  aegis coordinator invite NAME")
                print("Start a run:        aegis run PLAN.yaml --coordinator " + url)
                trusting = f"--cacert {office.trust.root} " if trust is not None else ""
                welcome(window, url, trusting)
            if ready is not None:
                ready(coordinator, listening)
            while not stopping.wait(0.5):
                for name in porter.look() if porter is not None else ():
                    telling(event="admitted", hospital=name)
                for name in coordinator.look_at_members():
                    telling(event="expelled", hospital=name, reason="it was revoked")
    telling(event="stopped", text="The coordinator has stopped; what was going on waits on disk.")


def welcome(window: CoordinatorWindow, url: str, trusting: str) -> None:
    """Lines for whoever started it: a token that lasts minutes, and the first person's link."""
    bearer = f"-H 'Authorization: Bearer {window.door.short_token()}'"
    print(f"Look:               curl {trusting}{bearer} {url}/api/state")
    first = window.door.accounts.first_admin_link()
    if first is not None:
        print(f"Set up the first person (once, within a day): {url}/welcome?token={first}")
    print(f"Open:               {url}", flush=True)


def signalled() -> threading.Event:
    """Set by the first SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _line(said: dict[str, Any]) -> str:
    kind = str(said.get("event", ""))
    rest = {key: value for key, value in said.items() if key in _SHOWN and value not in (None, "")}
    text = f"{kind:<18} " + "  ".join(f"{key} {value}" for key, value in rest.items())
    # A reason may be a hospital's own words: no control sequence of theirs reaches a terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_LONGEST]


_LONGEST = 400
_SHOWN = ("run", "round", "hospital", "name", "reason", "status", "rounds")
