"""What every route of the coordinator's window works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from aegis import states
from aegis.console.people.roles import Person, Role
from aegis.console.reading import Line, NotFound, Reading
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.store.home import Home


@dataclass(frozen=True)
class Desk:
    """``coordinator`` is None where only finished runs are shown: then nothing can be started.
    ``extra`` holds what single rooms keep for the app's life."""

    home: Home
    reading: Reading
    coordinator: Coordinator | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Home, coordinator: Coordinator | None = None) -> Desk:
        return cls(home, Reading(home), coordinator)

    def state(self) -> dict[str, Any]:
        """Where the federation stands; Idle without hospitals where no coordinator runs here. A
        rehearsal that goes on is the run, on the road ``inprocess``."""
        found: dict[str, Any] = (
            self.coordinator.state()
            if self.coordinator is not None
            else {
                "state": "Idle",
                "run": None,
                "round": 0,
                "rounds": None,
                "road": None,
                "hospitals": [],
                "waiting_to_join": [],
                "error": None,
            }
        )
        rehearsing = self.extra.get("rehearsing")
        run = rehearsing() if rehearsing is not None and found["run"] is None else None
        return found if run is None else found | self._rehearsal(run)

    def _rehearsal(self, run: str) -> dict[str, Any]:
        stored, line = self.reading.stored(run), self.reading.line(run)
        name = states.name(stored.state)
        return {
            "run": run,
            "road": line.transport,
            "state": "Registration" if name == "Idle" else name,
            "round": line.round,
            "rounds": line.rounds,
            "command": stored.command,
            "plan_sha256": line.plan_sha256,
        }


@dataclass(frozen=True)
class Sight:
    """What a person may see of single hospitals: all of them, or ``only`` one. Two people with the
    same sight are sent the same page."""

    only: str | None = None

    @classmethod
    def of(cls, person: Person) -> Sight:
        if person.hospital is None and person.roles <= {Role.HOSPITAL_OPERATOR}:
            return cls("")  # an operator of no hospital sees none
        return cls(person.hospital)

    def sees(self, hospital: str) -> bool:
        return self.only is None or self.only == hospital


def desk_of(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


def picked(request: Request) -> str | None:
    """The run that a page is about: ``?run=``, else the one that goes on, else the latest. Raises
    ``NotFound`` for a name that no run has."""
    desk = desk_of(request)
    asked = request.query_params.get("run", "")
    if asked in ("", "latest"):
        return current(desk)
    if asked not in desk.reading.names():
        raise NotFound(f"no run is called {asked!r:.80}", way_out="See /experiments for all runs")
    return asked


def current(desk: Desk) -> str | None:
    """The run that goes on, else the latest one."""
    run: str | None = desk.state()["run"]
    return run or desk.reading.latest()


def line_of(request: Request, run: str | None) -> Line | None:
    return None if run is None else desk_of(request).reading.line(run)
