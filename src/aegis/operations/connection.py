"""Why a coordinator cannot be reached, step by step: proxy, name, port, TLS, the answer, the clock.

Each step is tried for real, in the order in which a hospital's connection would meet it; after the
first that fails nothing further is asked.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aegis import __version__
from aegis.errors import AegisError, BadInput
from aegis.identity.tls import client_context
from aegis.operations.check import Check
from aegis.transport.envelope import LEEWAY_S

TIMEOUT_S = 5.0
RENEW_DAYS = 10
_LARGEST = 2**20


@dataclass(frozen=True)
class Place:
    """``authority`` is the federation's key (hexadecimal), where this party knows it."""

    scheme: str
    host: str
    port: int
    root: Path | None = None
    authority: str = ""

    @classmethod
    def of(cls, url: str, root: Path | None = None, authority: str = "") -> Place:
        """Raises ``BadInput`` for what is no coordinator's address."""
        try:
            parts = urlsplit(url)
            usual = {"https": 443, "http": 80}[parts.scheme]
            port = parts.port or usual
        except (ValueError, KeyError):
            port = 0
        if not port or not parts.hostname or parts.path.strip("/"):
            raise BadInput(f"{url!r} is no coordinator", "https://HOST:PORT or http://HOST:PORT")
        return cls(parts.scheme, parts.hostname, port, root, authority)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def connection(place: Place, clock: Callable[[], float] = time.time) -> list[Check]:
    """All that was looked at, up to the first thing that is not well."""
    found = []
    for check in _steps(place, clock):
        found.append(check)
        if not check.ok:
            break
    return found


def reachable(name: str, host: str, port: int) -> list[Check]:
    """DNS and port alone, for a road that speaks something else."""
    found = []
    for check in (_named(host, name), _open(host, port, name)):
        found.append(check)
        if not check.ok:
            break
    return found


def _steps(place: Place, clock: Callable[[], float]) -> Iterator[Check]:
    yield proxies(place.host)
    yield _named(place.host)
    yield _open(place.host, place.port)
    if place.scheme == "https":
        yield from _tls(place)
    yield from _answer(place, clock)


def proxies(host: str) -> Check:
    """Aegis connects directly; a machine that needs a proxy needs a way around it."""
    said = {kind: at for kind, at in urllib.request.getproxies().items() if kind != "no"}
    if not said or urllib.request.proxy_bypass(host):
        return Check("Proxy", True, f"none for {host}")
    kinds = ", ".join(f"{kind}_proxy" for kind in sorted(said))
    return Check(
        "Proxy",
        True,
        f"{kinds} set, and not used: Aegis connects directly",
        "If the next steps fail, ask your network for a direct way out to this host and port",
    )


def _named(host: str, name: str = "DNS") -> Check:
    try:
        places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Check(
            name,
            False,
            f"{host} has no address ({error})",
            "Check its spelling in the join code, and this machine's DNS servers",
        )
    addresses = sorted({str(place[4][0]) for place in places})
    return Check(name, True, f"{host} is {', '.join(addresses[:4])}")


def _open(host: str, port: int, name: str = "Port") -> Check:
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), TIMEOUT_S):
            return Check(name, True, f"{where} answers")
    except TimeoutError:
        why, way = f"{where} stays silent", "A firewall drops it: let this machine out to that port"
    except ConnectionRefusedError:
        why, way = f"{where} refuses", "Nothing listens there: is the coordinator running?"
    except OSError as error:
        why, way = f"{where} cannot be reached ({error})", "Check this machine's network"
    return Check(name, False, why, way)


def _tls(place: Place) -> Iterator[Check]:
    if place.root is None or not place.root.exists():
        yield Check(
            "TLS",
            True,
            "no root certificate of this federation is here, so nobody can be checked",
            "It comes with joining; or name the hospital: aegis doctor --hospital NAME",
        )
        return
    try:
        context = client_context(place.root)
    except AegisError as error:
        yield Check("TLS", False, str(error), "Join again")
        return
    try:
        with (
            socket.create_connection((place.host, place.port), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=place.host) as secure,
        ):
            version, certificate = secure.version(), secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        yield Check("TLS", False, *_untrusted(error, place))
        return
    except (OSError, ValueError) as error:
        yield Check(
            "TLS",
            False,
            f"{place.address} does not speak TLS as we do ({error})",
            "Is this the console's port? Over loopback it speaks http://",
        )
        return
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    left = (ends - time.time()) / 86400
    yield Check(
        "TLS",
        True,
        f"{version}, certificate of our root, good for {left:.0f} days",
        "The coordinator renews it at its next start" if left < RENEW_DAYS else "",
    )


def _untrusted(error: ssl.SSLCertVerificationError, place: Place) -> tuple[str, str]:
    said = error.verify_message.rstrip(".")
    way = (
        f"It is not from the root in {place.root}: another federation, a coordinator that was "
        "made anew, or somebody in between. Ask the coordinator before you join again"
    )
    if "mismatch" in said.lower() or "doesn't match" in said.lower():
        way = f"Start it with --public-host {place.host}, so that its certificate has that name"
    elif "expired" in said or "not yet valid" in said:
        way = "Compare both clocks; else restart the coordinator, which then renews it"
    return f"{place.address} is not trusted: {said}", way


def _answer(place: Place, clock: Callable[[], float]) -> Iterator[Check]:
    begun = clock()
    try:
        health = _get(place, "/health")
        ended = clock()
        federation = _get(place, "/api/federation")
        version, name = str(health["aegis"]), str(federation["name"])
        theirs = float(health["time"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        yield Check(
            "Coordinator",
            False,
            f"what answers at {place.address} is no coordinator of Aegis ({error})",
            "Check host and port",
        )
        return
    if place.authority and federation.get("authority") != place.authority:
        yield Check(
            "Coordinator",
            False,
            f"{name} at {place.address} is another federation than the one joined",
            "Its keys were made anew, or the address is another's: ask the coordinator",
        )
        return
    yield Check("Coordinator", True, f"{name}, by {federation.get('road')}")
    same = version.split(".")[:2] == __version__.split(".")[:2]
    yield Check(
        "Versions",
        same,
        f"{__version__} here, {version} there",
        "" if same else f"Install the coordinator's version, {version}",
    )
    yield _clock(theirs, begun, ended)


def _clock(theirs: float, begun: float, ended: float) -> Check:
    """The coordinator read its clock somewhere between our two looks."""
    skew = max(begun - theirs, theirs - ended, 0.0)
    way = "ahead of" if begun > theirs else "behind"
    if skew < 1:
        return Check("Clock", True, "as the coordinator's")
    found = f"{skew:.1f} s {way} the coordinator's"
    if skew <= LEEWAY_S:
        return Check("Clock", True, found)
    return Check(
        "Clock",
        False,
        found,
        f"Messages expire after {LEEWAY_S} s of difference: set this machine's clock "
        f"(now {datetime.fromtimestamp(ended, UTC):%Y-%m-%d %H:%M:%S} UTC), say with timedatectl",
    )


def _get(place: Place, path: str) -> dict[str, Any]:
    line: http.client.HTTPConnection
    if place.scheme == "http":
        line = http.client.HTTPConnection(place.host, place.port, timeout=TIMEOUT_S)
    else:
        line = http.client.HTTPSConnection(
            place.host, place.port, timeout=TIMEOUT_S, context=_context(place.root)
        )
    try:
        line.request("GET", path, headers={"Accept": "application/json"})
        found = json.loads(line.getresponse().read(_LARGEST))
    finally:
        line.close()
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _context(root: Path | None) -> ssl.SSLContext:
    if root is not None and root.exists():
        return client_context(root)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # only public things are asked
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    return blind
