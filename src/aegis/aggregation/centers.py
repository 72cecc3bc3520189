"""Rules that look for a centre of the updates which no few of them can drag away.

Both move within the space that the rows span, so every step is arithmetic on their inner products,
and the rows themselves are read twice, however many steps it takes. One hospital, one voice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation import kernels
from aegis.aggregation.combining import OWN, Combined, Numbers, RobustRule, Seen, not_finite
from aegis.aggregation.geometry import gram, measured

CENTER = f"{OWN}center"


@dataclass(frozen=True)
class CenteredClipping(RobustRule):
    """From the centre of the last round: the mean of what the updates differ from it by, each
    difference shortened to a common length, ``steps`` times over (Karimireddy et al. 2021).

    The first centre is no change at all. The common length follows from the rows: at each step the
    median distance of n - f hospitals from the centre, but never one that f hospitals could set.
    """

    steps: int = 3

    name: ClassVar[str] = "centered_clipping"
    paper: ClassVar[str] = "Karimireddy et al. 2021, Learning from history for Byzantine robust"

    def combine(self, seen: Seen) -> Combined:
        rows, length = seen.updates.shape
        start = seen.memory.get(CENTER)
        if start is None or start.shape != (length,):
            start = np.zeros(length)
        inner = gram(seen.updates, start)
        if not np.isfinite(inner).all():
            raise not_finite(seen)
        at = max(self.f + 1, (rows - self.f + 1) // 2) - 1
        place = np.zeros(rows)
        for _ in range(self.steps):
            away = _distances(inner, place)
            clip = np.partition(away, at)[at]
            scale = np.minimum(1.0, np.divide(clip, away, out=np.ones(rows), where=away > clip))
            # centre + mean of scale_i (row_i - centre), in coordinates of the rows.
            place = place * (1 - scale.mean()) + scale / rows
        vector = start * (1 - place.sum()) + _sum(seen, place)
        return Combined(vector, {CENTER: vector}, place)


@dataclass(frozen=True)
class GeometricMedian(RobustRule):
    """The point with the least sum of distances to the updates, by Weiszfeld's steps (Pillutla et
    al. 2022), until it moves by less than a part in 10^13 of the median distance."""

    steps: int = 1000

    name: ClassVar[str] = "geometric_median"
    paper: ClassVar[str] = "Pillutla et al. 2022, Robust aggregation for federated learning"

    def combine(self, seen: Seen) -> Combined:
        shares = weiszfeld(seen, self.steps)
        return Combined(_sum(seen, shares), shares=shares)


def weiszfeld(seen: Seen, steps: int) -> Numbers:
    """The geometric median as shares of the rows; where it is not unique, the middle of it."""
    distances = measured(seen).distances
    middle = int(np.argmin(np.median(distances, axis=1)))
    scale = float(np.sqrt(np.median(distances[middle])))
    if scale == 0:
        # At least half of the rows are one and the same point: it is the median.
        return _evenly(distances[middle] == 0)
    inner = gram(seen.updates, seen.updates[middle])
    best = np.zeros(len(seen.names), dtype=np.bool_)
    for row, squares in enumerate(distances):
        pulls, there = _pulls(np.sqrt(squares), 1e-12 * scale)
        # On the median itself a row's own pull holds against all others' (Vardi and Zhang 2000).
        pull = _length(inner, pulls - pulls.sum() * _evenly(there))
        best[row] = pull <= there.sum() * (1 + 1e-9)
    if best.any():
        return _evenly(best)
    shares = _evenly(distances[middle] <= np.median(distances[middle]))
    for _ in range(steps):
        pulls, _ = _pulls(_distances(inner, shares), 1e-12 * scale)
        after = pulls / pulls.sum()
        moved = _length(inner, after - shares)
        shares = after
        if moved <= 1e-13 * scale:
            break
    return shares


def _pulls(away: Numbers, nothing: float) -> tuple[Numbers, NDArray[np.bool_]]:
    """How hard each row pulls for its distance, and which rows are there already."""
    there = away <= nothing
    return np.divide(1.0, away, out=np.zeros(len(away)), where=~there), there


def _evenly(chosen: NDArray[np.bool_]) -> Numbers:
    shares: Numbers = chosen / chosen.sum()
    return shares


def _length(inner: Numbers, place: Numbers) -> float:
    return math.sqrt(max(0.0, float(place @ inner @ place)))


def _distances(inner: Numbers, place: Numbers) -> Numbers:
    """How far each row is from the point ``place`` (coordinates of the rows), from their inner
    products."""
    pulled = inner @ place
    squares: Numbers = np.diagonal(inner) - 2 * pulled + float(place @ pulled)
    away: Numbers = np.sqrt(np.maximum(squares, 0.0))
    return away


def _sum(seen: Seen, shares: Numbers) -> Numbers:
    try:
        return kernels.weighted_sum(seen.updates, shares)
    except kernels.NotFinite:
        raise not_finite(seen) from None
