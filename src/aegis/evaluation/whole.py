"""Noisy counts as something that can be shown: none below nought, adding up to their rows.

Hospitals release noisy counts signed, as they were drawn. Cut off at nought one by one, those of
small hospitals would pull every sum towards even odds: of eight hospitals of 40 rows an accuracy of
85 % would be told as 65 %. So counts are added first, and only the sum is made whole, or one
hospital's own where it is shown by itself. What was right and what was wrong comes first, and then
what the two consist of: accuracy is moved only where it lay outside of 0 to 1.

Noisy counts lie in the two bins beside one half. A sum with some of them is told in these two bins
altogether, so that every figure of it, ranks included, is of all its rows by one rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.evaluation.histogram import BINS, HALF

Counts = NDArray[np.int64]
TN, FP, FN, TP = range(4)
MOST_PER_ROW = 100  # patients of noise for each row that was tested: more leaves nothing to tell


def together(counts: Sequence[Counts], noisy: bool) -> Counts:
    """The sum of hospitals' histograms or tableaus; ``noisy``: noise is in some of them."""
    total: Counts = np.add.reduce(list(counts))
    return whole(total) if noisy else total


def whole(counts: Counts) -> Counts:
    """The nearest counts that can be of patients, of a histogram or tableau with noise in it."""
    from aegis.evaluation.classes import from_judged, is_tableau, judged

    if is_tableau(counts):
        return from_judged(_whole_classes(judged(counts)))
    found = kinds(counts)
    return from_kinds(whole_kinds(found, np.maximum(found.sum(), 0)))


def kinds(histograms: NDArray[Any]) -> NDArray[Any]:
    """(..., 4) well and called well, well and called ill, ill and called well, ill and called ill,
    of histograms (..., 2, bins)."""
    below, above = histograms[..., :HALF].sum(-1), histograms[..., HALF:].sum(-1)
    return np.stack([below, above], axis=-1).reshape(*histograms.shape[:-2], 4)


def from_kinds(found: Counts) -> Counts:
    """The histogram (2, 1000) of four counts, as noisy scores leave."""
    histogram = np.zeros((2, BINS), dtype=np.int64)
    histogram[:, HALF - 1 : HALF + 1] = found.reshape(2, 2)
    return histogram


def whole_kinds(found: NDArray[Any], rows: NDArray[Any] | int) -> NDArray[Any]:
    """(..., 4) counts of at least nought that add up to ``rows`` (...), of signed ones."""
    right, wrong = _parted(found[..., TN] + found[..., TP], found[..., FP] + found[..., FN], rows)
    tn, tp = _parted(found[..., TN], found[..., TP], right)
    fp, fn = _parted(found[..., FP], found[..., FN], wrong)
    return np.stack([tn, fp, fn, tp], axis=-1)


def adding_up(values: NDArray[Any], total: int) -> Counts:
    """The nearest whole numbers of at least nought that add up to ``total``: the projection onto
    the simplex (Held, Wolfe and Crowder 1974), then largest remainders."""
    down = np.sort(values)[::-1]
    excess = (np.cumsum(down) - total) / np.arange(1, len(down) + 1)
    kept = int(np.flatnonzero(down - excess >= 0).max(initial=0))
    return rounded(np.maximum(values - excess[kept], 0), total)


def rounded(values: NDArray[Any], total: int) -> Counts:
    """Whole numbers that add up to ``total``, as ``values`` nearly do (largest remainders)."""
    down = np.floor(values + 1e-9).astype(np.int64)
    down[np.argsort(down - values, kind="stable")[: total - int(down.sum())]] += 1
    return np.asarray(down)


def _whole_classes(cells: Counts) -> Counts:
    """(K, 3) of at least nought. The totals carry the least noise: what all classes come to is
    brought to them, so that no patients are made out of empty classes."""
    right, within, further = cells.sum(axis=0)
    rows = np.maximum(right + within + further, 0)
    right, rest = _parted(right, within + further, rows)
    totals = (right, *_parted(within, further, rest))
    return np.stack([adding_up(cells[:, at], int(n)) for at, n in enumerate(totals)], axis=1)


def _parted(one: Any, other: Any, total: Any) -> tuple[Any, Any]:
    """The nearest two numbers of at least nought that add up to ``total``."""
    excess = one + other - total
    half = excess // 2 if np.issubdtype(np.asarray(excess).dtype, np.integer) else excess / 2
    first = np.clip(one - half, 0, total)
    return first, total - first
