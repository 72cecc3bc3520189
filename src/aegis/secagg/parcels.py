"""What a hospital hands each peer through the coordinator, who cannot read it.

A parcel holds the peer's shares of both secrets and a part of the group's checksum key, encrypted
with ChaCha20-Poly1305 (RFC 8439) under a key that only this pair has, for this direction and this
sum. The key encrypts once, so the nonce is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from aegis.errors import CheckFailed
from aegis.secagg.context import Context
from aegis.secagg.masks import KEY_BYTES, derived, private_key
from aegis.secagg.shamir import SHARE_BYTES, element

PARCEL_BYTES = 2 * SHARE_BYTES + KEY_BYTES + 16
_NONCE = bytes(12)


@dataclass(frozen=True, slots=True, repr=False)
class Parcel:
    """Sensitive: never logged. ``contribution`` is zero where the peer is in another group."""

    seed_share: bytes
    key_share: bytes
    contribution: bytes


class Secrets:
    """Sensitive: one attempt's private values; never logged, erased with the last answer."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self.encryption, mask = private_key(entropy(KEY_BYTES)), entropy(KEY_BYTES)
        self.mask, self.mask_raw = private_key(mask), mask
        self.seed, self.contribution = entropy(KEY_BYTES), entropy(KEY_BYTES)
        self.agreed: dict[str, bytes] = {}
        self.parcels: dict[str, Parcel] = {}

    def __repr__(self) -> str:
        return "Secrets(...)"


def sealed(parcel: Parcel, context: Context, secret: bytes, sender: str, recipient: str) -> bytes:
    """``secret`` is what both agreed on."""
    cipher, about = _cipher(context, secret, sender, recipient)
    return cipher.encrypt(_NONCE, parcel.seed_share + parcel.key_share + parcel.contribution, about)


def opened(data: bytes, context: Context, secret: bytes, sender: str, recipient: str) -> Parcel:
    """Raises ``CheckFailed``, naming the sender."""
    cipher, about = _cipher(context, secret, sender, recipient)
    try:
        plain = cipher.decrypt(_NONCE, data, about)
    except InvalidTag as error:
        raise CheckFailed(f"the shares that came as {sender}'s are not for {recipient}") from error
    parcel = Parcel(
        plain[:SHARE_BYTES], plain[SHARE_BYTES : 2 * SHARE_BYTES], plain[2 * SHARE_BYTES :]
    )
    if len(parcel.contribution) != KEY_BYTES:
        raise CheckFailed(f"the shares of {sender} have {len(plain)} bytes")
    element(parcel.seed_share)
    element(parcel.key_share)
    return parcel


def _cipher(
    context: Context, secret: bytes, sender: str, recipient: str
) -> tuple[ChaCha20Poly1305, bytes]:
    key = derived(secret, context.bound("share", sender, recipient))
    return ChaCha20Poly1305(key), context.bound(sender, recipient)
