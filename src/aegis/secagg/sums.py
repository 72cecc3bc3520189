"""Where a sealed sum stands at the coordinator: frozen states, each with what the next stage needs.

States go into the journal as they are. Once vectors came in, only their running sums are in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aegis.identity.roster import Roster
from aegis.messages.learning import Absence, Evaluate, Refusal, Statistics, Train
from aegis.messages.stages import Advertised, Ring, Shared, StageReply
from aegis.secagg import checksum
from aegis.secagg.context import Context
from aegis.secagg.topology import Topology

Inner: TypeAlias = Train | Statistics | Evaluate
Answers: TypeAlias = Mapping[str, StageReply | Refusal | Absence]
Blame: TypeAlias = tuple[tuple[str, str], ...]
"""(hospital, what was wrong with its answer); hospitals that only fell silent are not in it."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What all stages share. ``length`` is that of a vector without the checksum's slots,
    ``question`` the digest of what all hospitals are asked inside."""

    context: Context
    roster: Roster
    topology: Topology
    length: int
    ring_bits: Literal[64, 32]
    threshold: int
    question: bytes = b""


@dataclass(frozen=True, slots=True)
class Advertising:
    sum: Sum
    blamed: Blame = ()


@dataclass(frozen=True, slots=True)
class Sharing:
    sum: Sum
    advertised: tuple[Advertised, ...]
    blamed: Blame = ()


@dataclass(frozen=True, slots=True)
class Masking:
    sum: Sum
    advertised: tuple[Advertised, ...]
    shared: Mapping[str, Shared]
    blamed: Blame = ()


@dataclass(frozen=True, slots=True)
class Confirming:
    """``totals`` holds one masked sum for each of ``groups``. ``commitments`` are what the
    survivors signed, for the log: (digest, signature) by hospital."""

    sum: Sum
    advertised: tuple[Advertised, ...]
    groups: tuple[tuple[str, ...], ...]
    senders: tuple[str, ...]
    seeds_sha256: Mapping[str, bytes]
    survivors: tuple[str, ...]
    totals: tuple[Ring, ...]
    commitments: Mapping[str, tuple[bytes, bytes]]
    blamed: Blame = ()


@dataclass(frozen=True, slots=True)
class Unmasking:
    confirmed: Confirming
    confirmations: Mapping[str, bytes]
    blamed: Blame = ()


@dataclass(frozen=True, slots=True)
class Group:
    """``total`` ends with the checksum's slots; ``vector`` is the sum without them."""

    survivors: tuple[str, ...]
    total: Ring

    @property
    def vector(self) -> Ring:
        return self.total[: -checksum.tag_slots(8 * self.total.itemsize)]


@dataclass(frozen=True, slots=True)
class Opening:
    """The opened sums, one per group that kept three survivors (one in all without groups)."""

    sum: Sum
    groups: tuple[Group, ...]
    commitments: Mapping[str, tuple[bytes, bytes]]
    blamed: Blame = ()

    @property
    def survivors(self) -> tuple[str, ...]:
        return tuple(sorted(name for group in self.groups for name in group.survivors))


@dataclass(frozen=True, slots=True)
class Aborted:
    reason: str
    blamed: Blame = ()


Combiner: TypeAlias = Advertising | Sharing | Masking | Confirming | Unmasking
Outcome: TypeAlias = Combiner | Opening | Aborted

CLASSES: tuple[type, ...] = (
    Context,
    Roster,
    Topology,
    Sum,
    Advertising,
    Sharing,
    Masking,
    Confirming,
    Unmasking,
    Group,
    Opening,
    Aborted,
    Advertised,
    Shared,
)
