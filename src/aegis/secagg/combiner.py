"""The coordinator's side of the sealed sum.

``requests`` says what a state asks whom; ``step`` takes the answers and gives the next state, the
opened sums, or why there are none. A hospital that answers wrongly is named and counted as absent.

    Advertising -> Sharing -> Masking -> Confirming -> Unmasking -> Opening
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, TypeVar

import numpy as np

from aegis.errors import CheckFailed
from aegis.identity.roster import Roster
from aegis.messages.learning import Refusal
from aegis.messages.stages import (
    Advertise,
    Advertised,
    Checked,
    Confirm,
    Confirmed,
    Mask,
    Masked,
    Opened,
    Share,
    Shared,
    Stage,
    StageReply,
    Unmask,
    Unmasked,
)
from aegis.secagg import checks, checksum
from aegis.secagg.commitment import signed_by
from aegis.secagg.context import DOMAIN, Context, checked_threshold, threshold
from aegis.secagg.forms import formed
from aegis.secagg.masks import weak
from aegis.secagg.opening import opened
from aegis.secagg.parcels import PARCEL_BYTES
from aegis.secagg.shamir import SHARE_BYTES
from aegis.secagg.sums import (
    Aborted,
    Advertising,
    Answers,
    Blame,
    Combiner,
    Confirming,
    Inner,
    Masking,
    Opening,
    Outcome,
    Sharing,
    Sum,
    Unmasking,
)
from aegis.secagg.topology import Topology, complete

_LONGEST_REASON = 500
_MOST_NAMED = 5
R = TypeVar("R", bound=StageReply)


def begin(
    context: Context,
    roster: Roster,
    topology: Topology | None = None,
    *,
    length: int,
    ring_bits: Literal[64, 32] = 64,
    least: int | None = None,
    question: bytes = b"",
) -> Advertising:
    """A sum over all of ``roster`` of vectors ``length`` long; ``least`` replaces the threshold,
    ``question`` is the digest of what is asked inside."""
    size = len(roster.names)
    needed = threshold(size) if least is None else checked_threshold(size, least)
    if context.roster_sha256 != roster.sha256:
        raise CheckFailed("a context of another roster")
    sharing = topology or complete()
    return Advertising(Sum(context, roster, sharing, length, ring_bits, needed, question))


def requests(
    combiner: Combiner | Opening, inner: Mapping[str, Inner] | None = None
) -> dict[str, Stage]:
    """What is asked of whom; ``inner`` (by hospital) is needed while masking only."""
    about = (combiner.confirmed if isinstance(combiner, Unmasking) else combiner).sum
    context = about.context
    name = context.run, context.plan_sha256, context.round, context.attempt, context.purpose
    match combiner:
        case Advertising():
            names, anchors = about.roster.names, about.topology.anchors
            asked = Advertise(*name, names, anchors, about.question)
            return dict.fromkeys(names, asked)
        case Sharing(advertised=advertised):
            return {one.hospital: Share(*name, advertised) for one in advertised}
        case Masking(shared=shared):
            questions = inner or {}
            return {
                hospital: Mask(
                    *name,
                    questions[hospital],
                    {
                        peer: one.shares[hospital]
                        for peer, one in shared.items()
                        if peer != hospital
                    },
                )
                for hospital in shared
            }
        case Confirming(survivors=survivors):
            return {hospital: Confirm(*name, survivors) for hospital in survivors}
        case Unmasking(confirmed=confirmed, confirmations=confirmations):
            return {hospital: Unmask(*name, confirmations) for hospital in confirmed.survivors}
        case Opening(groups=groups):
            return {
                hospital: Opened(*name, group.total, group.survivors)
                for group in groups
                for hospital in group.survivors
            }


def step(combiner: Combiner, answers: Answers) -> Outcome:
    """The next state. Answers of those who were not asked are not looked at."""
    match combiner:
        case Advertising():
            return _advertised(combiner, answers)
        case Sharing():
            return _shared(combiner, answers)
        case Masking():
            return _masked(combiner, answers)
        case Confirming():
            return _confirmed(combiner, answers)
        case Unmasking():
            return _unmasked(combiner, answers)


def doubts(opening: Opening, answers: Answers) -> Blame:
    """Who found the opened sum wrong, and why: one doubt and the round is rejected. Who fell silent
    before the end cannot check, and doubts nothing."""
    taken = _Taken(opening.sum, answers)
    return tuple(
        (name, answer.fault[:_LONGEST_REASON])
        for name, answer in taken.of(Checked, opening.survivors)
        if answer.fault
    )


def _advertised(state: Advertising, answers: Answers) -> Outcome:
    about, taken, faults = state.sum, _Taken(state.sum, answers), state.blamed
    found: list[Advertised] = []
    keys: set[bytes] = set()
    for name, one in taken.of(Advertised, about.roster.names):
        fault = checks.fault_of_advertised(one, about.context, about.roster, about.topology)
        own = {one.encryption_key, one.mask_key}
        if fault is None and (len(own) < 2 or own & keys):
            fault = "a public key that is listed twice"
        if fault is None and any(map(weak, own)):
            fault = "a public key with which nothing is secret"
        if fault:
            taken.blame(name, fault)
        else:
            found.append(one)
            keys |= own
    if len(found) < about.threshold:
        there = [one.hospital for one in found]
        return _too_few("advertised keys", there, about, faults + taken.blamed)
    return Sharing(about, tuple(found), faults + taken.blamed)


def _shared(state: Sharing, answers: Answers) -> Outcome:
    about, taken = state.sum, _Taken(state.sum, answers)
    names = [one.hospital for one in state.advertised]
    found: dict[str, Shared] = {}
    for name, one in taken.of(Shared, names):
        if set(one.shares) != set(names) - {name} or len(one.seed_sha256) != 32:
            taken.blame(name, "shares that are not one for each peer")
        elif {len(share) for share in one.shares.values()} != {PARCEL_BYTES}:
            taken.blame(name, f"shares that do not have {PARCEL_BYTES} bytes")
        else:
            found[name] = one
    blamed = state.blamed + taken.blamed
    if len(found) < about.threshold:
        return _too_few("shared their secrets", found, about, blamed)
    return Masking(about, state.advertised, found, blamed)


def _masked(state: Masking, answers: Answers) -> Outcome:
    about, taken = state.sum, _Taken(state.sum, answers)
    reveals = {one.hospital: one.reveal for one in state.advertised}
    groups = about.topology.groups(about.context, reveals)
    dtype = np.dtype(np.uint64 if about.ring_bits == 64 else np.uint32)
    length = about.length + checksum.tag_slots(about.ring_bits)
    totals = tuple(np.zeros(length, dtype) for _ in groups)
    belongs = {name: number for number, group in enumerate(groups) for name in group}
    commitments: dict[str, tuple[bytes, bytes]] = {}
    for name, one in taken.of(Masked, state.shared):
        vector = np.asarray(one.vector)
        if vector.shape != (length,) or vector.dtype != dtype:
            taken.blame(name, f"{vector.shape} {vector.dtype} where ({length},) {dtype} was agreed")
        elif not signed_by(about.roster, name, about.context, one.commitment, one.signature):
            taken.blame(name, "a commitment that its pinned identity did not sign")
        else:
            commitments[name] = one.commitment, one.signature
            if name in belongs:
                np.add(totals[belongs[name]], vector, out=totals[belongs[name]])
    blamed = state.blamed + taken.blamed
    survivors = tuple(sorted(commitments))
    if len(survivors) < about.threshold:
        return _too_few("handed in a masked vector", survivors, about, blamed)
    if not checks.opening(groups, state.shared, survivors)[0]:
        return Aborted("no group kept three hospitals", blamed)
    seeds = {name: one.seed_sha256 for name, one in state.shared.items()}
    senders = tuple(sorted(state.shared))
    return Confirming(
        about, state.advertised, groups, senders, seeds, survivors, totals, commitments, blamed
    )


def _confirmed(state: Confirming, answers: Answers) -> Outcome:
    about, taken = state.sum, _Taken(state.sum, answers)
    text = checks.confirmed_text(about.context, state.survivors)
    found: dict[str, bytes] = {}
    for name, one in taken.of(Confirmed, state.survivors):
        if about.roster.key(name).verifies(DOMAIN, text, one.signature):
            found[name] = one.signature
        else:
            taken.blame(name, "a signature that is not on this list of survivors")
    blamed = state.blamed + taken.blamed
    if len(found) < about.threshold:
        return _too_few("confirmed who survived", found, about, blamed)
    return Unmasking(state, found, blamed)


def _unmasked(state: Unmasking, answers: Answers) -> Outcome:
    confirmed, about = state.confirmed, state.confirmed.sum
    taken = _Taken(about, answers)
    alive, lost = checks.opening(confirmed.groups, confirmed.senders, confirmed.survivors)
    found: dict[str, Unmasked] = {}
    for name, one in taken.of(Unmasked, confirmed.survivors):
        shares = [*one.self_shares.values(), *one.mask_shares.values()]
        if (set(one.self_shares), set(one.mask_shares)) != (set(alive), set(lost)):
            taken.blame(name, "shares of others than those that were asked for")
        elif {len(share) for share in shares} != {SHARE_BYTES}:
            taken.blame(name, f"shares that do not have {SHARE_BYTES} bytes")
        else:
            found[name] = one
    blamed = state.blamed + taken.blamed
    if len(found) < about.threshold:
        return _too_few("gave their shares", found, about, blamed)
    return opened(confirmed, found, blamed)


def _too_few(did: str, there: Collection[str], about: Sum, blamed: Blame) -> Aborted:
    needed, names = about.threshold, about.roster.names
    silent = sorted(set(names) - set(there))
    shown = f"{', '.join(silent[:_MOST_NAMED])}{', ...' if len(silent) > _MOST_NAMED else ''}"
    did = f"{len(there)} of {len(names)} hospitals {did}, {needed} must have (not: {shown})"
    return Aborted(did, blamed)


class _Taken:
    """Goes through the answers of those asked; remembers whose was wrong."""

    def __init__(self, about: Sum, answers: Answers) -> None:
        self._context, self._answers, self._blamed = about.context, answers, dict[str, str]()

    @property
    def blamed(self) -> Blame:
        return tuple(self._blamed.items())

    def blame(self, name: str, fault: str) -> None:
        self._blamed[name] = fault

    def of(self, kind: type[R], names: Iterable[str]) -> Iterator[tuple[str, R]]:
        for name in sorted(names):
            answer = self._answers.get(name)
            if isinstance(answer, Refusal):
                self.blame(name, f"refused: {str(answer.reason)[:_LONGEST_REASON]}")
            elif isinstance(answer, StageReply) and not formed(answer):
                self.blame(name, "an answer whose fields are not of their kinds")
            elif isinstance(answer, kind):
                if answer.hospital == name and self._context.names(answer):
                    yield name, answer
                else:
                    self.blame(name, "an answer to another question")
            elif isinstance(answer, StageReply):
                self.blame(name, f"{type(answer).__name__} where {kind.__name__} was due")
