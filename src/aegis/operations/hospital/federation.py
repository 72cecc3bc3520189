"""What a hospital took home when it joined: whom it trusts, and how to reach the coordinator.

federation/
├── federation.json   its name, its authority's key, the road (mode 0600: it may hold a password)
├── members.json      the signed list of members, replaced by later ones that follow from it
├── root.pem          the federation's root certificate
└── own.tls           this hospital's certificate for TLS, with its key
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, BadInput, CheckFailed, DataError
from aegis.identity.identity import PublicIdentity
from aegis.identity.keyfile import read_private, write_private
from aegis.identity.keys import PublicKey
from aegis.identity.membership import Membership, MembershipFile
from aegis.store.home import write_whole
from aegis.transport.carrier import Trust


@dataclass(frozen=True)
class LivingRoster:
    """The hospitals that count now, by the list of members as it stands."""

    file: MembershipFile

    @property
    def members(self) -> tuple[tuple[str, bytes], ...]:
        return self.file.membership.roster.members


@dataclass(frozen=True)
class Federation:
    """``road`` is what the courier gave this hospital for its ``Line``."""

    folder: Path
    name: str
    authority: PublicKey
    road: Mapping[str, str]
    address: str

    @classmethod
    def load(cls, folder: Path) -> Federation:
        """Raises ``BadInput`` where this hospital has not joined."""
        path = folder / "federation.json"
        if not path.exists():
            raise BadInput(
                f"{folder.parent.name} has not joined a federation",
                way_out="Ask the coordinator for a join code, then: aegis hospital join CODE",
            )
        try:
            said: dict[str, Any] = json.loads(read_private(path))
            key = PublicKey(bytes.fromhex(said["authority"]))
            return cls(folder, said["name"], key, said["road"], said["address"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error})", "Join again") from error

    def save(self, root: bytes, members: bytes, own: bytes) -> None:
        """``root`` and ``own`` as PEM."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        members = self._latest(members)
        write_whole(self.folder / "root.pem", root)
        write_whole(self.folder / "members.json", members)
        write_private(self.folder / "own.tls", own, replace=True)
        document = {
            "name": self.name,
            "authority": self.authority.hex,
            "road": dict(self.road),
            "address": self.address,
        }
        text = json.dumps(document, indent=1).encode()
        write_private(self.folder / "federation.json", text, replace=True)

    def _latest(self, members: bytes) -> bytes:
        """The list to keep: joining again must not be a way around ``update``."""
        later = Membership.read(members, self.authority)
        path = self.folder / "members.json"
        if not path.exists():
            return members
        try:
            known = self.file.membership
        except AegisError:  # another authority's, or damaged: nothing to follow from
            return members
        if later.number < known.number:
            known.check_follows(later)
            return path.read_bytes()
        later.check_follows(known)
        return members

    @property
    def file(self) -> MembershipFile:
        return MembershipFile(self.folder / "members.json", self.authority)

    @property
    def roster(self) -> LivingRoster:
        return LivingRoster(self.file)

    @property
    def coordinator(self) -> PublicIdentity:
        for member in self.file.membership.members:
            if member.role == "coordinator" and not member.revoked:
                return member.identity
        raise CheckFailed(f"{self.name} has no coordinator", way_out="Join again")

    @property
    def trust(self) -> Trust:
        return Trust(self.folder / "root.pem", self.folder / "own.tls")

    def update(self, members: str) -> None:
        """A later list, which must follow from the one that is known. Raises ``CheckFailed``."""
        known = self.file.membership
        later = Membership.read(members.encode(), self.authority)
        if later.number <= known.number:
            return  # an older list that was on its way
        later.check_follows(known)
        write_whole(self.folder / "members.json", members.encode())
