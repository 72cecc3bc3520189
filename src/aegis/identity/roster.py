"""The roster: which hospitals belong to a federation, each with its public signing key.

A roster is pinned before a run and its digest is part of what every hospital signs, so that a
coordinator which shows two hospitals two different rosters is found out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from aegis.errors import BadInput
from aegis.identity.keys import PublicKey

DOMAIN = b"aegis/roster/v1"


@dataclass(frozen=True, slots=True)
class Roster:
    """``members`` are (name, raw Ed25519 public key of 32 bytes); they are kept sorted by name, and
    neither a name nor a key may stand twice."""

    members: tuple[tuple[str, bytes], ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted((name, PublicKey(bytes(key)).raw) for name, key in self.members))
        object.__setattr__(self, "members", ordered)
        for what, values in (("name", [n for n, _ in ordered]), ("key", [k for _, k in ordered])):
            if len(set(values)) != len(values):
                raise BadInput(f"a {what} stands twice in the roster", "each hospital has its own")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.members)

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256(DOMAIN)
        for name, key in self.members:
            text = name.encode()
            digest.update(len(text).to_bytes(2, "big") + text + key)
        return digest.hexdigest()

    def key(self, name: str) -> PublicKey:
        for member, raw in self.members:
            if member == name:
                return PublicKey(raw)
        raise BadInput(f"{name} is not in the roster", f"it names {', '.join(self.names)}")
