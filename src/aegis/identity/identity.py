"""An identity: the name of a hospital or coordinator, the key it signs with, the key to seal to.

Both public keys are shown to people as one fingerprint, so that one reading compares both. An
identity changes its keys by a rotation: the new keys, signed by the old signing key (the same party
wants it) and by the new one (it holds what it announces). Who follows the rotations from a key that
was once compared still knows whom he talks to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aegis.errors import BadInput, CheckFailed, DataError
from aegis.identity.keys import PublicKey, SigningKey
from aegis.identity.sealing import SealingKey, SealingPublic

ROTATION = "aegis/rotation/v1"
KEY_CHANGE = "aegis/key-change/v1"  # the old key signs the new one's 32 bytes, for the audit log
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


# The points of small order on the curve of Ed25519, without the bit of the sign. Under them one
# signature holds for many messages, so that whoever has such a key can deny what he signed.
_SMALL = frozenset(
    bytes.fromhex(digits)
    for digits in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def _small(key: PublicKey) -> bool:
    return key.raw[:31] + bytes([key.raw[31] & 0x7F]) in _SMALL


def grouped(digest: bytes) -> str:
    """The first 128 bits in groups of four hexadecimal digits, to be read aloud."""
    digits = digest.hex()[:32]
    return " ".join(digits[at : at + 4] for at in range(0, 32, 4))


def canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def checked_name(name: str) -> str:
    """A name that is also the name of a key file. Raises ``BadInput``."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be the name of an identity",
            "it begins with a letter or digit and has at most 63 letters, digits, _ . or -",
        )
    return name


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    name: str
    signing: PublicKey
    sealing: SealingPublic

    @property
    def fingerprint(self) -> str:
        """Of both keys and the name together; what two people read to each other."""
        return grouped(hashlib.sha256(b"aegis/identity/v1" + canonical(self.as_json())).digest())

    @property
    def log_key(self) -> str:
        """The fingerprint of the signing key alone, under which it stands in audit logs."""
        return self.signing.fingerprint

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "signing": self.signing.hex, "sealing": self.sealing.text}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PublicIdentity:
        """Raises ``DataError`` for anything but the three fields ``as_json`` gives."""
        try:
            name, signing, sealing = (document[key] for key in ("name", "signing", "sealing"))
            if len(document) != 3:
                raise ValueError(f"the fields {sorted(document)}")
            key = PublicKey(bytes.fromhex(signing))
            if _small(key):
                raise ValueError("its signing key fits every signature")
            return cls(checked_name(name), key, SealingPublic.from_text(sealing))
        except (KeyError, TypeError, ValueError, AttributeError, BadInput, CheckFailed) as error:
            raise DataError(f"this is no public identity ({error})", "ask for it again") from error


@dataclass(frozen=True, slots=True)
class Rotation:
    """``time`` is UTC seconds. ``by_old`` and ``by_new`` cover the old and the new identity and the
    time; ``handover`` is the old key's signature on the new one alone, as the audit log has it."""

    old: PublicIdentity
    new: PublicIdentity
    time: int
    by_old: bytes
    by_new: bytes
    handover: bytes

    @staticmethod
    def statement(old: PublicIdentity, new: PublicIdentity, time: int) -> bytes:
        return canonical({"old": old.as_json(), "new": new.as_json(), "time": time})

    def verify(self) -> None:
        """Raises ``CheckFailed`` unless both keys signed and the name stayed."""
        if self.old.name != self.new.name or self.old.signing == self.new.signing:
            raise CheckFailed(
                f"a rotation from {self.old.name} to {self.new.name}", "a new key for the same name"
            )
        statement = self.statement(self.old, self.new, self.time)
        old, new = self.old.signing, self.new.signing
        for key, domain, data, signature, which in (
            (old, ROTATION, statement, self.by_old, "old"),
            (new, ROTATION, statement, self.by_new, "new"),
            (old, KEY_CHANGE, new.raw, self.handover, "old"),
        ):
            if not key.verifies(domain, data, signature):
                raise CheckFailed(
                    f"the rotation of {self.old.name} is not signed by its {which} key",
                    way_out="Ask the hospital, by telephone, whether it changed its keys",
                )

    def as_json(self) -> dict[str, Any]:
        return {
            "old": self.old.as_json(),
            "new": self.new.as_json(),
            "time": self.time,
            "by_old": self.by_old.hex(),
            "by_new": self.by_new.hex(),
            "handover": self.handover.hex(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Rotation:
        try:
            return cls(
                PublicIdentity.from_json(document["old"]),
                PublicIdentity.from_json(document["new"]),
                int(document["time"]),
                bytes.fromhex(document["by_old"]),
                bytes.fromhex(document["by_new"]),
                bytes.fromhex(document["handover"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"this is no rotation ({error})", "ask for it again") from error


@dataclass(frozen=True, slots=True)
class Identity:
    """Sensitive: whoever holds this speaks as ``name`` and reads what is sealed to it."""

    name: str
    signing: SigningKey
    sealing: SealingKey
    rotations: tuple[Rotation, ...] = ()

    @classmethod
    def generate(cls, name: str, hybrid: bool = False) -> Identity:
        return cls(checked_name(name), SigningKey.generate(), SealingKey.generate(hybrid))

    @property
    def public(self) -> PublicIdentity:
        return PublicIdentity(self.name, self.signing.public, self.sealing.public)

    def rotated(self, time: int, hybrid: bool | None = None) -> Identity:
        """The same party with new keys; its last rotation is the proof. The kind of the sealing key
        stays unless ``hybrid`` says otherwise."""
        stays = self.sealing.lattice is not None
        fresh = Identity.generate(self.name, stays if hybrid is None else hybrid)
        statement = Rotation.statement(self.public, fresh.public, time)
        rotation = Rotation(
            self.public,
            fresh.public,
            time,
            self.signing.sign(ROTATION, statement),
            fresh.signing.sign(ROTATION, statement),
            self.signing.sign(KEY_CHANGE, fresh.public.signing.raw),
        )
        return Identity(self.name, fresh.signing, fresh.sealing, (*self.rotations, rotation))

    def __repr__(self) -> str:
        return f"Identity({self.name}, {self.public.fingerprint})"


def followed(known: PublicIdentity, rotations: Sequence[Rotation]) -> PublicIdentity:
    """Whom ``known`` has become. Raises ``CheckFailed`` where the chain is broken or does not begin
    at ``known``; an empty chain changes nothing."""
    for rotation in rotations:
        if rotation.old != known:
            raise CheckFailed(
                f"the rotations of {known.name} do not begin at the key that is known",
                f"its fingerprint is {known.fingerprint}",
            )
        rotation.verify()
        known = rotation.new
    return known
