"""Ed25519 keys (RFC 8032): what a hospital, the coordinator or a person signs with.

A signature always covers a domain, the name of what is signed, so that bytes signed for one purpose
prove nothing for another. A public key is shown to people as its fingerprint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aegis.errors import CheckFailed


def _framed(domain: str, data: bytes) -> bytes:
    name = domain.encode()
    return len(name).to_bytes(2, "big") + name + data


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``raw`` is the key's 32 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise CheckFailed(f"a public key of {len(self.raw)} bytes", "Ed25519 keys have 32")

    @property
    def hex(self) -> str:
        return self.raw.hex()

    @property
    def fingerprint(self) -> str:
        """The first 128 bits of the key's SHA-256, in groups of four, to be read aloud."""
        digest = hashlib.sha256(self.raw).hexdigest()[:32]
        return " ".join(digest[at : at + 4] for at in range(0, 32, 4))

    def verifies(self, domain: str, data: bytes, signature: bytes) -> bool:
        try:
            key = Ed25519PublicKey.from_public_bytes(self.raw)
            key.verify(signature, _framed(domain, data))
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Sensitive: whoever holds this speaks as its owner; never logged."""

    _private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_raw(cls, raw: bytes) -> SigningKey:
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    @property
    def raw(self) -> bytes:
        return self._private.private_bytes_raw()

    @property
    def public(self) -> PublicKey:
        return PublicKey(self._private.public_key().public_bytes_raw())

    def sign(self, domain: str, data: bytes) -> bytes:
        """64 bytes over ``domain`` and ``data``."""
        return self._private.sign(_framed(domain, data))

    def sign_text(self, text: bytes) -> bytes:
        """64 bytes over a text of another standard, which says itself what it is."""
        return self._private.sign(text)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.fingerprint})"
