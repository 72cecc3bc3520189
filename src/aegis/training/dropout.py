"""Which units a training step drops: drawn by counter, so every engine drops the same ones.

A hospital has one key per round; (step, layer, row of the batch, unit) is the counter. A short
batch sees the first rows of what a full one would see.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from aegis.training.trainer import scrambled


def dropout_key(seed: int, round: int, hospital: str) -> np.uint64:
    """64 bits that name all masks of one hospital in one round."""
    text = f"aegis/dropout/v1|{seed}|{round}|{hospital}"
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def kept(
    keys: NDArray[np.uint64], step: int, layer: int, rows: int, units: int, rate: float
) -> NDArray[np.bool_]:
    """(len(keys), rows, units): True with probability 1 - rate; ``step`` counts from 0."""
    first = (step * 64 + layer + 1) << 32
    pairs = np.arange(-(-rows * units // 2), dtype=np.uint64) + np.uint64(first)
    halves = scrambled(keys[:, None], pairs).astype("<u8", copy=False).view("<u4")
    drawn = halves[:, : rows * units].reshape(len(keys), rows, units)
    found: NDArray[np.bool_] = drawn >= np.uint32(min(rate * 2**32, 2**32 - 1))
    return found
