"""Who masks with whom: everybody with everybody, or within random groups of three or more.

Secrets are always shared among all hospitals, so a group can lose members as long as three of it
and t of all are left. Groups are drawn from the reveals that the hospitals sign when they
advertise; no party chooses them. A group of g hides one member from the coordinator and g - 2
colluding members, however it was drawn.

There is no sparse graph of neighbours (Bell et al., CCS 2020). At 100 hospitals, a third of them
colluding and a third lost, it takes 67 of 99 neighbours to fail less often than 2^-40: little is
saved. And that holds for a graph that the coordinator had no hand in, while ours sees the reveals
first and may still choose which of 2^88 sets of hospitals it calls present, until a draw surrounds
its victim with colluders. The complete graph has no draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aegis.errors import BadInput
from aegis.secagg.beacon import follows
from aegis.secagg.context import LEAST, Context, framed


@dataclass(frozen=True, slots=True)
class Topology:
    """``size`` is the smallest group, ``anchors`` the ends of the hospitals' hash chains (see
    ``beacon``) of a plan with so many ``attempts``; without them a hospital may choose its reveal,
    and the last to speak chooses the draw."""

    kind: Literal["complete", "groups"] = "complete"
    size: int = 0
    anchors: Mapping[str, bytes] = field(default_factory=dict)
    attempts: int = 0

    def __post_init__(self) -> None:
        if self.kind == "groups" and self.size < LEAST:
            raise BadInput(f"groups of {self.size}", f"{LEAST} or more hide a member in its group")

    def revealed(self, name: str, reveal: bytes, context: Context) -> bool:
        """Whether this hospital could reveal this and nothing else; without anchors, anything."""
        if not self.anchors:
            return True
        anchor = self.anchors.get(name, b"")
        return follows(anchor, reveal, context, self.attempts)

    def groups(self, context: Context, reveals: Mapping[str, bytes]) -> tuple[tuple[str, ...], ...]:
        """The groups of those who revealed, each sorted by name; the last ones are the larger."""
        names = sorted(reveals)
        if self.kind == "complete":
            return (tuple(names),)
        if len(names) < self.size:
            return ()
        parts = [part for name in names for part in (name, reveals[name])]
        seed = hashlib.sha256(context.bound("draw", *parts)).digest()
        drawn = sorted(names, key=lambda name: hashlib.sha256(framed(seed, name)).digest())
        count = len(drawn) // self.size
        small, larger = divmod(len(drawn), count)
        found, start = [], 0
        for number in range(count):
            end = start + small + (number >= count - larger)
            found.append(tuple(sorted(drawn[start:end])))
            start = end
        return tuple(found)


def complete() -> Topology:
    return Topology()


def groups(
    size: int = LEAST, anchors: Mapping[str, bytes] | None = None, attempts: int = 0
) -> Topology:
    return Topology("groups", size, dict(anchors or {}), attempts)


def group_of(name: str, found: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return next((group for group in found if name in group), ())
