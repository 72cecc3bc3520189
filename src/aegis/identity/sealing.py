"""Sealing keys: what is encrypted to one party, so that no courier on the way can read it.

HPKE (RFC 9180, base mode, single shot) with HKDF-SHA256 and ChaCha20-Poly1305. The key is X25519,
or the hybrid of ML-KEM-768 and X25519, which stays closed should one of the two be broken later.
What must belong to the secret without being secret goes into ``info``, as section 8.1 of the RFC
advises for single messages: with any other ``info`` the ciphertext does not open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from aegis.errors import CheckFailed, DataError

X25519, HYBRID = "x25519", "mlkem768x25519"
_LENGTHS = {X25519: 32, HYBRID: 1184 + 32}
_SUITES = {
    X25519: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305),
    HYBRID: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305),
}
_ANY = bytes([9]) + bytes(31)  # the base point, to try a received key with

_Public: TypeAlias = X25519PublicKey | hpke.MLKEM768X25519PublicKey
_Private: TypeAlias = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


@dataclass(frozen=True)
class SealingPublic:
    """``raw`` is 32 bytes (``x25519``) or the 1184 of ML-KEM-768 followed by those 32."""

    kind: str
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _LENGTHS.get(self.kind):
            raise DataError(
                f"a sealing key of kind {self.kind!r} with {len(self.raw)} bytes",
                f"known are {', '.join(f'{kind} of {n}' for kind, n in _LENGTHS.items())}",
            )
        try:  # a point of small order gives everybody the same secret
            X25519PrivateKey.from_private_bytes(_ANY).exchange(self._curve)
            self._key  # noqa: B018
        except ValueError as error:
            raise DataError(
                f"these bytes are no {self.kind} key", "ask for the key again"
            ) from error

    @classmethod
    def from_text(cls, text: str) -> SealingPublic:
        kind, _, digits = text.partition(":")
        try:
            return cls(kind, bytes.fromhex(digits))
        except ValueError as error:
            raise DataError("a sealing key is not written in hexadecimal digits") from error

    @property
    def text(self) -> str:
        return f"{self.kind}:{self.raw.hex()}"

    @property
    def _curve(self) -> X25519PublicKey:
        return X25519PublicKey.from_public_bytes(self.raw[-32:])

    @cached_property
    def _key(self) -> _Public:
        if self.kind == X25519:
            return self._curve
        lattice = MLKEM768PublicKey.from_public_bytes(self.raw[:-32])
        return hpke.MLKEM768X25519PublicKey(lattice, self._curve)

    def encrypt(self, info: bytes, plaintext: bytes) -> bytes:
        """The encapsulated key followed by the ciphertext and its tag."""
        return _SUITES[self.kind].encrypt(plaintext, self._key, info=info)


@dataclass(frozen=True)
class SealingKey:
    """Sensitive: opens what was sealed to its owner; never logged."""

    curve: X25519PrivateKey
    lattice: MLKEM768PrivateKey | None = None

    @classmethod
    def generate(cls, hybrid: bool = False) -> SealingKey:
        return cls(X25519PrivateKey.generate(), MLKEM768PrivateKey.generate() if hybrid else None)

    @property
    def kind(self) -> str:
        return X25519 if self.lattice is None else HYBRID

    @cached_property
    def public(self) -> SealingPublic:
        raw = self.curve.public_key().public_bytes_raw()
        if self.lattice is not None:
            raw = self.lattice.public_key().public_bytes_raw() + raw
        return SealingPublic(self.kind, raw)

    @cached_property
    def _key(self) -> _Private:
        if self.lattice is None:
            return self.curve
        return hpke.MLKEM768X25519PrivateKey(self.lattice, self.curve)

    def decrypt(self, info: bytes, sealed: bytes | memoryview) -> bytes:
        """Raises ``CheckFailed`` where it was sealed to another key, for another ``info``, or was
        changed on the way; which of them cannot be told apart."""
        try:
            return _SUITES[self.kind].decrypt(sealed, self._key, info=info)
        except (InvalidTag, ValueError) as error:
            raise CheckFailed(
                "what is sealed does not open",
                "it was sealed to another key, or was changed on the way",
            ) from error

    def __repr__(self) -> str:
        return f"SealingKey({self.kind})"
