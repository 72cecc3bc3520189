"""Promoting a model by two people of the console, on top of ``aegis.store.promotion``.

The store's own rule holds as before: its checks must pass both times, and its second person is not
its first. The console adds that both have logged in, that the second sees the digest of exactly
what was proposed, and that the proposal lasts a day.

A person of the console is known "by name only" in the store's acts: the console holds no key of a
person, and a key that lay on the server would prove that the server signed, not that Ana did. What
stands for it is the coordinator's log, where both acts are signed by the coordinator as what it
saw: two sessions of two accounts. Who wants personal signatures promotes by ``aegis models
promote`` with a key of the own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aegis.console.people.roles import Person
from aegis.console.people.two_persons import Kind, Proposal, Proposals
from aegis.errors import BadInput, CheckFailed
from aegis.store.promotion import Act, Gate, Promotions, Telling
from aegis.store.promotion import Person as Named
from aegis.store.registry import Version


def payload(promotions: Promotions, version: Version) -> dict[str, Any]:
    """What is proposed: this version, in place of the one in use."""
    current = promotions.in_use(version.task)
    return {
        "task": version.task,
        "version": version.number,
        "sha256": version.sha256,
        "instead_of": None if current is None else current.sha256,
    }


def propose_model(
    proposals: Proposals,
    promotions: Promotions,
    version: Version,
    person: Person,
    reason: str,
    checks: Sequence[Gate],
) -> Proposal:
    """Raises ``CheckFailed`` where a check is shut or the right is missing, ``BadInput`` where it
    is proposed or in use already."""
    first = promotions.proposal(version)
    if first is not None and first.person != person.name:
        raise BadInput(
            f"{first.person} has proposed {version.name} already",
            "another person confirms that proposal",
            f"Or: aegis models promote {version.name} --by {person.name}",
        )
    shut = [gate for gate in checks if not gate.passed]
    if first is not None and shut:
        raise CheckFailed(f"{version.name} is not promoted: {shut[0].name}: {shut[0].reason}")
    made = proposals.propose(Kind.PROMOTE_MODEL, payload(promotions, version), person, reason)
    if first is None:
        try:
            promotions.promote(version, Named(person.name), made.reason, checks, _never)
        except Exception:
            proposals.refuse(made.number, person, "its checks do not hold")
            raise
    return made


def confirm_model(
    proposals: Proposals,
    promotions: Promotions,
    number: int,
    version: Version,
    person: Person,
    seen_sha256: str,
    checks: Sequence[Gate],
    tell: Telling,
) -> Act:
    """The promotion, by the second person. Raises ``CheckFailed`` or ``BadInput``; ``tell`` enters
    it in the coordinator's log before it holds."""
    proposal = proposals.find(number)
    if proposal.kind is not Kind.PROMOTE_MODEL:
        raise BadInput(f"proposal {number} is of another kind")

    def act(one: Proposal) -> Act:
        first = promotions.proposal(version)
        if first is None or first.person != one.proposer:
            raise CheckFailed(
                f"the proposal of {one.proposer} does not stand any more",
                way_out="Propose it anew",
            )
        return promotions.promote(version, Named(person.name), one.reason, checks, tell)

    return proposals.confirm(number, person, seen_sha256, payload(promotions, version), act)


def _never(event: object) -> None:
    """A proposal tells nothing of a promotion; if it did, it would have promoted alone."""
    raise CheckFailed("a first person cannot promote alone")
