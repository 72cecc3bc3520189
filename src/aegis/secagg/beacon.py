"""Randomness that was committed before the coordinator could react: one hash chain per hospital.

At enrolment a hospital hands in its anchor, the end of a SHA-256 chain; in every sum it reveals the
value that many links before the anchor, which all can check and only it can know. So it cannot
choose what it reveals, and nobody can foresee a draw.

What is left to a cheat: to stay away. A hospital that withholds, and a coordinator that calls some
of at most n - t hospitals absent, choose among the draws without them, once for each attempt that
the plan allows; each is in the log. A link gives away all that lie nearer to the anchor, so a
hospital answers sums in their order only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from aegis.errors import BadInput
from aegis.messages.stages import Purpose
from aegis.secagg.context import Context

LINK_BYTES = 32
_ORDER: dict[Purpose, int] = {"statistics": 0, "train": 1, "evaluate": 2, "final": 3}


def place(context: Context, attempts: int) -> int:
    """How many links before the anchor: grows with the order in which sums are asked for."""
    if not 0 <= context.attempt <= attempts:
        raise BadInput(f"attempt {context.attempt} of {attempts}")
    step = context.round * len(_ORDER) + _ORDER[context.purpose]
    return step * (attempts + 1) + context.attempt + 1


@dataclass(frozen=True, slots=True, repr=False)
class Beacon:
    """Sensitive: ``seed`` (32 bytes, one for each run) tells all reveals of the run.

    ``rounds`` and ``attempts`` are the plan's.
    """

    seed: bytes
    rounds: int
    attempts: int

    @property
    def length(self) -> int:
        return (self.rounds + 1) * len(_ORDER) * (self.attempts + 1)

    @property
    def anchor(self) -> bytes:
        return _linked(self.seed, self.length)

    def reveal(self, context: Context) -> bytes:
        """Raises ``BadInput`` beyond the last round of the plan."""
        at = place(context, self.attempts)
        if at > self.length:
            raise BadInput(f"round {context.round}", f"the chain ends with round {self.rounds}")
        return _linked(self.seed, self.length - at)


def follows(anchor: bytes, reveal: bytes, context: Context, attempts: int) -> bool:
    """Whether ``reveal`` is what the hospital of this anchor had to reveal here."""
    return len(reveal) == LINK_BYTES and _linked(reveal, place(context, attempts)) == anchor


def _linked(value: bytes, times: int) -> bytes:
    for _ in range(times):
        value = hashlib.sha256(value).digest()
    return value
