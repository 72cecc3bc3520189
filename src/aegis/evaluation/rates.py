"""Two shares beside each other: intervals of their difference and of their ratio.

Both are in closed form and hold for small groups: the difference by Newcombe's hybrid of two score
intervals (1998, method 10), the ratio on its logarithm with half a patient added everywhere
(Walter 1975), so that a share of nought has an interval too.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.evaluation.intervals import Interval, wilson

Share: TypeAlias = tuple[int, int]
"""Successes, trials."""


def difference(one: Share, other: Share, level: float = 0.95) -> Interval:
    """The interval of share ``one`` minus share ``other``; (-1, 1) where one was not tried."""
    if one[1] == 0 or other[1] == 0:
        return -1.0, 1.0
    (low1, high1), (low2, high2) = wilson(*one, level), wilson(*other, level)
    p1, p2 = one[0] / one[1], other[0] / other[1]
    apart = p1 - p2
    down = math.hypot(p1 - low1, high2 - p2)
    up = math.hypot(high1 - p1, p2 - low2)
    return max(apart - down, -1.0), min(apart + up, 1.0)


def ratio(one: Share, other: Share, level: float = 0.95) -> Interval:
    """The interval of share ``one`` over share ``other``."""
    for successes, trials in (one, other):
        if not 0 <= successes <= trials or trials == 0:
            raise BadInput(f"{successes} of {trials} is no share")
    (x1, n1), (x2, n2) = ((successes + 0.5, trials + 0.5) for successes, trials in (one, other))
    middle = math.log(x1 / n1) - math.log(x2 / n2)
    z = NormalDist().inv_cdf((1 + level) / 2)
    reach = z * math.sqrt(max(1 / x1 - 1 / n1 + 1 / x2 - 1 / n2, 0.0))
    return math.exp(middle - reach), math.exp(middle + reach)


def gap_by_chance(
    trials: NDArray[np.integer], share: float, level: float = 0.95, draws: int = 1000
) -> float:
    """How far the largest and the smallest share of groups of these sizes lie apart in ``level`` of
    all repetitions, if all groups had the same true ``share``."""
    sizes = np.asarray(trials)
    rng = np.random.default_rng(0)
    some = max(200, min(draws, 200_000 // max(len(sizes), 1)))
    drawn = rng.binomial(sizes, share, size=(some, len(sizes))) / sizes
    return float(np.quantile(drawn.max(axis=1) - drawn.min(axis=1), level))
