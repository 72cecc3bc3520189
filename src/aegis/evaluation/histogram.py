"""Scores as counts: what a hospital tells about a model, instead of its patients' scores.

A histogram is (2, 1000): how many healthy (row 0) and ill (row 1) patients scored in each bin of
the logit. Histograms of hospitals add up, and accuracy and everything else that asks only on which
side of one half a probability lies is exact: logit 0 is an edge. Ranks are kept up to ties within a
bin. The bins are narrow about 0 and widen with the logit (an arcsinh scale), because the models of
first rounds hardly leave 0 and those of last rounds reach 40: bins of one width would make one of
them look like guessing. A row's log-loss counts up to ``WIDEST``, as if no logit went further, so
that what so many rows can lose at most is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, RunAborted

BINS = 1000
HALF = BINS // 2
FINEST = 0.02
WIDEST = 100.0
_PER_UNIT = HALF / float(np.arcsinh(WIDEST / FINEST))


def edges() -> NDArray[np.float64]:
    """The 1001 edges on the logit axis, -100 to 100; what lies outside counts in the last bin."""
    return np.asarray(FINEST * np.sinh(np.arange(-HALF, HALF + 1) / _PER_UNIT))


def bins_of(logits: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each of these logits, in their shape."""
    bins = np.floor(np.arcsinh(logits / FINEST) * _PER_UNIT).astype(np.int64) + HALF
    return np.clip(bins, 0, BINS - 1)


def score(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], float]:
    """The histogram (2, 1000) of these rows and the sum of their log-losses; of logits (n, K) the
    tableau of ``evaluation.classes``.

    A logit of exactly 0 counts as a positive prediction (probability at least one half). Raises
    ``RunAborted`` where a logit is not finite, ``BadInput`` where a label is not 0 or 1.
    """
    histograms, losses = score_many(logits, labels, np.zeros(len(labels), dtype=np.intp), 1)
    return histograms[0], float(losses[0])


def score_many(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    owner: NDArray[np.integer],
    owners: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """``score`` for a stack of hospitals: ``owner`` (n,) says whose row it is, 0 to owners - 1.

    Returns histograms (owners, 2, 1000), or tableaus (owners, K, K + 1002) of logits (n, K), and
    sums of log-losses (owners,).
    """
    if np.ndim(logits) == 2:
        from aegis.evaluation.classes import score_classes

        return score_classes(logits, labels, owner, owners)
    z = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(z).all():
        raise RunAborted(
            f"{int((~np.isfinite(z)).sum())} of {len(z)} scores are not finite",
            "the model went to infinity",
            "Lower training.learning_rate",
        )
    if (labels >> 1).any():
        raise BadInput("a label is neither 0 nor 1", "scores are counted for two classes")
    cells = (owner * 2 + labels) * BINS + bins_of(z)
    counts = np.bincount(cells, minlength=owners * 2 * BINS).astype(np.int64, copy=False)
    # log(1 + e^-z) for the ill, log(1 + e^z) for the healthy, without overflow.
    loss = np.minimum(np.logaddexp(0.0, np.where(labels == 1, -z, z)), WIDEST)
    losses = np.bincount(owner, weights=loss, minlength=owners).astype(np.float64, copy=False)
    return counts.reshape(owners, 2, BINS), losses
