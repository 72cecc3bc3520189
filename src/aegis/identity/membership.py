"""Who belongs to a federation: one numbered document, signed by the federation's authority.

The authority decides who is in, but it cannot exchange anybody's keys unseen. Whoever knows one
version accepts a later one only if every key that changed was rotated by its owner, or was revoked
for everybody to read; revocations and rotations are never taken out again. A member who is revoked
stays in the document, so that what he still sends is recognised, refused and laid at his door.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from aegis.errors import AegisError, BadInput, CheckFailed, DataError
from aegis.identity.identity import PublicIdentity, Rotation, canonical, followed
from aegis.identity.keyfile import write_private
from aegis.identity.keys import PublicKey, SigningKey
from aegis.identity.roster import Roster

DOMAIN = "aegis/membership/v1"
LARGEST = 2**22
Role: TypeAlias = Literal["hospital", "coordinator"]
ROLES: tuple[Role, ...] = ("hospital", "coordinator")


@dataclass(frozen=True, slots=True)
class Standing:
    """A member and his role; ``revoked`` is why he no longer counts, empty where he does."""

    identity: PublicIdentity
    role: Role
    revoked: str = ""
    time: int = 0


@dataclass(frozen=True)
class Membership:
    """``members`` by name, the revoked among them; ``past`` are revoked keys of names that have
    enrolled again; ``rotations`` in the order in which they were accepted."""

    federation: str
    number: int = 0
    members: tuple[Standing, ...] = ()
    past: tuple[Standing, ...] = ()
    rotations: tuple[Rotation, ...] = ()

    def __post_init__(self) -> None:
        names = [member.identity.name for member in self.members]
        keys = [one.identity.signing.raw for one in (*self.members, *self.past)]
        keys += [rotation.old.signing.raw for rotation in self.rotations]
        seals = [member.identity.sealing.raw for member in self.members]
        for what, found in (("name", names), ("signing key", keys), ("sealing key", seals)):
            if len(set(found)) != len(found):
                raise CheckFailed(f"a {what} stands twice in {self.federation}", "each has his own")
        for rotation in self.rotations:
            rotation.verify()

    def standing(self, name: str) -> Standing | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Standing]:
        return {member.identity.name: member for member in self.members}

    @property
    def roster(self) -> Roster:
        """The hospitals that count, for a run to pin."""
        return Roster(
            tuple(
                (member.identity.name, member.identity.signing.raw)
                for member in self.members
                if member.role == "hospital" and not member.revoked
            )
        )

    def admitted(self, identity: PublicIdentity, role: Role = "hospital") -> Membership:
        """With a new member, or with new keys for one who was revoked. ``BadInput`` where somebody
        has the name."""
        before = self.standing(identity.name)
        if before is not None and not before.revoked:
            how = "already" if before.identity == identity else "with other keys"
            raise BadInput(
                f"{identity.name} is a member {how}",
                f"the fingerprint known is {before.identity.fingerprint}",
                "For new keys: aegis keys rotate; for lost ones: aegis keys revoke, then admit",
            )
        past = self.past if before is None else (*self.past, before)
        return self._with(Standing(identity, role), past=past)

    def rotated(self, *rotations: Rotation) -> Membership:
        """With the new keys of one member. ``CheckFailed`` where the old key did not sign; what is
        known already is passed over."""
        new = [one for one in rotations if one not in self.rotations]
        if not new:
            return self
        before = self.standing(new[0].old.name)
        if before is None or before.revoked:
            raise CheckFailed(
                f"{new[0].old.name} cannot change its keys",
                "it is not a member" if before is None else f"they were revoked: {before.revoked}",
                "It can enrol again",
            )
        after = followed(before.identity, new)
        member = Standing(after, before.role)
        return self._with(member, rotations=(*self.rotations, *new))

    def revoked_member(self, name: str, reason: str, time: int) -> Membership:
        """With this member's keys refused from now on. ``BadInput`` for a name that is unknown."""
        before = self.standing(name)
        if before is None:
            known = ", ".join(self._by_name) or "nobody"
            raise BadInput(f"{name} is not a member of {self.federation}", f"there are: {known}")
        if before.revoked:
            return self
        return self._with(replace(before, revoked=reason.strip() or "no reason given", time=time))

    def _with(
        self,
        member: Standing,
        past: tuple[Standing, ...] | None = None,
        rotations: tuple[Rotation, ...] | None = None,
    ) -> Membership:
        by_name = {**self._by_name, member.identity.name: member}
        return Membership(
            self.federation,
            self.number + 1,
            tuple(by_name[name] for name in sorted(by_name)),
            self.past if past is None else past,
            self.rotations if rotations is None else rotations,
        )

    def check_follows(self, before: Membership) -> None:
        """Raises ``CheckFailed`` unless this is ``before`` or a later version that took nothing
        back and exchanged no key unseen."""
        if self == before:
            return
        if self.federation != before.federation or self.number <= before.number:
            raise CheckFailed(
                f"version {self.number} of the members of {self.federation}",
                f"version {before.number} of {before.federation} was seen before",
                "Ask the federation's authority: it may be showing different lists",
            )
        if self.rotations[: len(before.rotations)] != before.rotations:
            raise CheckFailed("a rotation of keys was taken out of the list of members")
        fresh = self.rotations[len(before.rotations) :]
        refused = {one.identity for one in self._refused}
        if not {one.identity for one in before._refused} <= refused:
            raise CheckFailed("a revocation was taken out of the list of members")
        for member in before.members:
            was = member.identity
            now = self.standing(was.name)
            if now is None:
                raise CheckFailed(f"{was.name} vanished from the list of members", "revoke it")
            mine = [rotation for rotation in fresh if rotation.old.name == was.name]
            reached = _reached(was, mine)
            if not (reached & refused or now.identity in reached):
                raise CheckFailed(
                    f"the keys of {was.name} were exchanged",
                    "neither it nor a revocation says so",
                    f"Ask {was.name}; its fingerprint was {was.fingerprint}",
                )

    @property
    def _refused(self) -> tuple[Standing, ...]:
        return (*self.past, *(member for member in self.members if member.revoked))

    def as_json(self) -> dict[str, Any]:
        return {
            "federation": self.federation,
            "number": self.number,
            "members": [_standing_json(member) for member in self.members],
            "past": [_standing_json(one) for one in self.past],
            "rotations": [rotation.as_json() for rotation in self.rotations],
        }

    @property
    def sha256(self) -> str:
        return hashlib.sha256(canonical(self.as_json())).hexdigest()

    def signed(self, authority: SigningKey) -> bytes:
        statement = canonical(self.as_json())
        document = {
            "membership": self.as_json(),
            "authority": authority.public.hex,
            "signature": authority.sign(DOMAIN, statement).hex(),
        }
        return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def read(
        cls, data: bytes, authority: PublicKey, before: Membership | None = None
    ) -> Membership:
        """Raises ``DataError`` for what is no such document, ``CheckFailed`` where the signature or
        the step from ``before`` does not hold."""
        if len(data) > LARGEST:
            raise DataError(f"a list of members of {len(data)} bytes", f"at most {LARGEST}")
        try:
            document = json.loads(data)
            body, signature = document["membership"], bytes.fromhex(document["signature"])
            found = cls(
                str(body["federation"]),
                int(body["number"]),
                tuple(_standing(one) for one in body["members"]),
                tuple(_standing(one) for one in body["past"]),
                tuple(Rotation.from_json(one) for one in body["rotations"]),
            )
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise DataError(f"this is no list of members ({error})", "fetch it again") from error
        if not authority.verifies(DOMAIN, canonical(found.as_json()), signature):
            raise CheckFailed(
                f"the list of members of {found.federation} is not signed by its authority",
                f"whose fingerprint is {authority.fingerprint}",
            )
        if before is not None:
            found.check_follows(before)
        return found


class MembershipFile:
    """The document on disk, looked at again before each message: a revocation counts at once.

    ``CheckFailed`` where the file is gone, damaged, or older than what it held: then nobody is
    believed.
    """

    def __init__(self, path: Path, authority: PublicKey) -> None:
        self.path, self._authority = path, authority
        self._stamp: tuple[int, ...] | None = None
        self._held: Membership | None = None

    @property
    def membership(self) -> Membership:
        try:
            there = self.path.stat()
            stamp = (there.st_mtime_ns, there.st_size, there.st_ino)
            if self._held is None or stamp != self._stamp:
                data = self.path.read_bytes()
                self._held = Membership.read(data, self._authority, self._held)
                self._stamp = stamp
        except (OSError, AegisError) as error:
            raise CheckFailed(
                f"the list of members {self.path} cannot be trusted ({error})",
                way_out="Restore it; until then nobody is believed",
            ) from error
        return self._held

    def standing(self, name: str) -> Standing | None:
        return self.membership.standing(name)

    def write(self, membership: Membership, authority: SigningKey) -> None:
        write_private(self.path, membership.signed(authority), replace=True)
        self.path.chmod(0o644)


def _reached(known: PublicIdentity, rotations: list[Rotation]) -> set[PublicIdentity]:
    """Every identity that ``known`` has had since, itself included."""
    reached = {known}
    for rotation in rotations:
        if rotation.old in reached:
            reached.add(rotation.new)
    return reached


def _standing_json(standing: Standing) -> dict[str, Any]:
    return {
        **standing.identity.as_json(),
        "role": standing.role,
        "revoked": standing.revoked,
        "time": standing.time,
    }


def _standing(document: Mapping[str, Any]) -> Standing:
    rest = dict(document)
    role, revoked, time = rest.pop("role"), rest.pop("revoked"), rest.pop("time")
    if role not in ROLES or not isinstance(revoked, str) or type(time) is not int:
        raise ValueError(f"a member with the role {role!r:.40}")
    return Standing(PublicIdentity.from_json(rest), role, revoked, time)
