"""Scores of more than two classes as counts: one table per hospital that adds up like a histogram.

A tableau of K classes is (K, K + 1002), one line for each true class: how many of its rows were
called each class (K), how many were called wrongly without it being told as what (1; noisy counts
only), how many have it among the three likeliest (1), and two histograms of 500 bins of its own
log odds against the rest: of its own rows, then of all others. A row stands once in the first part
of its line, so accuracy, recall and the confusion matrix are exact; ranks within a class are kept
up to ties in a bin, on the axis of ``evaluation.histogram`` at half its resolution. Nothing
of it grows with the number of patients, and tableaus of hospitals are added inside sealed sums.

Macro figures are plain means over classes: over those that have patients for recall (balanced
accuracy), AUC and average precision; over those that have patients or are called for precision and
F1, where a class never called counts 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, RunAborted
from aegis.evaluation.histogram import BINS, HALF, WIDEST, bins_of
from aegis.evaluation.intervals import Interval, most_are_small, percentiles, strata
from aegis.evaluation.ranked import auc, average_precision
from aegis.evaluation.whole import from_kinds, kinds

EACH = 500
_FOLD = BINS // EACH
FIRST = 3
DRAWN = ("accuracy", "top_3_accuracy", "balanced_accuracy")
"""What there are intervals of."""

Counts = NDArray[np.int64]


def width(classes: int) -> int:
    """How many counts a line holds."""
    return classes + 2 + 2 * EACH


def shape(classes: int) -> tuple[int, int]:
    """The shape of what a hospital sends of a model with so many classes."""
    return (2, BINS) if classes == 2 else (classes, width(classes))


def is_tableau(counts: NDArray[Any]) -> bool:
    return counts.ndim == 2 and len(counts) > 2 and counts.shape[1] == width(len(counts))


def against_the_rest(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, K) the log odds of each class against all others together, from the logits (n, K)."""
    z = np.asarray(logits, dtype=np.float64)
    rows = np.arange(len(z))
    best = z.argmax(axis=1)
    top = z[rows, best][:, None]
    others = z.copy()
    others[rows, best] = -np.inf
    second = others.max(axis=1, keepdims=True)
    shares = np.exp(z - top)
    with np.errstate(divide="ignore"):
        rest = top + np.log(shares.sum(axis=1, keepdims=True) - shares)
    rest[rows, best] = (second + np.log(np.exp(others - second).sum(axis=1, keepdims=True)))[:, 0]
    return np.asarray(z - rest)


def log_losses(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) the log-loss of each row: of (n,) logits of class 1, or of (n, K)."""
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim == 1:
        return np.asarray(np.logaddexp(0.0, np.where(labels == 1, -z, z)))
    top = z.max(axis=1)
    whole = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return np.asarray(whole - z[np.arange(len(z)), labels])


def called(logits: NDArray[np.floating]) -> NDArray[np.int64]:
    """(n,) the class that each row is called; of equals the first, of two classes the second."""
    z = np.asarray(logits)
    return (z >= 0).astype(np.int64) if z.ndim == 1 else z.argmax(axis=1).astype(np.int64)


def score_classes(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    owner: NDArray[np.integer],
    owners: int,
) -> tuple[Counts, NDArray[np.float64]]:
    """Tableaus (owners, K, K + 1002) and sums of log-losses (owners,); ``owner`` (n,) says whose
    row it is.

    Raises ``RunAborted`` where a logit is not finite, ``BadInput`` where a label is no class.
    """
    z = np.asarray(logits, dtype=np.float64)
    classes = z.shape[1]
    if not np.isfinite(z).all():
        raise RunAborted(
            f"the scores of {int((~np.isfinite(z)).any(axis=1).sum())} of {len(z)} rows are not "
            "finite",
            "the model went to infinity",
            "Lower training.learning_rate",
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise BadInput(
            f"labels reach from {labels.min()} to {labels.max()}",
            f"this model tells {classes} classes apart, 0 to {classes - 1}",
        )
    found = np.zeros((owners, classes, width(classes)), dtype=np.int64)
    if not len(labels):
        return found, np.zeros(owners)
    rows = np.arange(len(labels))
    np.add.at(found, (owner, labels, called(z)), 1)
    own = z[rows, labels][:, None]
    earlier = np.arange(classes) < labels[:, None]
    rank = ((z > own) | ((z == own) & earlier)).sum(axis=1)
    np.add.at(found, (owner, labels, classes + 1), (rank < FIRST).astype(np.int64))
    bins = bins_of(against_the_rest(z)) // _FOLD
    other = np.arange(classes) != labels[:, None]
    place = classes + 2 + other * EACH + bins
    np.add.at(found, (owner[:, None], np.arange(classes), place), 1)
    losses = np.bincount(owner, weights=np.minimum(log_losses(z, labels), WIDEST), minlength=owners)
    return found, losses.astype(np.float64, copy=False)


def examples_of(counts: NDArray[Any]) -> int:
    """How many rows stand in a histogram (2, 1000) or a tableau."""
    return int((counts[:, : len(counts) + 1] if is_tableau(counts) else counts).sum())


def right_of(counts: NDArray[Any]) -> int:
    """How many rows the model was right about, of a histogram (2, 1000) or a tableau."""
    if is_tableau(counts):
        return int(np.diagonal(counts).sum())
    return int(counts[0, :HALF].sum() + counts[1, HALF:].sum())


def fault_of_counts(
    counts: NDArray[Any], classes: int, examples: int, most: int | None = None, noisy: bool = False
) -> str | None:
    """Why this cannot be what a hospital with so many scored rows sends, or nothing. No count is
    above ``most`` where that is given; ``noisy`` ones are signed, and have no bins."""
    what, wanted = ("histogram", (2, BINS)) if classes == 2 else ("tableau", shape(classes))
    if counts.shape != wanted or counts.dtype.kind != "i" or (not noisy and (counts < 0).any()):
        return f"the score {what} is not {wanted} of counts"
    if most is not None and ((counts > most) | (counts < -most)).any():
        return f"a count of the {what} is above {most}, the most that it can be"
    found = examples_of(counts)
    if found != examples:
        return f"the {what} counts {found} rows, the message {examples}"
    if noisy:
        bare = from_kinds(kinds(counts)) if classes == 2 else from_judged(judged(counts))
        return None if np.array_equal(bare, counts) else f"the noisy {what} has bins"
    return None if classes == 2 else fault_of_tableau(counts)


def fault_of_tableau(tableau: Counts) -> str | None:
    """Why these counts cannot be of any rows, or nothing."""
    classes = len(tableau)
    of_class = tableau[:, : classes + 1].sum(axis=1)
    right, within = np.diagonal(tableau), tableau[:, classes + 1]
    if ((within < right) | (within > of_class)).any():
        return "of some class fewer rows are among the first three than right, or more than all"
    own, rest = binned(tableau)
    if not own.any() and not rest.any():
        return None  # noisy counts have no bins
    total = int(of_class.sum())
    if (own.sum(axis=1) != of_class).any() or (rest.sum(axis=1) != total - of_class).any():
        return "the bins of some class count other rows than its line does"
    return None


def without_bins(tableau: Counts) -> bool:
    """Whether these are noisy counts (what was right, among the first three and further down), or
    a sum with such: figures from bins and calls would then be those of the other rows alone."""
    return int(binned(tableau)[0].sum()) != examples_of(tableau)


def binned(tableau: Counts) -> tuple[Counts, Counts]:
    """(K, 500) each: the bins of every class's own rows, and of all others."""
    start = len(tableau) + 2
    return tableau[:, start : start + EACH], tableau[:, start + EACH :]


def class_metrics(tableau: Counts, loss_sum: float | None) -> dict[str, float | None]:
    """Every figure of a tableau or of a sum of them, with ``examples``; None where it does not
    exist. ``top_3_accuracy`` is there for more than three classes."""
    classes, examples = len(tableau), examples_of(tableau)
    of_class = tableau[:, : classes + 1].sum(axis=1)
    right = np.diagonal(tableau)
    found: dict[str, float] = {
        "accuracy": _share(int(right.sum()), examples),
        "balanced_accuracy": _mean(_shares(right, of_class)),
    }
    if classes > FIRST:
        found["top_3_accuracy"] = _share(int(tableau[:, classes + 1].sum()), examples)
    found["recall"] = found["balanced_accuracy"]
    names = ("precision", "f1", "auc", "average_precision")
    figures = (math.nan,) * 4 if without_bins(tableau) else _macro(tableau)
    found |= dict(zip(names, figures, strict=True))
    found["log_loss"] = loss_sum / examples if loss_sum is not None and examples else math.nan
    shown: dict[str, float | None] = {
        name: value if math.isfinite(value) else None for name, value in found.items()
    }
    shown["examples"] = examples
    return shown


def class_interval(
    tableaus: Sequence[Counts],
    metric: str,
    over: str = "pooled",
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """The bootstrap interval of a figure of ``DRAWN``; None for the others, whose rows a tableau
    does not tell apart. Rows are drawn anew within each hospital."""
    if metric not in DRAWN:
        return None
    there = [judged(one) for one in tableaus if examples_of(one)]
    if not there:
        return None
    cells = np.stack(there)
    if over == "pooled":
        cells = strata(cells)
    elif most_are_small(cells):
        return None
    rng = np.random.default_rng(seed)
    flat, rows = cells.reshape(len(cells), -1), cells.sum(axis=(1, 2))
    chances = flat / rows[:, None]
    drawn = rng.multinomial(rows, chances, size=(draws, len(cells)))
    drawn = drawn.reshape(draws, *cells.shape)
    if over == "pooled":
        return percentiles(_drawn(drawn.sum(axis=1), metric), level)
    return percentiles(np.nanmean(_drawn(drawn, metric), axis=1), level)


def judged(tableau: Counts) -> Counts:
    """(K, 3): of each class how many rows are right, among the first three, further down."""
    classes = len(tableau)
    right, within = np.diagonal(tableau), tableau[:, classes + 1]
    of_class = tableau[:, : classes + 1].sum(axis=1)
    return np.stack([right, within - right, of_class - within], axis=1)


def from_judged(cells: Counts) -> Counts:
    """The tableau of counts (K, 3) without anything else, as noisy scores leave."""
    classes = len(cells)
    tableau = np.zeros((classes, width(classes)), dtype=np.int64)
    np.fill_diagonal(tableau, cells[:, 0])
    tableau[:, classes] = cells[:, 1] + cells[:, 2]
    tableau[:, classes + 1] = cells[:, 0] + cells[:, 1]
    return tableau


def _drawn(cells: NDArray[np.integer], metric: str) -> NDArray[np.float64]:
    """The figure of each of (..., K, 3) counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric == "balanced_accuracy":
            of_class = cells.sum(axis=-1)
            there = of_class > 0
            recalls = np.where(there, cells[..., 0] / of_class, 0.0)
            return np.asarray(recalls.sum(axis=-1) / there.sum(axis=-1))
        upto = 1 if metric == "accuracy" else 2
        won = cells[..., :upto].sum(axis=(-1, -2))
        return np.asarray(won / cells.sum(axis=(-1, -2)))


def _macro(tableau: Counts) -> tuple[float, float, float, float]:
    classes = len(tableau)
    confusion = tableau[:, :classes]
    right, said, of_class = np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    used = (said > 0) | (of_class > 0)
    precision = np.where(said > 0, right / np.maximum(said, 1), 0.0)[used]
    f1 = np.where(used, 2 * right / np.maximum(said + of_class, 1), 0.0)[used]
    own, rest = binned(tableau)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas, precisions = auc(rest, own), average_precision(rest, own)
    return _mean(precision), _mean(f1), _mean(areas), _mean(precisions)


def _shares(parts: NDArray[np.integer], wholes: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.where(wholes > 0, parts / np.maximum(wholes, 1), np.nan)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _mean(values: NDArray[np.float64]) -> float:
    """Over those that exist."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan


assert HALF % _FOLD == 0  # logit 0 stays an edge
