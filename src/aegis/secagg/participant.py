"""A hospital's side of the sealed sum (Bonawitz et al., CCS 2017, the malicious-server variant).

Five stages, each answered once: the same request again gets the stored answer, another request of
the same stage gets a refusal. Everything a coordinator says is checked against the pinned roster
before a secret depends on it, and both kinds of shares are never given for one hospital. What is
left over is erased with the last answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from aegis import codec
from aegis.errors import CheckFailed, DataError
from aegis.identity.roster import Roster
from aegis.messages.stages import (
    Advertised,
    Checked,
    Confirm,
    Confirmed,
    Opened,
    Purpose,
    Ring,
    Share,
    Shared,
    Unmask,
    Unmasked,
)
from aegis.secagg import checks, checksum, parcels
from aegis.secagg.answered import Answered, same_answer
from aegis.secagg.beacon import Beacon
from aegis.secagg.commitment import Commitment, commit, opens
from aegis.secagg.context import LEAST, Context, Named, checked_threshold, threshold
from aegis.secagg.encoding import Encoding, fitting
from aegis.secagg.forms import formed, named_bytes
from aegis.secagg.masks import (
    KEY_BYTES,
    add_masks,
    agreed,
    pairwise_key,
    public_key,
    self_key,
)
from aegis.secagg.parcels import Parcel, Secrets
from aegis.secagg.shamir import split
from aegis.secagg.topology import Topology, complete, group_of

T = TypeVar("T")


class Participant:
    """One hospital in one attempt at one sum. Raises ``CheckFailed`` for every refused request.

    ``sign`` signs under the domain ``aegis.secagg.DOMAIN`` with the key that ``roster`` pins for
    ``name``; all of ``roster`` is asked. ``least`` replaces the threshold of the roster's size.
    ``entropy(n)`` gives n random bytes; anything but ``os.urandom`` is for known answers in tests.
    """

    def __init__(
        self,
        name: str,
        context: Context,
        roster: Roster,
        sign: Callable[[bytes], bytes],
        topology: Topology | None = None,
        encoding: Encoding | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        beacon: Beacon | None = None,
        least: int | None = None,
    ) -> None:
        roster.key(name)
        if context.roster_sha256 != roster.sha256:
            raise CheckFailed("a context of another roster")
        size = len(roster.names)
        self.threshold = threshold(size) if least is None else checked_threshold(size, least)
        self.name, self.context, self.roster = name, context, roster
        self.topology: Topology = topology or complete()
        self._encoding: Encoding | None = None
        if encoding is not None:
            self.encoding = encoding
        self._sign, self._entropy, self._beacon = sign, entropy, beacon
        self._secrets: Secrets | None = Secrets(entropy)
        self._advertised: dict[str, Advertised] = {}
        self._groups: tuple[tuple[str, ...], ...] = ()
        self._senders: tuple[str, ...] = ()
        self._survivors: tuple[str, ...] = ()
        self._own: Advertised | None = None
        self._shared: tuple[bytes, Shared] | None = None
        self._masked: tuple[bytes, Ring] | None = None
        self._confirmed: Confirmed | None = None
        self._answered: Answered | None = None
        self._checksum_key = b""
        self._form: tuple[int, np.dtype[Any]] | None = None
        self.commitment: Commitment | None = None

    def __repr__(self) -> str:
        return f"Participant({self.name}, {self.context})"

    @property
    def encoding(self) -> Encoding | None:
        """What is summed; it may be told as late as the vector."""
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: Encoding) -> None:
        encoding.among(len(self.roster.names), below=checksum.LARGEST_SUM)
        self._encoding = encoding

    def advertise(self) -> Advertised:
        """Fresh public keys and this hospital's part of the draw, signed."""
        if self._own is None:
            secrets, context = self._alive(), self.context
            reveal = self._beacon.reveal(context) if self._beacon else self._entropy(KEY_BYTES)
            keys = public_key(secrets.encryption), public_key(secrets.mask)
            text = checks.advertised_text(context, self.name, *keys, reveal)
            name = context.run, context.round, context.attempt, context.purpose
            self._own = Advertised(*name, self.name, *keys, reveal, self._sign(text))
        return self._own

    def share(self, request: Share) -> Shared:
        """Shares of this hospital's two secrets, encrypted for each peer."""
        self._belongs(request)
        asked = checks.digest_of_advertised(request.advertised)
        if self._shared is not None:
            return self._again(self._shared, asked, "share")
        own, secrets = self._before(self._own, "share"), self._alive()
        found = checks.checked_advertised(
            request.advertised, self.context, self.roster, self.topology, self.threshold
        )
        if found.get(self.name) != own:
            raise CheckFailed(f"the keys of {self.name} itself are not what it advertised")
        self._advertised = found
        reveals = {name: one.reveal for name, one in found.items()}
        self._groups = self.topology.groups(self.context, reveals)
        places = checks.places(self.roster)
        at = [places[name] for name in found]
        seeds = split(secrets.seed, self.threshold, at, self._entropy)
        keys = split(secrets.mask_raw, self.threshold, at, self._entropy)
        ours, sealed = group_of(self.name, self._groups), {}
        for name, one in found.items():
            part = secrets.contribution if name in ours else bytes(KEY_BYTES)
            parcel = Parcel(seeds[places[name]], keys[places[name]], part)
            if name == self.name:
                secrets.parcels[name] = parcel
                continue
            secrets.agreed[name] = agreed(secrets.encryption, one.encryption_key)
            about = self.context, secrets.agreed[name], self.name, name
            sealed[name] = parcels.sealed(parcel, *about)
        seed_sha256 = checks.seed_sha256(self.context, self.name, secrets.seed)
        reply = Shared(*self._name(), self.name, sealed, seed_sha256)
        self._shared = asked, reply
        return reply

    def mask(self, vector: Ring, shares: Mapping[str, bytes]) -> Ring:
        """The vector (flat, uint64 or uint32) with the checksum's slots behind it, masked; store it
        before it is sent. ``commitment`` is then the signed digest of what was handed in."""
        self._before(self._shared, "mask")
        if not named_bytes(shares):
            raise CheckFailed("shares that are not bytes by hospital")
        vector = fitting(vector, self.encoding)
        asked = checks.digest_of(shares)
        if self._masked is not None:
            if not (self.commitment and opens(self.commitment, vector, self.context, self.name)):
                asked = b""
            return self._again(self._masked, asked, "mask")
        secrets, senders = self._alive(), tuple(sorted({*shares, self.name}))
        if self.name in shares or not set(senders) <= set(self._advertised):
            raise CheckFailed("shares from hospitals that advertised nothing", "each is a peer's")
        checks.enough(senders, self.threshold, "shared their secrets")
        received = {
            name: parcels.opened(data, self.context, secrets.agreed[name], name, self.name)
            for name, data in shares.items()
        }
        secrets.parcels.update(received)
        self._senders = senders
        group = [name for name in group_of(self.name, self._groups) if name in senders]
        parts = {name: secrets.parcels[name].contribution for name in group}
        self._checksum_key = checksum.group_key(self.context, parts)
        limbs = checksum.tag(self._checksum_key, self.context, self.name, vector)
        masked: Ring = np.concatenate([vector, np.array(limbs, vector.dtype)])
        keys = {
            name: pairwise_key(
                self.context, secrets.mask, self._advertised[name].mask_key, self.name, name
            )
            for name in group
            if name != self.name
        }
        above = [key for name, key in keys.items() if name > self.name]
        below = [key for name, key in keys.items() if name < self.name]
        add_masks(masked, [self_key(self.context, self.name, secrets.seed), *above], below)
        nonce = self._entropy(KEY_BYTES)
        self.commitment = commit(vector, self.context, self.name, self._sign, nonce)
        masked.flags.writeable = False
        self._masked, self._form = (asked, masked), (masked.size, masked.dtype)
        return masked

    def confirm(self, request: Confirm) -> Confirmed:
        """A signature on who survived: the same list for everybody, or nobody unmasks."""
        self._belongs(request)
        survivors = request.survivors
        if self._confirmed is not None:
            if survivors != self._survivors:
                raise CheckFailed("a second list of survivors", "one was confirmed already")
            return self._confirmed
        self._before(self._masked, "confirm")
        self._alive()
        checks.checked_survivors(survivors, self._senders, self.threshold)
        if self.name not in survivors:
            raise CheckFailed(f"a list of survivors without {self.name}, which answered")
        self._survivors = survivors
        signature = self._sign(checks.confirmed_text(self.context, survivors))
        self._confirmed = Confirmed(*self._name(), self.name, signature)
        return self._confirmed

    def unmask(self, request: Unmask) -> Unmasked:
        """Shares of the survivors' own masks and of the lost ones' mask keys; store ``answered``
        before it is sent. Groups with fewer than three survivors stay closed."""
        self._belongs(request)
        asked = checks.digest_of(request.confirmations).hex()
        if self._answered is not None:
            return same_answer(self._answered, self.context, asked)
        self._before(self._confirmed, "unmask")
        secrets = self._alive()
        checks.checked_confirmations(
            request.confirmations, self._survivors, self.context, self.roster, self.threshold
        )
        alive, lost = checks.opening(self._groups, self._senders, self._survivors)
        reply = Unmasked(
            *self._name(),
            self.name,
            {name: secrets.parcels[name].seed_share for name in alive},
            {name: secrets.parcels[name].key_share for name in lost},
        )
        self._answered = Answered(self.context.bytes, asked, reply)
        self._secrets, self._shared, self._masked = None, None, None
        return reply

    def openings(self, survivors: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """Over whom sums would be opened if these survived. Two openings of one round that differ
        would give away their difference."""
        there = set(survivors)
        kept = (tuple(name for name in group if name in there) for group in self._groups)
        return tuple(sorted(group for group in kept if len(group) >= LEAST))

    @property
    def survivors(self) -> tuple[str, ...]:
        """Whom this hospital confirmed; empty before."""
        return self._survivors

    @property
    def answered(self) -> bytes:
        """The unmask answer as bytes, for the hospital's store; empty before it is given."""
        return b"" if self._answered is None else codec.dumps(self._answered)

    def check(self, request: Opened) -> Checked:
        """Raises ``CheckFailed`` where the opened sum is not that of this hospital's group."""
        self._belongs(request)
        self._before(self._answered, "open")
        group = group_of(self.name, self._groups)
        survivors = tuple(name for name in self._survivors if name in group)
        if request.survivors != survivors or len(survivors) < LEAST:
            raise CheckFailed(
                f"a sum over {len(request.survivors)} hospitals that were not confirmed"
            )
        total = request.total
        if total.ndim != 1 or (total.size, total.dtype) != self._form:
            raise CheckFailed(f"an opened sum of {total.shape} {total.dtype}")
        count = checksum.tag_slots(8 * total.itemsize)
        total, limbs = total[:-count], total[-count:]
        try:
            if self.encoding is None:
                checksum.bounded(total)
            else:
                self.encoding.bounded(total, len(survivors))
        except DataError as error:
            raise CheckFailed(error.value, error.need) from error
        checksum.check(self._checksum_key, self.context, survivors, total, limbs.tolist())
        return Checked(*self._name(), self.name)

    def _name(self) -> tuple[str, int, int, Purpose]:
        return self.context.run, self.context.round, self.context.attempt, self.context.purpose

    def _belongs(self, request: Named) -> None:
        if not formed(request):
            raise CheckFailed("a request whose fields are not of their kinds")
        if not self.context.names(request):
            raise CheckFailed(
                f"a request for {request.purpose} round {request.round}, attempt {request.attempt}",
                f"this hospital is at {self.context}",
            )

    def _alive(self) -> Secrets:
        if self._secrets is None:
            raise CheckFailed(f"{self.context} is over", "its keys are erased")
        return self._secrets

    @staticmethod
    def _before(value: T | None, stage: str) -> T:
        if value is None:
            raise CheckFailed(f"a request to {stage} before its turn")
        return value

    @staticmethod
    def _again(stored: tuple[bytes, T], asked: bytes, stage: str) -> T:
        if stored[0] != asked:
            raise CheckFailed(f"a second and different request to {stage}", "one is answered")
        return stored[1]
