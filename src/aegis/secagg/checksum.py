"""A secret linear checksum: hospitals see whether the sum that was opened is the true one.

The hospitals of a group share a key that the coordinator does not know. Each adds to its vector x
the tag s + r . x modulo p = 2^61 - 1, with r from the key and s from the key and its own name, in
limbs so small that no sum of tags wraps around. The opened tags then belong to the opened sum X:
a coordinator that alters X has to guess r . (X' - X), and succeeds with probability 2 / p (Carter
and Wegman, 1981, with r the product of two random vectors; each tag alone is uniform, so the opened
tags tell nothing about r or x).
It holds unless a hospital of the group gives the coordinator the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import mul

import numpy as np
from numpy.typing import NDArray

from aegis.errors import CheckFailed
from aegis.messages.stages import Ring
from aegis.secagg.context import Context
from aegis.secagg.masks import derived, keystream

P = 2**61 - 1
LARGEST_SUM = 2**60  # two sums below it differ by less than P
LIMBS = {64: (32, 32), 32: (21, 21, 21)}  # bits of each limb, by ring; 2048 tags never overflow
_WIDTH, _ROWS = 512, 32  # a block's pieces fit into the cache
_SHIFTS = (0, 21, 42)
_LIMB = np.uint64(2**21 - 1)


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


def bounded(total: Ring) -> None:
    """Raises ``CheckFailed`` where another sum could have the same checksum."""
    signed = total.view(np.int64 if total.itemsize == 8 else np.int32)
    if max(int(signed.max()), -int(signed.min())) >= LARGEST_SUM:
        raise CheckFailed("an opened sum beyond 2^60", "no honest federation reaches it")


def _offset(key: bytes, context: Context, name: str) -> int:
    return int.from_bytes(derived(key, context.bound("offset", name)), "big") % P


def _product(key: bytes, vector: Ring) -> int:
    """r . x modulo p, x signed, r[i W + j] = a[i] b[j]. One exact matrix product in float64: 16-bit
    pieces of x times 21-bit limbs of b, whose sums over a row stay below 2^53."""
    pieces, top = vector.itemsize // 2, 1 << (8 * vector.itemsize - 1)
    width = min(_WIDTH, vector.size)
    rows = -(-vector.size // width)
    drawn = keystream(derived(key, b"coefficients"), width + rows) & np.uint64(P)
    b, a = drawn[:width], drawn[width:]
    turned = np.stack([_turned(b, 16 * piece) for piece in range(pieces)], axis=1).reshape(-1)
    limbs = np.stack([(turned >> np.uint64(at)) & _LIMB for at in _SHIFTS], axis=1).astype(float)
    moved = np.empty((_ROWS, width), vector.dtype)
    wide = np.empty((_ROWS, width * pieces))
    sums = np.empty((rows, len(_SHIFTS)))
    flip = vector.dtype.type(top)
    for row in range(0, rows, _ROWS):
        block = vector[row * width : (row + _ROWS) * width]
        count = -(-block.size // width)
        flat = moved.reshape(-1)
        np.bitwise_xor(block, flip, out=flat[: block.size])  # x + top, which is not negative
        flat[block.size :] = flip
        wide[:count] = moved[:count].view("<u2")
        np.matmul(wide[:count], limbs, out=sums[row : row + count])
    factors, columns = a.tolist(), sums.T.astype(np.int64).tolist()
    total = -top * sum(factors) * sum(b.tolist())
    for column, shift in zip(columns, _SHIFTS, strict=True):
        total += sum(map(mul, factors, column)) << shift
    return int(total) % P


def _turned(numbers: NDArray[np.uint64], by: int) -> NDArray[np.uint64]:
    """Times 2^by modulo p: the 61 bits turned round."""
    if not by:
        return numbers
    return ((numbers << np.uint64(by)) | (numbers >> np.uint64(61 - by))) & np.uint64(P)
