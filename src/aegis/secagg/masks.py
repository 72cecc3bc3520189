"""Keys and masks: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), AES-256 in counter mode (SP 800-38A).

Two hospitals agree on a 256-bit key bound to the context; its AES-256-CTR keystream, read as
little-endian integers of the ring, is their mask. Masks are made and added block by block while the
block is in the cache, all masks of a block before the next, without a buffer per mask or chunk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aegis.errors import CheckFailed
from aegis.messages.stages import Ring
from aegis.secagg.context import Context

KEY_BYTES = 32
BLOCK_BYTES = 1 << 17


def private_key(raw: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(raw)


def public_key(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def agreed(private: X25519PrivateKey, public: bytes) -> bytes:
    """The secret of two hospitals, only to derive keys from."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise CheckFailed(
            "a public key that no honest hospital makes", "X25519, RFC 7748"
        ) from error


def weak(public: bytes) -> bool:
    """Whether all agree on the same with this key, and anybody can."""
    try:
        agreed(private_key(bytes(31) + b"\x40"), public)
    except CheckFailed:
        return True
    return False


def derived(secret: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)


def pairwise_key(
    context: Context, private: X25519PrivateKey, public: bytes, a: str, b: str
) -> bytes:
    """The key of the mask between two hospitals: the same from both sides."""
    return derived(agreed(private, public), context.bound("mask", min(a, b), max(a, b)))


def self_key(context: Context, name: str, seed: bytes) -> bytes:
    return derived(seed, context.bound("self", name))


def add_masks(vector: Ring, added: Sequence[bytes], subtracted: Sequence[bytes] = ()) -> None:
    """Adds to ``vector``, in place, the keystreams of some keys and takes away those of others."""
    if not vector.flags.c_contiguous or vector.dtype.byteorder == ">":
        raise CheckFailed("a vector that is not one little-endian piece of memory")
    plus = [_stream(key) for key in added]
    minus = [_stream(key) for key in subtracted]
    room = np.zeros(BLOCK_BYTES + 15, np.uint8)
    buffer, mask = room.data, room[:BLOCK_BYTES].view(vector.dtype)
    zeros = memoryview(bytes(BLOCK_BYTES))
    length = BLOCK_BYTES // vector.itemsize
    for start in range(0, vector.size, length):
        block = vector[start : start + length]
        if block.size < length:
            mask, zeros = mask[: block.size], zeros[: block.nbytes]
        for stream in plus:
            stream.update_into(zeros, buffer)
            np.add(block, mask, out=block)
        for stream in minus:
            stream.update_into(zeros, buffer)
            np.subtract(block, mask, out=block)


def keystream(key: bytes, size: int) -> np.ndarray:
    """The first ``size`` unsigned 64-bit numbers of a key's stream."""
    room = np.zeros(8 * size + 15, np.uint8)
    _stream(key).update_into(bytes(8 * size), room.data)
    return room[: 8 * size].view("<u8")


def _stream(key: bytes):  # type: ignore[no-untyped-def]  # its class is private
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
