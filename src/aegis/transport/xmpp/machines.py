"""Where an agent stands, as two tables: state and happening give the next state, or nothing.

What a table does not name cannot happen: the behaviour that walks it (``agent``) passes over any
other happening, and registers with its engine no transition that is not written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aegis.events import Event, RoundAggregated, RoundClosed, RoundOpened, RunEnded, RunStarted
from aegis.transport.xmpp.messages import Type

Happening: TypeAlias = Literal[
    "connected",  # a session with the server
    "lost",  # none any more
    "met",  # the other side is there
    "parted",  # and no longer
    "asked",  # a question came, or went out
    "answered",  # its answer is there
    "sent",  # and is handed over
    "told",  # a round's model went out
    "started",  # a run begins
    "ended",  # and is over
    "rested",
    "refused",  # the server does not take this agent
]
Steps: TypeAlias = Mapping[str, Mapping[Happening, str]]


@dataclass(frozen=True)
class Machine:
    initial: str
    steps: Steps

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.steps)

    def after(self, state: str, happening: Happening) -> str | None:
        """The state that follows, or None where nothing follows from it here."""
        return self.steps[state].get(happening)

    def transitions(self) -> Iterator[tuple[str, str]]:
        """Each pair of states once, without those that stay."""
        for state, ways in self.steps.items():
            for target in dict.fromkeys(ways.values()):
                if target != state:
                    yield state, target


HOSPITAL = Machine(
    "Init",
    {
        "Init": {"connected": "Idle", "refused": "Failed"},
        "Idle": {"met": "Ready", "asked": "Computing", "lost": "Init"},
        "Ready": {"asked": "Computing", "parted": "Idle", "lost": "Init"},
        # a cut does not end work that has begun, and what is finished is kept until it is sent
        "Computing": {"answered": "Reporting"},
        "Reporting": {"sent": "Waiting", "asked": "Computing"},
        "Waiting": {"asked": "Computing", "parted": "Idle", "lost": "Init"},
        "Failed": {"connected": "Idle"},
    },
)

COORDINATOR = Machine(
    "Idle",
    {
        # a run that goes on after a restart does not begin again
        "Idle": {"started": "Init", "asked": "RoundSetup", "told": "Broadcasting"},
        "Init": {"met": "Registration"},
        "Registration": {"asked": "RoundSetup", "told": "Broadcasting", "ended": "Terminated"},
        "RoundSetup": {"answered": "Aggregating", "told": "Broadcasting", "ended": "Terminated"},
        "Aggregating": {"asked": "RoundSetup", "told": "Broadcasting", "ended": "Terminated"},
        "Broadcasting": {"asked": "RoundSetup", "ended": "Terminated"},
        "Terminated": {"rested": "Idle"},
    },
)

_SENT: Mapping[Type, tuple[Happening, ...]] = {
    "JOIN": ("started", "met"),
    "ROUND_START": ("asked",),
    "MODEL_UPDATE": ("answered",),
    "GLOBAL_UPDATE": ("told",),
    "ERROR": (),
}
_HEARD: Mapping[type, tuple[Happening, ...]] = {
    RunStarted: ("started", "met"),
    RoundOpened: ("asked",),
    RoundAggregated: ("answered",),
    RoundClosed: ("told",),
    RunEnded: ("ended", "rested"),
}


def passed(kind: Type) -> tuple[Happening, ...]:
    """What it means to the coordinator that a message of this type goes out or comes in."""
    return _SENT[kind]


def heard(event: Event) -> tuple[Happening, ...]:
    """What an event of the house means to the coordinator's agent."""
    return _HEARD.get(type(event), ())
