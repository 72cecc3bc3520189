"""How often: buckets that fill with time, and logins that wait longer after each failure.

A bucket belongs to a person, or to an address where nobody is known. A failed login counts for one
name from one address: whoever guesses at Ana's password from elsewhere does not lock Ana out. What
is remembered is bounded; the oldest is forgotten first.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

REMEMBERED = 10_000
MINUTE = 60.0
LOGINS, LONGEST_WAIT_S = 5, 3600.0

Key = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute. ``looking`` is reading with a session, where pages ask for news,
    ``asking`` all other requests of a person; ``strangers`` those of an address where nobody is
    known; ``proving`` logins of an address, whoever they are for; ``machine`` those with this
    machine's own token."""

    looking: int = 600
    asking: int = 120
    uploading: int = 6
    strangers: int = 300
    proving: int = 30
    machine: int = 12_000


class _Few(OrderedDict[Key, T]):
    """The most recently used."""

    def keep(self, key: Key, value: T) -> None:
        self[key] = value
        self.move_to_end(key)
        while len(self) > REMEMBERED:
            self.popitem(last=False)


class Buckets:
    """``take`` answers how long to wait, in seconds; 0 lets it pass."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._left: _Few[tuple[float, float]] = _Few()

    def take(self, key: Key, a_minute: int) -> float:
        now = self._clock()
        with self._lock:
            left, then = self._left.get(key, (float(a_minute), now))
            left = min(float(a_minute), left + max(0.0, now - then) * a_minute / MINUTE)
            wait = 0.0 if left >= 1 else (1 - left) * MINUTE / a_minute
            self._left.keep(key, (left if wait else left - 1, now))
        return wait

    def __len__(self) -> int:
        return len(self._left)


@dataclass(slots=True)
class _Tries:
    failed: int = 0
    since: float = 0.0
    until: float = 0.0


@dataclass
class Logins:
    """Five failures within a minute are free; from then on each doubles the wait, from a minute up
    to an hour. A login that succeeds, or a quiet hour, starts anew."""

    clock: Callable[[], float] = time.monotonic
    _tries: _Few[_Tries] = field(default_factory=_Few)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, name: str, address: str) -> float:
        with self._lock:
            tries = self._tries.get((name, address))
            return 0.0 if tries is None else max(0.0, tries.until - self.clock())

    def begin(self, name: str, address: str) -> float:
        """How long to wait, in seconds. At 0 the try counts as failed until ``succeeded`` says
        otherwise, so that many at once are not one."""
        now = self.clock()
        with self._lock:
            tries = self._tries.get((name, address)) or _Tries(since=now)
            if now < tries.until:
                return tries.until - now
            over = tries.failed >= LOGINS
            if now - max(tries.since, tries.until) > (LONGEST_WAIT_S if over else MINUTE):
                tries = _Tries(since=now)
            tries.failed += 1
            if tries.failed >= LOGINS:
                doubled = MINUTE * 2.0 ** min(tries.failed - LOGINS, 20)
                tries.until = now + min(doubled, LONGEST_WAIT_S)
            self._tries.keep((name, address), tries)
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        with self._lock:
            self._tries.pop((name, address), None)


def place(address: str) -> str:
    """Whom to count an address for: an IPv6 customer has a whole /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64] or "?"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)
