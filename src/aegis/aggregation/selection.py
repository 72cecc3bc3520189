"""Rules that choose among whole updates by how near their neighbours are: the Krum family.

A row's score is the sum of its squared distances to its n - f - 2 nearest other rows. Scores that
agree to the precision of the distances count as equal, and among equals the first name wins, so the
choice depends neither on the order of the rows nor on rounding. Large float32 matrices are
measured in float32 first, and again in float64 where the choice would hang on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aegis.aggregation import kernels
from aegis.aggregation.combining import Combined, Numbers, RobustRule, Seen, capped
from aegis.aggregation.geometry import Geometry, measured


@dataclass(frozen=True)
class Krum(RobustRule):
    """The one update that is nearest to its neighbours (Blanchard et al. 2017)."""

    name: ClassVar[str] = "krum"
    paper: ClassVar[str] = "Blanchard et al. 2017, Machine learning with adversaries"

    def combine(self, seen: Seen) -> Combined:
        [row] = _best(seen, self.f, 1)
        shares = np.zeros(len(seen.names))
        shares[row] = 1.0
        return Combined(seen.updates[row].astype(np.float64), shares=shares)


@dataclass(frozen=True)
class MultiKrum(RobustRule):
    """The mean of the ``keep`` updates with the least Krum scores, n - f unless said (Blanchard et
    al. 2017). Examples count, none more than three times their median."""

    keep: int | None = None

    name: ClassVar[str] = "multi_krum"
    paper: ClassVar[str] = "Blanchard et al. 2017, Machine learning with adversaries"

    def combine(self, seen: Seen) -> Combined:
        honest = len(seen.names) - self.f
        rows = _best(seen, self.f, min(self.keep or honest, honest))
        voices = capped(seen.weights)
        shares = np.zeros(len(seen.names))
        shares[rows] = voices[rows] if voices[rows].sum() > 0 else 1.0
        shares /= shares.sum()
        return Combined(kernels.weighted_sum(seen.updates, shares), shares=shares)


@dataclass(frozen=True)
class Bulyan(RobustRule):
    """Krum again and again chooses n - 2f updates; then, coordinate by coordinate, the mean of the
    n - 4f values nearest to their median (El Mhamdi et al. 2018)."""

    name: ClassVar[str] = "bulyan"
    paper: ClassVar[str] = "El Mhamdi et al. 2018, The hidden vulnerability of distributed learning"

    def combine(self, seen: Seen) -> Combined:
        chosen = len(seen.names) - 2 * self.f
        rows = sorted(_one_by_one(seen, self.f, chosen))
        return Combined(kernels.mean_around_median(seen.updates, chosen - 2 * self.f, rows))


def scores(distances: Numbers, f: int) -> Numbers:
    """Krum scores of rows with these squared distances: n - f - 2 neighbours, at least one."""
    count = len(distances)
    neighbours = max(1, count - f - 2)
    # The least of each row is its distance to itself.
    nearest = np.sort(distances, axis=1)[:, 1 : neighbours + 1]
    found: Numbers = nearest.sum(axis=1)
    return found


def _best(seen: Seen, f: int, keep: int) -> list[int]:
    """The rows with the ``keep`` least scores."""
    found = measured(seen)
    rows, doubtful = _least(scores(found.distances, f), keep, found.error, seen.order)
    if doubtful and not found.exact:
        found = measured(seen, exact=True)
        rows, _ = _least(scores(found.distances, f), keep, found.error, seen.order)
    return rows


def _one_by_one(seen: Seen, f: int, keep: int) -> list[int]:
    """The rows that Krum chooses one after the other, each time among those that are left."""
    found = measured(seen)
    rows = _iterated(found, f, keep, seen.order)
    if not found.exact and set(rows) != set(_iterated(found, f, keep, seen.order, False)):
        rows = _iterated(measured(seen, exact=True), f, keep, seen.order)
    return rows


def _iterated(
    found: Geometry, f: int, keep: int, order: Sequence[int], by_name: bool = True
) -> list[int]:
    left, chosen = list(order), []
    for _ in range(keep):
        scored = scores(found.distances[np.ix_(left, left)], f)
        [place], _ = _least(scored, 1, found.error, range(len(left)), by_name)
        chosen.append(left.pop(place))
    return chosen


def _least(
    scored: Numbers, keep: int, error: float, order: Sequence[int], by_name: bool = True
) -> tuple[list[int], bool]:
    """The ``keep`` least, and whether others were as good to within the error. Without ``by_name``
    of those the greater, so that it shows whether the choice hangs on the error."""
    bound = np.partition(scored, keep - 1)[keep - 1]
    surely = [row for row in order if scored[row] < bound * (1 - error)]
    tied = [row for row in order if abs(scored[row] - bound) <= bound * error]
    missing = keep - len(surely)
    if not by_name:
        tied.sort(key=lambda row: -scored[row])
    unlike = len({float(scored[row]) for row in tied}) > 1
    return surely + tied[:missing], unlike and len(tied) > missing
