"""The Flower road: the same envelopes over a stock SuperLink, with TLS and a key per hospital.

    coordinator's process                                        hospital
    ┌──────────────────────────┐
    │ FlowerCourier            │  control API (loopback)
    │ FlowerCarrier ── socket ─┼─ relay, a thin ServerApp
    │                          │        │ runtime API (loopback)
    │                          │   SuperLink, stock, a child
    │                          │        │ fleet API (loopback)
    │ Gateway ─────────────────┼────────┘
    └────▲─────────────────────┘
         └── TLS, /v1/fleet/* and nothing else ────────── FleetLine, or a stock SuperNode

The SuperLink carries; it is believed nothing. Its death, or the relay's, costs a new Flower run
and the messages that were on their way; the road above sends them again. Nothing here is imported
before somebody asks for this road: Flower is the extra ``flower``.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from aegis.errors import MissingExtra
from aegis.transport.carrier import Courier, Line, Trust

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
os.environ.update(QUIET)  # Flower reads the first one when it is imported


def require_flower() -> None:
    """Raises ``MissingExtra`` where Flower is not installed."""
    if importlib.util.find_spec("flwr") is None:
        raise MissingExtra("the Flower road", "flower")


def courier(
    home: Path, trust: Trust, host: str, port: int, called: str, *, in_memory: bool = False
) -> Courier:
    """The coordinator's side. Raises ``MissingExtra``; see ``engine.FlowerCourier``."""
    require_flower()
    from aegis.transport.flower.engine import FlowerCourier

    return FlowerCourier(home, trust, host, port, public=called, in_memory=in_memory)


def line(road: Mapping[str, str], hospital: str, trust: Trust) -> Line:
    """A hospital's end: its own node, or, where ``road`` says ``supernode``, the end to which a
    stock ``flower-supernode`` brings its messages; the value is the file that both know."""
    require_flower()
    if "supernode" in road:
        from aegis.transport.flower.local_line import LocalLine

        return LocalLine(Path(road["supernode"]))
    from aegis.transport.flower.node import FlowerLine

    return FlowerLine(road, trust)
