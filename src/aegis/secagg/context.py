"""What one sealed sum is called, and how many hospitals it takes.

The context stands in every key derivation, every associated data and every signature, so nothing
made for one sum can be used in another. The threshold follows from the roster alone; no message of
a round can lower it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

from aegis.errors import BadInput, CheckFailed
from aegis.messages.stages import Purpose

Bytes: TypeAlias = bytes  # where a property of that name hides it

DOMAIN = "aegis/secagg/v1"
LEAST = 3  # hospitals in any sum that is opened
MOST = 128  # hospitals: every pair of them agrees on a key


def framed(*parts: bytes | str | int) -> bytes:
    """The parts behind their lengths: no two lists of parts give the same bytes."""
    return b"".join(map(_behind_its_length, parts))


def _behind_its_length(part: bytes | str | int) -> bytes:
    if isinstance(part, str):
        part = part.encode()
    elif isinstance(part, int):
        part = part.to_bytes(8, "big")
    return len(part).to_bytes(4, "big") + part


class Named(Protocol):
    @property
    def run(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def purpose(self) -> Purpose: ...


@dataclass(frozen=True, slots=True)
class Context:
    """The digests are hexadecimal: of the roster, the plan, and what the slots of the sum are."""

    run: str
    round: int
    attempt: int
    purpose: Purpose
    roster_sha256: str
    plan_sha256: str
    schema_sha256: str

    @property
    def bytes(self) -> Bytes:
        return _canonical(self)

    def bound(self, *parts: Bytes | str | int) -> Bytes:
        """The parts, bound to this context."""
        return framed(self.bytes, *parts)

    def names(self, message: Named) -> bool:
        """Whether a message belongs to this sum."""
        if getattr(message, "plan_sha256", self.plan_sha256) != self.plan_sha256:
            return False
        theirs = message.run, message.round, message.attempt, message.purpose
        return theirs == (self.run, self.round, self.attempt, self.purpose)

    def __str__(self) -> str:
        return f"{self.purpose} round {self.round}, attempt {self.attempt} of {self.run}"


@lru_cache(maxsize=64)
def _canonical(context: Context) -> Bytes:
    about = context.run, context.round, context.attempt, context.purpose
    return framed(DOMAIN, *about, context.roster_sha256, context.plan_sha256, context.schema_sha256)


def threshold(hospitals: int) -> int:
    """floor(2n/3)+1: how many must stay to the end. While the coordinator colludes with at most
    2t-n-1 of them (n=8: 3, n=16: 5) it learns the sum only (Bonawitz et al., CCS 2017)."""
    return checked_threshold(hospitals, 2 * hospitals // 3 + 1)


def checked_threshold(hospitals: int, least: int) -> int:
    if not LEAST <= hospitals <= MOST:
        raise BadInput(
            f"a sealed sum over {hospitals} hospitals",
            f"it takes {LEAST} to {MOST}",
            "With fewer, use trust: open with noise; with more, sum in several federations",
        )
    lowest = max(LEAST, hospitals // 2 + 1)
    if not lowest <= least <= hospitals:
        raise CheckFailed(
            f"a threshold of {least} of {hospitals} hospitals",
            f"only {lowest} to {hospitals} keep a coordinator from opening two sums",
        )
    return least
