"""The XMPP road: SPADE agents that speak S4's messages through Prosody.

    coordinator's process                                             hospital
    XmppCourier ── Prosody, a child of its own, or one elsewhere
    XmppCarrier ── agent ══ TLS, SCRAM ══ Prosody ══ TLS, SCRAM ══ agent ── XmppLine
                     ╚══════ HTTPS, what is large ══════╝

Prosody carries; it is believed nothing. SPADE is the extra ``xmpp``; it is imported when the first
agent starts, not before.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from aegis.errors import MissingExtra
from aegis.transport.carrier import Courier, Line, Trust


def require_spade() -> None:
    """Raises ``MissingExtra`` where SPADE is not installed."""
    if importlib.util.find_spec("spade") is None:
        raise MissingExtra("the XMPP road", "xmpp")


def courier(
    home: Path, trust: Trust, host: str, port: int, called: str, server: str = ""
) -> Courier:
    """The coordinator's side. ``server`` names a Prosody that runs elsewhere (XMPP_SERVER: HOST,
    HOST:PORT or xmpp://HOST:PORT); without it one of our own listens on ``host`` and ``port`` (0:
    any that is free, the same ever after) and is reached as ``called``. Raises ``BadInput`` for a
    server that is no address, ``MissingExtra``."""
    require_spade()
    from aegis.transport.xmpp.engine import XmppCourier
    from aegis.transport.xmpp.server import elsewhere, here

    if server:
        data = home / "server"  # its data folder, where it is mounted
        return XmppCourier(
            home, trust, elsewhere(server), external=True, data=data if data.is_dir() else None
        )
    return XmppCourier(home, trust, here(home, host, port, called))


def line(road: Mapping[str, str], hospital: str, trust: Trust) -> Line:
    """A hospital's end. ``road`` is what the courier's ``admit`` returned."""
    require_spade()
    from aegis.transport.xmpp.ends import XmppLine

    return XmppLine({**road, "name": hospital}, trust)
