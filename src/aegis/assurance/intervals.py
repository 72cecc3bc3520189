"""How well an attack told members from non-members, and how sure that is.

Members are compared with non-members of their own hospital only: across hospitals an attack would
measure how hospitals differ, not who was in the training. The AUC is the mean over hospitals,
weighted so that the interval is narrowest; its interval is DeLong's (1988). True-positive rates
give each hospital the share it has among non-members, with Clopper and Pearson's interval (1934).
Both take one attack (n,), or the attacks on several models (models, n) with one membership each; a
candidate that appears in several counts as one cluster (Obuchowski 1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.patients import Floats
from aegis.errors import BadInput

FALSE_ALARMS = 10  # a true-positive rate is shown only where so many non-members stand behind it


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float

    @property
    def folded(self) -> float:
        """An attack that is wrong more often than right is turned round by the attacker."""
        return max(self.value, 1 - self.value)

    @property
    def folded_high(self) -> float:
        return max(self.high, 1 - self.low)

    @property
    def beyond_chance(self) -> bool:
        return self.low > 0.5 or self.high < 0.5


@dataclass(frozen=True)
class Rate:
    """The share of members recognised when at most ``false_positives`` of ``nonmembers`` are taken
    for members. None where fewer than ten of them stand behind that share."""

    false_positives: float
    nonmembers: int
    found: Estimate | None

    @property
    def needs(self) -> int:
        return math.ceil(FALSE_ALARMS / self.false_positives - 1e-9)


def auc(
    scores: Floats,
    members: NDArray[np.bool_],
    hospitals: NDArray[Any],
    level: float = 0.95,
) -> Estimate:
    """AUC of ``scores`` within hospitals; ``scores`` and ``members`` are (n,) or (models, n).

    Over several models it is the mean of their AUCs, and the interval adds the variance between
    candidates and that between models, which is on the safe side. Raises ``BadInput`` where no
    hospital has both members and non-members.
    """
    scores, members = np.atleast_2d(scores), np.atleast_2d(members)
    values, influence, variance = np.zeros(len(scores)), np.zeros(scores.shape), 0.0
    for number, (one, inside) in enumerate(zip(scores, members, strict=True)):
        total = 0.0
        for hospital in np.unique(hospitals):
            here = hospitals == hospital
            ins, outs = np.flatnonzero(here & inside), np.flatnonzero(here & ~inside)
            n1, n0 = len(ins), len(outs)
            if not n1 or not n0:
                continue
            above, below = _placements(one[ins], one[outs]), 1 - _placements(one[outs], one[ins])
            area, weight = float(above.mean()), n1 * n0 / (n1 + n0 + 1)
            values[number] += weight * area
            if min(n1, n0) > 1:
                influence[number, ins] = weight * (above - area) / math.sqrt(n1 * (n1 - 1))
                influence[number, outs] = weight * (below - area) / math.sqrt(n0 * (n0 - 1))
            else:  # one patient shows no spread; that of an attack without power is the largest
                influence[number, ins[0]] = weight * math.sqrt((n1 + n0 + 1) / (12 * n1 * n0))
            total += weight
        if total == 0:
            raise BadInput(
                "no hospital has both members and non-members",
                "members are compared with held-out patients of the same hospital",
                "Hold out rows at each hospital (data.test_fraction)",
            )
        values[number] /= total
        influence[number] /= total
    variance = float((influence.mean(0) ** 2).sum())
    if len(values) > 1:
        variance += float(values.var(ddof=1)) / len(values)
    centre, half = float(values.mean()), _z(level) * math.sqrt(variance)
    return Estimate(centre, max(centre - half, 0.0), min(centre + half, 1.0))


def true_positive_rate(
    scores: Floats,
    members: NDArray[np.bool_],
    hospitals: NDArray[Any],
    false_positives: float,
    level: float = 0.95,
) -> Rate:
    """The share of members above the score that at most ``false_positives`` of the non-members of
    the same hospitals exceed. Shapes as for ``auc``."""
    scores, members = np.atleast_2d(scores), np.atleast_2d(members)
    weight = standard_weights(members, hospitals)
    outs = ~members & (weight > 0)
    nonmembers = int(outs.sum())
    if false_positives * nonmembers < FALSE_ALARMS - 1e-9:
        return Rate(false_positives, nonmembers, None)
    allowed = min(int(false_positives * nonmembers + 1e-9), nonmembers - 1)
    limit = np.sort(scores[outs])[::-1][allowed]
    shares = np.where(members, weight, 0.0)
    hits = scores > limit
    share = float((shares * hits).sum())
    single = float((shares**2).sum())
    clustered = float(((shares * (hits - share)).sum(0) ** 2).sum())
    spread = share * (1 - share) * single
    trials = 1 / (single * max(clustered / spread, 1.0) if spread > 0 else single)
    return Rate(
        false_positives,
        nonmembers,
        Estimate(share, *clopper_pearson(share * trials, trials, level)),
    )


def balanced_accuracy(
    scores: Floats, members: NDArray[np.bool_], hospitals: NDArray[Any], seed: int = 0
) -> float:
    """Mean of the shares told right among members and among non-members. The cut is chosen on one
    half of the candidates and judged on the other, both ways; scores and members are (n,)."""
    weight = standard_weights(members[None], hospitals)[0]
    order = np.random.default_rng(seed).permutation(len(scores))
    half = np.zeros(len(scores), dtype=bool)
    for group in (members, ~members):
        half[order[group[order]][::2]] = True
    found = []
    for chosen in (half, ~half):
        cut = _best_cut(scores[chosen], members[chosen], weight[chosen])
        judged, inside = ~chosen & (weight > 0), members
        right = [
            float(np.average((scores[rows] > cut) == told, weights=weight[rows]))
            for rows, told in ((judged & inside, True), (judged & ~inside, False))
            if rows.any()
        ]
        found.append(sum(right) / len(right))
    return sum(found) / 2


def standard_weights(members: NDArray[np.bool_], hospitals: NDArray[Any]) -> Floats:
    """Weights (models, n) with sum 1 over all members and sum 1 over all non-members, in which
    every hospital has its share of the non-members; 0 where a hospital lacks either kind."""
    weight = np.zeros(members.shape)
    for number, inside in enumerate(members):
        for hospital in np.unique(hospitals):
            here = hospitals == hospital
            n1, n0 = int((here & inside).sum()), int((here & ~inside).sum())
            if n1 and n0:
                weight[number, here & inside] = n0 / n1
                weight[number, here & ~inside] = 1.0
    total = weight[~members].sum()
    return weight / total if total > 0 else weight


def clopper_pearson(hits: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share; whole numbers are not required (effective counts).

    >>> [round(x, 4) for x in clopper_pearson(5, 100)]
    [0.0164, 0.1128]
    """
    if not 0 <= hits <= trials or trials <= 0:
        raise BadInput(f"{hits} hits in {trials} trials", "hits lie between 0 and the trials")
    tail = (1 - level) / 2
    low = 0.0 if hits <= 0 else _beta_quantile(tail, hits, trials - hits + 1)
    high = 1.0 if hits >= trials else _beta_quantile(1 - tail, hits + 1, trials - hits)
    return low, high


def _best_cut(scores: Floats, members: NDArray[np.bool_], weight: Floats) -> float:
    order = np.argsort(scores, kind="stable")
    value = np.where(members, -weight, weight)[order]
    gain = np.cumsum(value)
    last = np.append(np.diff(scores[order]) > 0, True)  # a cut falls between different scores
    best = int(np.argmax(np.where(last, gain, -np.inf)))
    return float(scores[order][best]) if gain[best] > 0 else -math.inf


def _placements(ours: Floats, theirs: Floats) -> Floats:
    """For each of ours, the share of theirs below it; ties are half below."""
    ordered = np.sort(theirs)
    both = np.searchsorted(ordered, ours, "left") + np.searchsorted(ordered, ours, "right")
    return np.asarray(both / (2 * len(theirs)))


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _beta_quantile(p: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_cdf(middle, a, b) < p else (low, middle)
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function by Lentz's continued fraction (Press et al.,
    Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    total = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            change = c * d
            total *= change
        if abs(change - 1) < 1e-15:
            break
    return front * total / a
