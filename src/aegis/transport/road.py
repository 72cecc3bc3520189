"""The road to real hospitals: sealed questions over any courier, and answers until a deadline.

Each question is sealed anew whenever it is sent, so that nothing is ever repeated on the wire, and
sent again when its hospital comes back after a cut or stays silent for long; a hospital answers a
repeated question with what it answered before. What arrives is believed by its seal alone: an
envelope from a stranger, for another question, or from last round is refused and counted, and the
waiting goes on.

A hospital that misses a deadline and is not there is passed over at once from then on, until it is
there again: the dead cost one deadline, not one for each question.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aegis.errors import AegisError, EnvelopeRefused, RoadClosed
from aegis.messages import Absence, Answer, Invite, Request
from aegis.transport.carrier import Carrier
from aegis.transport.envelope import Expected
from aegis.transport.forms import REQUESTS, Forms, replies_to
from aegis.transport.sealed import Party

log = logging.getLogger("aegis")

DEADLINE_S = 60.0
LEAST_PATIENCE_S, FIRST_PATIENCE_S, TRIPS = 2.0, 10.0, 8.0
_LOOK_S = 0.25


@dataclass
class _Asked:
    """One question that waits for its answer. ``sent`` is when it was sent first, ``again`` when
    it will be sent next."""

    request: Request
    expected: Expected
    there: bool = False
    patience: float = 0.0
    sent: float = 0.0
    again: float = 0.0
    fault: str = "no answer"


class Road:
    """A ``Transport`` of the coordinator ``party``. ``members`` names the hospitals that count now;
    ``listed`` is the signed list of them that travels with an invitation; ``refused`` hears of
    every envelope that is not taken. ``closing``, once set, ends all waiting."""

    def __init__(
        self,
        party: Party,
        carrier: Carrier,
        members: Callable[[], tuple[str, ...]],
        *,
        listed: Callable[[], str] = lambda: "",
        replies: Callable[[Any], Forms] = replies_to,
        refused: Callable[[str, EnvelopeRefused], None] | None = None,
        closing: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._party, self._carrier, self._members = party, carrier, members
        self._listed, self._replies = listed, replies
        self._refused = refused or _logged
        self._closing = closing or threading.Event()
        self._clock = clock
        self._lost: set[str] = set()
        self._trip: float | None = None
        self._one_at_a_time = threading.RLock()

    def hospitals(self) -> tuple[str, ...]:
        """Those that count and are there now, by name."""
        present = self._carrier.present()
        return tuple(sorted(name for name in self._members() if name in present))

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        with self._one_at_a_time:
            return self._ask(requests, DEADLINE_S if deadline_s is None else deadline_s)

    def check_open(self) -> None:
        if self._closing.is_set():
            raise RoadClosed("the coordinator is stopping", way_out="Start it again: it goes on")

    def _ask(self, requests: Mapping[str, Request], deadline_s: float) -> Mapping[str, Answer]:
        self._clear()
        end = self._clock() + deadline_s
        patience = self._patience(deadline_s)
        answers: dict[str, Answer] = {}
        waiting: dict[str, _Asked] = {}
        present = self._carrier.present()
        for name, request in requests.items():
            if name in self._lost and name not in present:
                answers[name] = Absence(name, "it is not connected")
                continue
            self._lost.discard(name)
            attempt = getattr(request, "attempt", 0)
            expected = Expected(self._replies(request), name, request.run, request.round, attempt)
            waiting[name] = _Asked(request, expected, patience=patience)
        while waiting:
            self.check_open()
            now = self._clock()
            if now >= end:
                break
            self._remind(waiting, answers, now)
            arrived = self._carrier.receive(min(_LOOK_S, end - now))
            while arrived is not None:
                self._take(*arrived, waiting, answers)
                arrived = self._carrier.receive(0.0) if waiting else None
        present = self._carrier.present()
        for name, asked in waiting.items():
            gone = name not in present
            if gone:
                self._lost.add(name)
            reason = "it is not connected" if gone else f"{asked.fault} within {deadline_s:g} s"
            answers[name] = Absence(name, reason)
        return {name: answers[name] for name in requests}

    def _patience(self, deadline_s: float) -> float:
        """Seconds until a question is sent again: many times as long as answers take on this road,
        for whatever is slow is made slower by repetitions."""
        usual = FIRST_PATIENCE_S if self._trip is None else TRIPS * self._trip
        return min(max(usual, LEAST_PATIENCE_S), deadline_s / 2)

    def _remind(self, waiting: dict[str, _Asked], answers: dict[str, Answer], now: float) -> None:
        """Send what was never sent, and again where a hospital has come back or is silent."""
        present = self._carrier.present()
        for name, asked in list(waiting.items()):
            back = name in present and not asked.there
            asked.there = name in present
            if not asked.there or not (back or now >= asked.again):
                continue
            try:
                self._carrier.send(name, self._sealed(name, asked.request))
            except AegisError as error:
                answers[name] = Absence(name, str(error))
                del waiting[name]
                continue
            asked.sent = asked.sent or now
            asked.again = now + asked.patience
            asked.patience *= 2

    def _sealed(self, name: str, request: Request) -> bytes:
        if isinstance(request, Invite):
            request = replace(request, members=self._listed())
        return self._party.seal(request, name, REQUESTS)

    def _take(
        self, sender: str, data: bytes, waiting: dict[str, _Asked], answers: dict[str, Answer]
    ) -> None:
        """``sender`` is who the courier says it is; only the seal proves it."""
        asked = waiting.get(sender)
        if asked is None:
            return
        try:
            _, reply = self._party.unseal(data, asked.expected)
        except EnvelopeRefused as error:
            if error.reason != "unexpected":  # a late answer to an earlier question is no fault
                self._refused(self._party.name, error)
                asked.fault = f"its answer was refused: {error}"
            return
        answers[sender] = reply
        trip = self._clock() - asked.sent
        self._trip = trip if self._trip is None else 0.7 * self._trip + 0.3 * trip
        del waiting[sender]

    def _clear(self) -> None:
        """What came after its deadline answers nothing any more."""
        while self._carrier.receive(0.0) is not None:
            pass


def _logged(party: str, error: EnvelopeRefused) -> None:
    log.warning("%s refused an envelope (%s): %s", party, error.reason, error)
