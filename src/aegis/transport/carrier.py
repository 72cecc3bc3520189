"""The seam of every courier: bytes for a hospital, bytes from a hospital, who is there.

    coordinator -- Carrier ==( SuperLink, Prosody, a queue )== Line -- hospital

A courier is believed nothing: it carries sealed envelopes (``aegis.transport.envelope``), knows
names, and may lose, delay or repeat what it was given. Its two ends are a ``Carrier`` at the
coordinator's side and one ``Line`` at each hospital's; both connect outwards, come back by
themselves after a cut, and hand over whole envelopes or nothing. ``Courier`` is what the
coordinator's process does with the engine itself: start it, let a hospital in, stop it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from aegis.events import Event

PRESENCE_S = 5.0  # how often a hospital says that it is there


@dataclass(frozen=True, slots=True)
class Parcel:
    """What arrived at a hospital. ``ticket`` is the courier's own, for the reply."""

    data: bytes
    ticket: object = None


class Line(Protocol):
    """A hospital's end. It reconnects for ever; only ``close`` ends it."""

    def receive(self, timeout_s: float) -> Parcel | None:
        """The next parcel, or None after ``timeout_s`` seconds."""
        ...

    def reply(self, to: Parcel, data: bytes) -> None:
        """Hand over the answer to a parcel. What cannot be sent now is kept and sent after the
        next connection, unless a newer parcel came."""
        ...

    @property
    def status(self) -> str:
        """For people: ``connected``, or what is in the way."""
        ...

    def close(self) -> None: ...


class Carrier(Protocol):
    """The coordinator's end."""

    def present(self) -> frozenset[str]:
        """The hospitals that were there within the last three heartbeats."""
        ...

    def send(self, hospital: str, data: bytes) -> None:
        """Hand over for delivery and return at once; delivery is at least once, or never."""
        ...

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Who, as the courier says, and what; None after ``timeout_s`` seconds."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Hearing(Protocol):
    """A ``Carrier`` that also shows people where the federation stands."""

    def hear(self, event: Event) -> None: ...


@dataclass(frozen=True)
class Trust:
    """Files for TLS: the federation's root certificate (PEM) and an own certificate with its key
    in one file, where this end has one."""

    root: Path
    own: Path | None = None


class Courier(Protocol):
    """The engine of a road, as the coordinator's process runs it."""

    def start(self) -> Carrier:
        """Start the engine and connect. Raises ``AegisError`` where a port is taken or the engine
        is not installed, within seconds."""
        ...

    def admit(self, hospital: str, key: bytes) -> Mapping[str, str]:
        """Let a hospital in and return what its ``Line`` must know; asked again, the same.
        ``key`` is the public key (PEM, P-256) of its TLS certificate."""
        ...

    def expel(self, hospital: str) -> None: ...

    def stop(self) -> None: ...


class Queues:
    """A courier of queues in this process, for tests: it may be cut, and it may lose."""

    def __init__(self) -> None:
        self._up: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._down: dict[str, queue.Queue[bytes]] = {}
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()
        self.cut: set[str] = set()

    def start(self) -> Queues:
        return self

    def admit(self, hospital: str, key: bytes = b"") -> Mapping[str, str]:
        with self._lock:
            self._down.setdefault(hospital, queue.Queue())
        return {"road": "queues", "name": hospital}

    def expel(self, hospital: str) -> None:
        with self._lock:
            self._down.pop(hospital, None)

    def line(self, hospital: str) -> QueueLine:
        self.admit(hospital)
        return QueueLine(self, hospital)

    def present(self) -> frozenset[str]:
        now = time.monotonic()
        return frozenset(
            name
            for name, at in self._seen.items()
            if now - at < 3 * PRESENCE_S and name not in self.cut
        )

    def send(self, hospital: str, data: bytes) -> None:
        if hospital in self._down and hospital not in self.cut:
            self._down[hospital].put(data)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        try:
            return self._up.get(timeout=max(timeout_s, 0.0) or 0.001)
        except queue.Empty:
            return None

    def close(self) -> None: ...

    def stop(self) -> None: ...

    def _take(self, hospital: str, timeout_s: float) -> bytes | None:
        self._seen[hospital] = time.monotonic()
        try:
            return self._down[hospital].get(timeout=timeout_s)
        except (queue.Empty, KeyError):
            return None

    def _bring(self, hospital: str, data: bytes) -> None:
        self._seen[hospital] = time.monotonic()
        if hospital not in self.cut:
            self._up.put((hospital, data))


class QueueLine:
    def __init__(self, queues: Queues, hospital: str) -> None:
        self._queues, self._hospital = queues, hospital
        self._open = True

    def receive(self, timeout_s: float) -> Parcel | None:
        data = self._queues._take(self._hospital, timeout_s) if self._open else None
        return None if data is None else Parcel(data)

    def reply(self, to: Parcel, data: bytes) -> None:
        if self._open:
            self._queues._bring(self._hospital, data)

    @property
    def status(self) -> str:
        return "connected" if self._open else "closed"

    def close(self) -> None:
        self._open = False
        self._queues._seen.pop(self._hospital, None)
