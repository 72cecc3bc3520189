"""What a result says of more than two classes, and where accuracy alone would mislead.

Figures by class come from the summed tableau. A class with fewer than the minimum of test rows has
none of its own; the rarer ones are counted together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.evaluation.classes import FIRST, binned, is_tableau, without_bins
from aegis.evaluation.intervals import wilson
from aegis.evaluation.ranked import auc
from aegis.report.wording import percent, score
from aegis.tasks.preparation import MINIMUM_CELL

SKEWED, NOTABLE = 1.5, 0.3
"""A class that is so many times as common as if all were equally common, and this share of all
rows: accuracy then flatters a model that hardly tells anything apart. Of two classes that is three
in four."""

Counts = NDArray[np.int64]


def classes_of(
    histograms: Sequence[Counts], names: Sequence[str], minimum: int = MINIMUM_CELL
) -> dict[str, Any]:
    """The result's ``classes``: None, with a reason, of two classes or where nothing was
    released."""
    if not names:
        return {"classes": None, "classes_reason": "two classes are told apart"}
    if not histograms:
        reason = "no hospital released scores of the final model"
        return {"classes": None, "classes_reason": reason}
    return {"classes": by_class(np.add.reduce(list(histograms)), names, minimum)}


def by_class(tableau: Counts, names: Sequence[str], minimum: int) -> dict[str, Any]:
    """For a result: ``classes``, the figures of each class with ``minimum`` rows or more; the rarer
    ones together under ``rarer``; and ``confusion``, which of the classes shown were called which:
    a line for each, shares of its rows, the last column all classes that are not shown."""
    classes = len(tableau)
    of_class = tableau[:, : classes + 1].sum(axis=1)
    shown = np.flatnonzero(of_class >= max(minimum, 1))
    coarse = without_bins(tableau)
    right, within = np.diagonal(tableau), tableau[:, classes + 1]
    own, rest = binned(tableau)
    said = tableau[:, :classes].sum(axis=0)
    rows = []
    for c in shown.tolist():
        n, hit = int(of_class[c]), int(right[c])
        row: dict[str, Any] = {
            "name": names[c],
            "examples": n,
            "recall": {"value": hit / n, "ci95": list(wilson(hit, n))},
            "top_3": None if classes <= FIRST else int(within[c]) / n,
            "precision": None,
            "auc": None,
        }
        if not coarse:
            row["precision"] = int(right[c]) / int(said[c]) if said[c] else None
            area = float(auc(rest[c], own[c]))
            row["auc"] = area if math.isfinite(area) else None
        rows.append(row)
    hidden = np.setdiff1d(np.flatnonzero(of_class > 0), shown)
    rarer = None
    if len(hidden):
        n, hit = int(of_class[hidden].sum()), int(right[hidden].sum())
        told = n >= max(minimum, 1)
        rarer = {
            "classes": len(hidden),
            "examples": n if told else None,
            "recall": {"value": hit / n, "ci95": list(wilson(hit, n))} if told else None,
        }
    matrix = None
    if not coarse and len(shown):
        among = tableau[np.ix_(shown, shown)]
        lines = np.column_stack([among, of_class[shown] - among.sum(axis=1)])
        matrix = (lines / of_class[shown, None]).tolist()
    return {"classes": rows, "rarer": rarer, "confusion": matrix, "minimum_cell": minimum}


def imbalance(
    histograms: Sequence[Counts], names: Sequence[str], found: Mapping[str, Any]
) -> dict[str, Any]:
    """The result's ``imbalance``: None where no class is much more common than the others, or too
    few rows were scored. ``names`` are those of the labels 0, 1, ...; ``found`` are the metrics."""
    shares = _shares(histograms, len(names))
    if shares is None or shares.max() < max(SKEWED / len(names), NOTABLE):
        return {"imbalance": None}
    most = int(shares.argmax())
    common, accuracy = float(shares[most]), found.get("accuracy")
    said = (
        f"{percent(common)} of the test rows are {names[most]}: to call everybody so would be "
        f"right as often, so accuracy alone misleads."
    )
    parts = [
        f"{label} {text(value)}"
        for key, label, text in (
            ("balanced_accuracy", "balanced accuracy", percent),
            ("average_precision", "average precision", score),
        )
        if (value := found.get(key)) is not None
    ]
    if parts:
        said += f" Read {' and '.join(parts)}."
    if accuracy is not None and accuracy <= common:
        said += " This model is right no more often than that."
    weights = 1 / (len(names) * np.maximum(shares, 1e-12))
    return {
        "imbalance": {
            "commonest": names[most],
            "share": common,
            "sentence": said,
            "balancing_weights": (
                [round(float(w), 4) for w in weights] if (shares > 0).all() else None
            ),
        }
    }


def _shares(histograms: Sequence[Counts], classes: int) -> NDArray[np.float64] | None:
    """(K,) how common each class is among the scored rows."""
    if not histograms:
        return None
    total = np.add.reduce(list(histograms))
    of_class = total[:, : classes + 1].sum(axis=1) if is_tableau(total) else total.sum(axis=1)
    if of_class.sum() < MINIMUM_CELL:
        return None
    return np.asarray(of_class / of_class.sum())
