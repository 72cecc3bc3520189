"""The hospital's end of a road: open an envelope, ask the node, seal the answer, for ever.

The node is the one door. Here is only what a road adds: an envelope that is not taken gets no
answer, so that a stranger learns nothing; a question that comes again (the first answer was lost)
gets the answer that was given, without any work; what fails on the way becomes a refusal with its
reason rather than silence.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from aegis import codec
from aegis.errors import AegisError, EnvelopeRefused
from aegis.messages import Refusal, Reply, Request
from aegis.transport.carrier import Line, Parcel
from aegis.transport.envelope import Expected
from aegis.transport.forms import REQUESTS, Forms
from aegis.transport.sealed import Party
from aegis.transport.transport import Answering

log = logging.getLogger("aegis")

KEPT = 3  # answers, each as long as a model at most
_LOOK_S = 1.0


class Serving:
    """``replies`` gives the forms in which a request may be answered; ``heard`` is told of each
    question before it is answered, and with its answer."""

    def __init__(
        self,
        node: Answering,
        party: Party,
        line: Line,
        coordinator: str,
        replies: Callable[[Any], Forms],
        heard: Callable[[Request, Reply | None], None] = lambda request, reply: None,
    ) -> None:
        self._node, self._party, self._line = node, party, line
        self._replies, self._heard = replies, heard
        self._expected = Expected(REQUESTS, coordinator)
        self._coordinator = coordinator
        self._kept: OrderedDict[bytes, Reply] = OrderedDict()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.once(_LOOK_S)

    def once(self, timeout_s: float) -> bool:
        """Whether an envelope was taken within the time."""
        parcel = self._line.receive(timeout_s)
        if parcel is None:
            return False
        try:
            header, request = self._party.unseal(parcel.data, self._expected)
        except EnvelopeRefused as error:
            log.warning("%s refused an envelope (%s): %s", self._party.name, error.reason, error)
            return False
        reply = self._answer(request)
        self._send(parcel, request, reply, header.attempt)
        return True

    def _answer(self, request: Request) -> Reply:
        digest = hashlib.sha256(codec.dumps(request)).digest()
        kept = self._kept.get(digest)
        if kept is not None:
            return kept
        self._heard(request, None)
        try:
            reply = self._node.answer(request)
        except Exception as error:  # a hospital that fails abstains, and lives on
            log.exception("%s could not answer a %s", self._party.name, type(request).__name__)
            reason = f"this request could not be answered: an unforeseen {type(error).__name__}"
            reply = Refusal(request.run, request.round, self._party.name, reason)
        self._heard(request, reply)
        if not isinstance(reply, Refusal):  # its reason may be gone the next time
            self._kept[digest] = reply
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return reply

    def _send(self, parcel: Parcel, request: Request, reply: Reply, attempt: int) -> None:
        forms = self._replies(request)
        try:
            back = self._party.seal(reply, self._coordinator, forms, attempt)
        except AegisError as error:
            refusal = Refusal(request.run, request.round, self._party.name, str(error))
            try:
                back = self._party.seal(refusal, self._coordinator, forms, attempt)
            except AegisError as unsent:  # the coordinator was revoked by what it sent just now
                log.warning("%s answers nothing: %s", self._party.name, unsent)
                return
        self._line.reply(parcel, back)
