"""Which courier a name means, at either end. The engines are imported only when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from aegis.errors import BadInput
from aegis.store.home import Home
from aegis.transport.carrier import Courier, Line, Trust

RoadName: TypeAlias = Literal["flower", "xmpp"]
ROADS: tuple[str, ...] = get_args(RoadName)
DEFAULT_ROAD = "flower"
USUAL_PORTS = {"flower": 8443, "xmpp": 5222}  # a hospital keeps the port that it was told


@dataclass(frozen=True)
class Place:
    """Where a coordinator runs its courier: ``host`` to listen on, ``port`` for hospitals (0: any
    that is free), ``called`` the name by which hospitals reach it. ``in_memory``: what the engine
    itself remembers may go with it; nothing of ours is there."""

    host: str = "127.0.0.1"
    port: int = 0
    called: str = "localhost"
    in_memory: bool = False


def courier(road: str, home: Home, trust: Trust, place: Place, server: str = "") -> Courier:
    """``server`` is an XMPP server that runs elsewhere; without it one is started here."""
    match road:
        case "flower":
            from aegis.transport.flower import courier as flower

            where = (place.host, place.port, place.called)
            return flower(home.root / "flower", trust, *where, in_memory=place.in_memory)
        case "xmpp":
            from aegis.transport.xmpp import courier as xmpp

            return xmpp(home.root / "xmpp", trust, place.host, place.port, place.called, server)
        case _:
            raise unknown(road)


def line(road: Mapping[str, str], hospital: str, trust: Trust) -> Line:
    """``road`` as the courier's ``admit`` gave it."""
    match road.get("road"):
        case "flower":
            from aegis.transport.flower import line as flower

            return flower(road, hospital, trust)
        case "xmpp":
            from aegis.transport.xmpp import line as xmpp

            return xmpp(road, hospital, trust)
        case other:
            raise unknown(str(other))


def unknown(road: str) -> BadInput:
    return BadInput(f"{road!r} is no road", f"there are {' and '.join(ROADS)}")
