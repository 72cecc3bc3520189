"""A secret linear checksum: hospitals see whether the sum that was opened is the true one.

The hospitals of a group share a key that the coordinator does not know. Each adds to its vector x
the tag s + r . x modulo p = 2^61 - 1, with r from the key and s from the key and its own name, in
limbs so small that no sum of tags wraps around. The opened tags then belong to the opened sum X:
a coordinator that alters X has to guess r . (X' - X), and succeeds with probability 1 / p
(Carter and Wegman, 1981; each tag alone is uniform, so the opened tags tell nothing about r or x).
It holds unless a hospital of the group gives the coordinator the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from aegis.errors import CheckFailed
from aegis.messages.stages import Ring
from aegis.secagg.context import Context
from aegis.secagg.masks import derived, keystream

P = 2**61 - 1
LIMBS = {64: (32, 32), 32: (21, 21, 21)}  # bits of each limb, by ring; 2048 tags never overflow
_BLOCK = 1 << 16  # so that a block's sums of products stay below 2^53
_LOW = np.uint64(2**21 - 1)


def tag_slots(ring_bits: int) -> int:
    return len(LIMBS[ring_bits])


def group_key(context: Context, contributions: Mapping[str, bytes]) -> bytes:
    """The key of a group, to which every member gave a part."""
    parts = [part for name in sorted(contributions) for part in (name, contributions[name])]
    return derived(context.bound(*parts), context.bound("checksum"))


def tag(key: bytes, context: Context, name: str, vector: Ring) -> list[int]:
    """The limbs that ``name`` appends to its vector."""
    total = (_offset(key, context, name) + _product(key, vector)) % P
    found = []
    for bits in LIMBS[8 * vector.itemsize]:
        found.append(total & ((1 << bits) - 1))
        total >>= bits
    return found


def check(
    key: bytes, context: Context, names: Iterable[str], total: Ring, limbs: Iterable[int]
) -> None:
    """Raises ``CheckFailed`` where the opened sum of the vectors of ``names`` is not theirs. Two
    sums that differ by a multiple of p look the same: the caller bounds them below 2^60."""
    stated, shift = 0, 0
    for limb, bits in zip(limbs, LIMBS[8 * total.itemsize], strict=True):
        stated += int(limb) << shift
        shift += bits
    offsets = sum(_offset(key, context, name) for name in names)
    if (offsets + _product(key, total) - stated) % P:
        raise CheckFailed(
            "the opened sum is not the sum of what the hospitals handed in",
            "its secret checksum differs",
            "Reject the round, and keep both for the auditor",
        )


def _offset(key: bytes, context: Context, name: str) -> int:
    return int.from_bytes(derived(key, context.bound("offset", name)), "big") % P


def _product(key: bytes, vector: Ring) -> int:
    """r . x modulo p, x signed. Products of 16-bit and 21-bit limbs are summed exactly in float64,
    where they are one small matrix product per block."""
    per = vector.itemsize // 2
    coefficients = keystream_blocks(key, vector.size)
    halves = np.ascontiguousarray(vector).view("<u2").reshape(-1, per)
    top = np.ascontiguousarray(vector).view("<i2").reshape(-1, per)[:, -1]
    left = np.empty((min(_BLOCK, vector.size), per))
    right = np.empty((min(_BLOCK, vector.size), 3))
    total = 0
    for start, r in zip(range(0, vector.size, _BLOCK), coefficients, strict=True):
        count = r.size
        left[:count, :-1] = halves[start : start + count, :-1]
        left[:count, -1] = top[start : start + count]
        right[:count, 0] = r & _LOW
        right[:count, 1] = (r >> np.uint64(21)) & _LOW
        right[:count, 2] = (r >> np.uint64(42)) & np.uint64(2**19 - 1)
        sums = left[:count].T @ right[:count]
        for i in range(per):
            for j in range(3):
                total += int(sums[i, j]) << (16 * i + 21 * j)
    return total % P


def keystream_blocks(key: bytes, size: int) -> Iterable[NDArray[np.uint64]]:
    stream = keystream(derived(key, b"coefficients"), size)
    return (stream[start : start + _BLOCK] for start in range(0, size, _BLOCK))
