"""Hospitals in this process, asked through sealed envelopes that a courier carries.

The same bytes as on a foreign road: each request and each reply is signed, sealed, numbered and
opened again by its receiver, and the courier between them sees envelopes only. It may look, keep,
drop, repeat or change them; the rounds then go on as if a road had done it. Tests and the security
documents look at what the courier captured.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aegis.errors import AegisError, EnvelopeRefused
from aegis.identity.identity import Identity
from aegis.messages import Absence, Answer, Refusal, Request
from aegis.transport.envelope import (
    LIFETIME_S,
    Directory,
    Expected,
    Guard,
    Receiver,
    Route,
    seal,
    unseal,
)
from aegis.transport.forms import REQUESTS, Forms, replies_to
from aegis.transport.frame import Header
from aegis.transport.transport import Transport

log = logging.getLogger("aegis")


class Numbers(Protocol):
    def next(self) -> int: ...


@dataclass(frozen=True)
class Party:
    """One end of a road. Sensitive: holds its private keys."""

    identity: Identity
    directory: Directory
    guard: Guard
    numbers: Numbers
    clock: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        return self.identity.name

    def seal(
        self,
        message: Any,
        to: str,
        forms: Forms,
        attempt: int = 0,
        lifetime_s: int = LIFETIME_S,
    ) -> bytes:
        """Raises ``EnvelopeRefused`` for a recipient who is unknown or revoked: nothing is sealed
        to a key that is not trusted. ``CheckFailed`` for a message that its schema refuses."""
        standing = self.directory.standing(to)
        if standing is None or standing.revoked:
            why = standing.revoked if standing else "it is not in the federation"
            raise EnvelopeRefused("recipient", f"nothing is sent to {to}: {why}")
        schema = next((one for one in forms if type(message) is one.kind), None)
        if schema is None:
            raise EnvelopeRefused("unexpected", f"a {type(message).__name__} is not what was asked")
        expiry = int(self.clock()) + lifetime_s
        route = Route(self.name, to, self.numbers.next(), expiry, attempt)
        return seal(message, route, schema, self.identity.signing, standing.identity.sealing)

    def unseal(self, data: bytes, expected: Expected) -> tuple[Header, Any]:
        receiver = Receiver(
            self.name, self.identity.sealing, self.directory, self.guard, self.clock
        )
        return unseal(data, receiver, expected)


class Courier(Protocol):
    def carry(self, src: str, dst: str, data: bytes) -> Iterable[bytes]:
        """What arrives at ``dst``, in order, when ``src`` hands over ``data``."""
        ...


class Honest:
    """Brings everything, and forgets it."""

    def carry(self, src: str, dst: str, data: bytes) -> Iterable[bytes]:
        return (data,)


class Capture:
    """Brings everything, and keeps a copy."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []

    def carry(self, src: str, dst: str, data: bytes) -> Iterable[bytes]:
        self.seen.append((src, dst, data))
        return (data,)


class SealedInProcess:
    """``inside`` is how the hospitals answer what they took out of their envelopes: each by itself,
    or together where they train as one stack. ``requests`` are the forms that a hospital takes,
    ``replies`` those that a request may be answered in; ``refused`` hears of every envelope that is
    not taken, by whom, and why."""

    def __init__(
        self,
        inside: Transport,
        coordinator: Party,
        hospitals: Mapping[str, Party],
        courier: Courier | None = None,
        *,
        requests: Forms = REQUESTS,
        replies: Callable[[Any], Forms] = replies_to,
        refused: Callable[[str, EnvelopeRefused], None] | None = None,
    ) -> None:
        self._inside = inside
        self._coordinator = coordinator
        self._hospitals = dict(hospitals)
        self._courier: Courier = courier or Honest()
        self._requests, self._replies = requests, replies
        self._refused = refused or _logged

    def hospitals(self) -> tuple[str, ...]:
        return self._inside.hospitals()

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {}
        waiting: dict[str, deque[bytes]] = {}
        for hospital, request in requests.items():
            try:
                waiting[hospital] = deque(self._posted(hospital, request))
            except AegisError as error:
                answers[hospital] = Absence(hospital, str(error))
        while any(waiting.values()):
            taken: dict[str, tuple[Header, Request]] = {}
            for hospital, arrived in waiting.items():
                if arrived and (found := self._taken(hospital, arrived.popleft())) is not None:
                    taken[hospital] = found
            asked = {hospital: request for hospital, (_, request) in taken.items()}
            for hospital, reply in (self._inside.ask(asked, deadline_s) if asked else {}).items():
                answer = self._brought(hospital, requests[hospital], *taken[hospital], reply)
                answers[hospital] = answer
                if not isinstance(answer, Absence):
                    waiting[hospital].clear()
        return {name: answers.get(name, Absence(name, "nothing came back")) for name in requests}

    def _posted(self, hospital: str, request: Request) -> Iterable[bytes]:
        """What arrives at the hospital of this request."""
        if hospital not in self._hospitals or hospital not in self._inside.hospitals():
            raise EnvelopeRefused("recipient", "no such hospital on this road")
        me = self._coordinator
        return self._courier.carry(me.name, hospital, me.seal(request, hospital, self._requests))

    def _taken(self, hospital: str, data: bytes) -> tuple[Header, Request] | None:
        """The request in what arrived, if the hospital takes it."""
        expected = Expected(self._requests, self._coordinator.name)
        try:
            return self._hospitals[hospital].unseal(data, expected)
        except EnvelopeRefused as error:
            self._refused(hospital, error)
            return None

    def _brought(
        self, hospital: str, wanted: Request, header: Header, request: Request, reply: Answer
    ) -> Answer:
        """The reply to ``request`` as the coordinator gets it, who waits for that to ``wanted``."""
        fault = "nothing came back"
        forms, attempt = self._replies(wanted), getattr(wanted, "attempt", 0)
        expected = Expected(forms, hospital, wanted.run, wanted.round, attempt)
        try:
            for back in self._sent_back(hospital, header, self._replies(request), reply):
                try:
                    _, answer = self._coordinator.unseal(back, expected)
                except EnvelopeRefused as error:
                    self._refused(self._coordinator.name, error)
                    fault = f"its answer was refused: {error}"
                else:
                    return answer  # type: ignore[no-any-return]
        except AegisError as error:
            fault = str(error)
        return Absence(hospital, fault)

    def _sent_back(
        self, hospital: str, header: Header, forms: Forms, reply: Answer
    ) -> Iterable[bytes]:
        """What arrives at the coordinator of this reply."""
        me, asker = self._hospitals[hospital], self._coordinator.name
        try:
            back = me.seal(reply, asker, forms, header.attempt)
        except AegisError as error:  # rather than silence: the coordinator learns the reason
            refusal = Refusal(header.run, header.round, hospital, str(error))
            back = me.seal(refusal, asker, forms, header.attempt)
        return self._courier.carry(hospital, asker, back)


def _logged(party: str, error: EnvelopeRefused) -> None:
    log.warning("%s refused an envelope (%s): %s", party, error.reason, error)
