"""How well scores put the ill before the healthy: AUC and average precision of two histograms.

Patients of one bin are tied: half right for AUC, one threshold for average precision. Both are NaN
where either kind is missing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.integer] | NDArray[np.floating]


def auc(negatives: Counts, positives: Counts) -> NDArray[np.float64]:
    """The area under the ROC curve of each pair of histograms in (..., bins), lowest bin first."""
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = 1.0 * negatives.sum(-1) * positives.sum(-1)  # beyond 64 bits where rows are many
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positives * below).sum(-1) / pairs)


def average_precision(negatives: Counts, positives: Counts) -> NDArray[np.float64]:
    """Mean precision over the ill, each bin from the top one threshold."""
    hits = np.cumsum(positives[..., ::-1], axis=-1)
    calls = hits + np.cumsum(negatives[..., ::-1], axis=-1)
    steps = positives[..., ::-1] * hits / np.maximum(calls, 1)
    both = (negatives.sum(-1) > 0) & (positives.sum(-1) > 0)
    return np.where(both, steps.sum(-1) / np.maximum(positives.sum(-1), 1), np.nan)
