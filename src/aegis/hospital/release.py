"""The gate of every private release: reserve, compute, store, send; or abstain.

A repeated question gets the bytes that were stored for it, or a refusal once its run is settled. A
ledger without room, without a file or of other data means a refusal, never a release with less
noise.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aegis import codec
from aegis.errors import AegisError, BadInput
from aegis.hospital.ledger import Exhausted, Head, Ledger
from aegis.messages import Counts, Refusal, Reply, Scores, Tally, Update
from aegis.privacy.accounting import Event
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import check_target
from aegis.tasks.task import Rows, below

log = logging.getLogger("aegis")

KEPT = (Update, Tally, Scores, Counts)


@dataclass(frozen=True)
class Account:
    """A hospital's ledger and the most its policy lets these data ever spend. ``seen`` is told the
    ledger's head after each charge, for whoever remembers it (``Decisions.saw_ledger``)."""

    ledger: Ledger
    cap: Cap
    seen: Callable[[Head], None] | None = None

    def within(self, cap: Cap | None) -> Account:
        """This account with a cap that is no looser than ``cap``."""
        if cap is None:
            return self
        own = self.cap
        tighter = Cap(min(own.epsilon, cap.epsilon), min(own.delta, cap.delta), own.order)
        return replace(self, cap=tighter)

    def kept(self, run: str, round: int, purpose: str) -> Reply | None:
        """The reply that was stored for this question."""
        payload = self.ledger.payload(run, round, purpose)
        if payload is None:
            return None
        reply: Reply = codec.loads(payload, KEPT)
        return reply

    def refused(
        self, run: str, round: int, purpose: str, hospital: str, event: Event, budget: Cap
    ) -> Refusal | None:
        """Charge the event, or say why not. On None the charge is on disk."""
        answer = self.ledger.reserve(run, round, purpose, event, self.cap, budget)
        if isinstance(answer, Exhausted):
            return Refusal(run, round, hospital, answer.reason)
        if self.seen is not None and not answer.repeated:
            self.seen(self.ledger.head())
        return None

    def settled(self, *names: str) -> None:
        """Drop the answers under these names, as nothing is asked again. Whether that can be done
        is no reason to refuse: the charges stand either way."""
        for name in names:
            try:
                self.ledger.forget(name)
            except AegisError as error:
                log.warning("the answers of %s stay in the ledger: %s", name, error)

    def store(self, purpose: str, reply: Reply, run: str = "") -> Reply:
        """Keep the reply under its own run, or under another name for its account."""
        self.ledger.store(run or reply.run, reply.round, purpose, codec.dumps(reply))
        return reply

    def release(
        self,
        run: str,
        round: int,
        purpose: str,
        hospital: str,
        event: Event,
        budget: Cap,
        compute: Callable[[], Reply],
    ) -> Reply:
        """One release from question to reply."""
        if (kept := self.kept(run, round, purpose)) is not None:
            return kept
        refusal = self.refused(run, round, purpose, hospital, event, budget)
        return refusal if refusal is not None else self.store(purpose, compute())


def fault_of_target(epsilon: float, delta: float, examples: int) -> str | None:
    """Why this target is none for a hospital with so many training rows, or nothing."""
    try:
        check_target(epsilon, delta, examples)
    except BadInput as error:
        return str(error)
    return None


def site_sha256(parts: Sequence[Rows]) -> str:
    """A name for all rows of a hospital, in whichever order and parts they were dealt: what one
    plan calls training rows, another tests on, and both spend one ledger."""
    rows = below(parts)
    if isinstance(rows.inputs, np.ndarray):
        pixels, labels = rows.inputs, rows.labels.tolist()
        first = sorted(range(len(rows)), key=lambda n: (pixels[n].tobytes(), labels[n]))
        rows = rows.take(np.array(first, dtype=np.intp))
    else:
        order = np.lexsort([rows.labels, *(rows.inputs[name] for name in sorted(rows.inputs))])
        rows = rows.take(order)
    return rows_sha256(rows)


def rows_sha256(rows: Rows) -> str:
    """A name for these rows, for the ledger that belongs to them; it stays in the hospital."""
    digest = hashlib.sha256(rows.labels.tobytes())
    if isinstance(rows.inputs, np.ndarray):
        digest.update(f"{rows.inputs.shape} {rows.inputs.dtype}".encode())
        digest.update(rows.inputs.tobytes())
        return digest.hexdigest()
    for name in sorted(rows.inputs):
        values = rows.inputs[name]
        digest.update(name.encode())
        digest.update(
            repr(values.tolist()).encode() if values.dtype.kind == "U" else values.tobytes()
        )
    return digest.hexdigest()
