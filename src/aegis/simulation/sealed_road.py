"""A sealed road between simulated hospitals: keys for this run only, guards that live in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import count
from typing import Literal

from aegis.errors import EnvelopeRefused
from aegis.identity.identity import Identity
from aegis.identity.keys import SigningKey
from aegis.identity.membership import Membership
from aegis.identity.sealing import SealingKey
from aegis.plan import Plan
from aegis.transport.forms import replies_to
from aegis.transport.frame import Header
from aegis.transport.sealed import Courier, Party, SealedInProcess
from aegis.transport.transport import Answering, InProcess, Transport

COORDINATOR = "coordinator"


class Remembering:
    """A replay guard that lasts as long as its process."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], bytes] = {}

    def judge(
        self, stamped: Header, digest: bytes, now: float
    ) -> Literal["new", "replayed", "reused", "forgotten"]:
        before = self._taken.setdefault((stamped.src, stamped.seq), digest)
        if before is digest:
            return "new"
        return "replayed" if before == digest else "reused"


class Counting:
    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> int:
        return next(self._numbers)


def sealed_road(
    plan: Plan,
    nodes: Mapping[str, Answering],
    courier: Courier | None = None,
    *,
    inside: Transport | None = None,
    signing: Mapping[str, SigningKey] | None = None,
    hybrid: bool = False,
    refused: Callable[[str, EnvelopeRefused], None] | None = None,
) -> SealedInProcess:
    """``inside`` asks these same nodes in another way than one after the other. ``signing`` keys of
    hospitals that have some already; the others, and all keys to seal to, are new."""
    coordinator, parties = parties_of(nodes, signing=signing, hybrid=hybrid)
    forms = partial(replies_to, newton=plan.training.solver == "newton")
    road = inside or InProcess(nodes)
    return SealedInProcess(road, coordinator, parties, courier, replies=forms, refused=refused)


def parties_of(
    names: Iterable[str], *, signing: Mapping[str, SigningKey] | None = None, hybrid: bool = False
) -> tuple[Party, dict[str, Party]]:
    """The coordinator and the hospitals of these names, who know each other's keys."""
    kept = signing or {}
    identities = {
        name: Identity(name, kept.get(name) or SigningKey.generate(), SealingKey.generate(hybrid))
        for name in (COORDINATOR, *names)
    }
    members = Membership("simulation")
    for name, identity in identities.items():
        members = members.admitted(
            identity.public, "coordinator" if name == COORDINATOR else "hospital"
        )
    parties = {
        name: Party(identity, members, Remembering(), Counting())
        for name, identity in identities.items()
    }
    return parties.pop(COORDINATOR), parties
