"""Is acting on the model worth it? Decision curves and thresholds, from score histograms.

Whoever acts on every chance above t says that one patient found is worth (1 - t) / t false alarms.
Net benefit (Vickers and Elkin 2006) counts the found, less the false alarms at that price, per
patient; it is read against acting on everybody and against acting on nobody, which is 0. A
threshold lies on an edge of the histogram, within 1 % of the chance that was asked for on the logit
scale, so all counts are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.evaluation.calibration import WIDTH
from aegis.evaluation.histogram import edges
from aegis.evaluation.intervals import Interval, wilson

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Decisions:
    """What acting on every chance of ``threshold`` or more comes to."""

    threshold: float
    found: int
    missed: int
    false_alarms: int
    cleared: int

    @property
    def examples(self) -> int:
        return self.found + self.missed + self.false_alarms + self.cleared

    @property
    def price(self) -> float:
        """How much of a patient found one false alarm costs."""
        return self.threshold / (1 - self.threshold)

    @property
    def net_benefit(self) -> float:
        return (self.found - self.price * self.false_alarms) / self.examples

    @property
    def net_benefit_interval(self) -> Interval:
        """95 % by the normal approximation of a mean over patients."""
        n = self.examples
        mean = self.net_benefit
        second = (self.found + self.price**2 * self.false_alarms) / n
        reach = WIDTH * math.sqrt(max(second - mean * mean, 0.0) / n)
        return mean - reach, mean + reach

    @property
    def everybody(self) -> float:
        """The net benefit of acting on everybody."""
        ill = self.found + self.missed
        return (ill - self.price * (self.examples - ill)) / self.examples

    @property
    def per_100(self) -> tuple[int, int, int, int]:
        """Of 100 such patients: found, missed, false alarms, rightly left alone. They add up to 100
        (largest remainders)."""
        counts = (self.found, self.missed, self.false_alarms, self.cleared)
        exact = [100 * count / self.examples for count in counts]
        whole = [math.floor(share) for share in exact]
        order = sorted(range(4), key=lambda i: (whole[i] - exact[i], i))
        for place in order[: 100 - sum(whole)]:
            whole[place] += 1
        return whole[0], whole[1], whole[2], whole[3]

    def share(self, name: str) -> tuple[float, Interval] | None:
        """``sensitivity``, ``specificity``, ``ppv`` or ``npv`` with its interval; None where nobody
        is there whom it is about."""
        part, other = {
            "sensitivity": (self.found, self.missed),
            "specificity": (self.cleared, self.false_alarms),
            "ppv": (self.found, self.false_alarms),
            "npv": (self.cleared, self.missed),
        }[name]
        total = part + other
        return None if not total else (part / total, wilson(part, total))


def decisions(histogram: Counts, threshold: float) -> Decisions:
    """Counts at the edge nearest to ``threshold``, whose chance the result names."""
    if not 0 < threshold < 1:
        raise BadInput(f"a threshold lies between 0 and 1, got {threshold}")
    if not histogram.sum():
        raise BadInput("nobody was scored, so no threshold can be judged")
    marks = edges()
    wanted = math.log(threshold / (1 - threshold))
    return _at(histogram, int(np.abs(marks - wanted).argmin()))


def curve(histogram: Counts, thresholds: Sequence[float]) -> tuple[Decisions, ...]:
    return tuple(decisions(histogram, threshold) for threshold in thresholds)


def operating_points(histogram: Counts, least: int, most: int = 100) -> tuple[Decisions, ...]:
    """Thresholds along the receiver operating characteristic, the highest first. At least ``least``
    patients lie between any two of them, so that no point gives away a few."""
    total = int(histogram.sum())
    step = max(least, -(-total // most))
    above = np.cumsum(histogram.sum(axis=0)[::-1])[::-1]
    found, last = list[Decisions](), 0
    for edge in range(histogram.shape[1] - 1, 0, -1):
        if above[edge] - last >= step and total - above[edge] >= least:
            found.append(_at(histogram, edge))
            last = int(above[edge])
    return tuple(found)


def reaching(histogram: Counts, what: str, least: float) -> Decisions | None:
    """The highest threshold whose ``sensitivity`` is at least ``least``, or the lowest whose
    ``specificity`` is. Chosen on the patients that it is told of, so it flatters a little."""
    ill, well = int(histogram[1].sum()), int(histogram[0].sum())
    if not ill or not well:
        return None
    above = np.cumsum(histogram[:, ::-1], axis=1)[:, ::-1]
    if what == "sensitivity":
        fit = np.flatnonzero(above[1] >= least * ill - 1e-9)
        return _at(histogram, int(fit.max())) if len(fit) else None
    fit = np.flatnonzero(above[0] <= (1 - least) * well + 1e-9)
    return _at(histogram, int(fit.min())) if len(fit) else None


def _at(histogram: Counts, edge: int) -> Decisions:
    """``edge`` is the first bin that is called ill."""
    below, above = histogram[:, :edge].sum(axis=1), histogram[:, edge:].sum(axis=1)
    mark = float(np.clip(edges()[edge], -30, 30))
    chance = 0.5 * (1 + math.tanh(0.5 * mark))
    return Decisions(chance, int(above[1]), int(below[1]), int(above[0]), int(below[0]))


def useful_range(points: Sequence[Decisions]) -> tuple[float, float] | None:
    """The widest run of thresholds at which the model beats both acting on everybody and acting on
    nobody; None where there is none."""
    best: tuple[float, float] | None = None
    start: float | None = None
    for point in points:
        if point.net_benefit > max(point.everybody, 0.0):
            start = point.threshold if start is None else start
            if best is None or point.threshold - start >= best[1] - best[0]:
                best = (start, point.threshold)
        else:
            start = None
    return best
