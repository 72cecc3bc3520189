"""Hospitals in this process, asked through sealed envelopes that a courier carries.

The same bytes as on a foreign road: each request and each reply is signed, sealed, numbered and
opened again by its receiver, and the courier between them sees envelopes only. It may look, keep,
drop, repeat or change them; the rounds then go on as if a road had done it. Tests and the security
documents look at what the courier captured.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aegis.errors import AegisError, EnvelopeRefused
from aegis.identity.identity import Identity
from aegis.messages import Absence, Answer, Refusal, Reply, Request
from aegis.transport.envelope import (
    LIFETIME_S,
    Directory,
    Expected,
    Guard,
    Header,
    Receiver,
    Route,
    seal,
    unseal,
)
from aegis.transport.forms import REQUESTS, Forms, replies_to
from aegis.transport.transport import Answering

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
    """``requests`` are the forms that a hospital takes, ``replies`` those that a request may be
    answered in; ``refused`` hears of every envelope that is not taken, by whom, and why."""

    def __init__(
        self,
        nodes: Mapping[str, Answering],
        coordinator: Party,
        hospitals: Mapping[str, Party],
        courier: Courier | None = None,
        *,
        requests: Forms = REQUESTS,
        replies: Callable[[Any], Forms] = replies_to,
        refused: Callable[[str, EnvelopeRefused], None] | None = None,
    ) -> None:
        self._nodes = dict(nodes)
        self._coordinator = coordinator
        self._hospitals = dict(hospitals)
        self._courier: Courier = courier or Honest()
        self._requests, self._replies = requests, replies
        self._refused = refused or _logged

    def hospitals(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        return {hospital: self._asked(hospital, request) for hospital, request in requests.items()}

    def _asked(self, hospital: str, request: Request) -> Answer:
        if hospital not in self._nodes or hospital not in self._hospitals:
            return Absence(hospital, "no such hospital on this road")
        me = self._coordinator
        forms = self._replies(request)
        expected = Expected(
            forms, hospital, request.run, request.round, getattr(request, "attempt", 0)
        )
        fault = "nothing came back"
        try:
            sent = me.seal(request, hospital, self._requests)
            for arrived in self._courier.carry(me.name, hospital, sent):
                for back in self._answered(hospital, arrived):
                    try:
                        _, reply = me.unseal(back, expected)
                    except EnvelopeRefused as error:
                        self._refused(me.name, error)
                        fault = f"its answer was refused: {error}"
                    else:
                        return reply  # type: ignore[no-any-return]
        except AegisError as error:
            return Absence(hospital, str(error))
        return Absence(hospital, fault)

    def _answered(self, hospital: str, data: bytes) -> Iterable[bytes]:
        """What comes back to the coordinator when ``data`` arrives at the hospital."""
        me, asker = self._hospitals[hospital], self._coordinator.name
        try:
            header, request = me.unseal(data, Expected(self._requests, asker))
        except EnvelopeRefused as error:
            self._refused(hospital, error)
            return ()
        reply: Reply = self._nodes[hospital].answer(request)
        forms = self._replies(request)
        try:
            back = me.seal(reply, asker, forms, header.attempt)
        except AegisError as error:  # rather than silence: the coordinator learns the reason
            refusal = Refusal(header.run, header.round, hospital, str(error))
            back = me.seal(refusal, asker, forms, header.attempt)
        return self._courier.carry(hospital, asker, back)


def _logged(party: str, error: EnvelopeRefused) -> None:
    log.warning("%s refused an envelope (%s): %s", party, error.reason, error)
