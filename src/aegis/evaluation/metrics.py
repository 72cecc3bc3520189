"""Figures from score histograms.

Accuracy, balanced accuracy, precision, recall and F1 are exact at probability one half; AUC and
average precision count patients of one bin as tied (half right for AUC, one threshold for average
precision). A figure that does not exist, such as AUC where everybody is ill, is None and never NaN.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.evaluation.histogram import BINS, HALF
from aegis.evaluation.ranked import auc, average_precision

Counts: TypeAlias = NDArray[np.integer] | NDArray[np.floating]

DECIDED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
RANKED = ("auc", "average_precision")


def metrics(histogram: NDArray[np.int64], loss_sum: float | None) -> dict[str, float | None]:
    """Every figure of one histogram (2, 1000) or of a sum of them, with ``examples``.

    ``loss_sum`` is the sum of log-losses; without it ``log_loss`` is None. Precision is None where
    nobody is called ill, recall where nobody is; with a class absent, so are balanced accuracy,
    AUC and average precision. Of the tableau of more classes: ``evaluation.classes``.
    """
    from aegis.evaluation.classes import class_metrics, is_tableau

    if is_tableau(histogram):
        return class_metrics(histogram, loss_sum)
    assert histogram.shape == (2, BINS)
    examples = int(histogram.sum())
    log_loss = loss_sum / examples if loss_sum is not None and examples else math.nan
    found = {name: float(values(histogram, name)) for name in DECIDED + RANKED}
    found["log_loss"] = log_loss
    shown: dict[str, float | None] = {
        name: value if math.isfinite(value) else None for name, value in found.items()
    }
    shown["examples"] = examples
    return shown


def values(histograms: Counts, name: str, half: int = HALF) -> NDArray[np.float64]:
    """One metric of each histogram in (..., 2, bins), NaN where it does not exist.

    ``half`` is the first bin that counts as a positive prediction.
    """
    negatives, positives = histograms[..., 0, :], histograms[..., 1, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        if name == "auc":
            return auc(negatives, positives)
        if name == "average_precision":
            return average_precision(negatives, positives)
        tn, fp = negatives[..., :half].sum(-1), negatives[..., half:].sum(-1)
        fn, tp = positives[..., :half].sum(-1), positives[..., half:].sum(-1)
        match name:
            case "accuracy":
                found = (tp + tn) / (tp + tn + fp + fn)
            case "balanced_accuracy":
                found = (tp / (tp + fn) + tn / (tn + fp)) / 2
            case "precision":
                found = tp / (tp + fp)
            case "recall":
                found = tp / (tp + fn)
            case "f1":
                found = 2 * tp / (2 * tp + fp + fn)
            case _:
                raise KeyError(name)
    return np.asarray(found, dtype=np.float64)
