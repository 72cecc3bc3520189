"""Does the model serve groups of patients alike? Gaps between groups, their intervals, a verdict.

    accuracy parity      the gap between the groups' accuracies
    demographic parity   the gap between the shares that are called ill
    equalised odds       the wider of two gaps: among the ill, the shares that are found; among the
                         well, the shares of false alarms (Hardt, Price and Srebro 2016)
    disparate impact     the smallest share called ill over the largest
    calibration          the gap between the groups' errors of the mean predicted chance

A gap is the largest figure minus the smallest, so chance alone opens one: beside each stands how
wide it would be in 95 of 100 repetitions among groups of these sizes that are served alike. The
plan's two thresholds decide what counts as a violation. The others are told and decide nothing: a
group that is ill more often is rightly called ill more often, so demographic parity and disparate
impact are no aims of a diagnosis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from aegis.assurance.groups import Group, Spread
from aegis.evaluation.intervals import Interval
from aegis.evaluation.rates import Share, difference, gap_by_chance, ratio
from aegis.tasks.preparation import MINIMUM_CELL

Measure: TypeAlias = Literal[
    "accuracy_parity", "demographic_parity", "equalised_odds", "disparate_impact", "calibration"
]
FOUR_FIFTHS = (0.8, 1.25)
"""The bounds on disparate impact that are commonly quoted; for orientation."""
FOUND, ALARMS = "found, of those with the condition", "false alarms, of those without"


class Thresholds(Protocol):
    """The plan's ``fairness.thresholds``."""

    @property
    def accuracy_parity(self) -> float: ...
    @property
    def hospital_variance(self) -> float: ...


@dataclass(frozen=True)
class Gap:
    """``value`` is that of group ``high`` minus (for ``disparate_impact``: ``low`` over ``high``)
    that of group ``low``. ``by_chance`` is None where it was not worked out; ``of`` says among whom
    equalised odds are widest."""

    value: float
    interval: Interval
    high: str
    low: str
    by_chance: float | None = None
    of: str = ""


@dataclass(frozen=True)
class Violation:
    attribute: str
    measure: Literal["accuracy_parity", "hospital_variance"]
    value: float
    threshold: float
    gap: Gap | None = None

    @property
    def may_be_chance(self) -> bool:
        """Whether groups that are served alike would show this much in more than 5 of 100."""
        gap = self.gap
        return gap is not None and gap.by_chance is not None and gap.value <= gap.by_chance


def fairness_gaps(
    groups: Sequence[Group],
    minimum: int = MINIMUM_CELL,
    told: Mapping[str, tuple[bool, bool]] | None = None,
) -> dict[Measure, Gap | None]:
    """Each measure over these groups; None where fewer than two have ``minimum`` patients whom it
    is about. ``told`` says of each group whether rates among its ill and among its well may be
    told; those that may not are left out."""
    ill = [g for g in groups if told is None or told[g.name][0]]
    well = [g for g in groups if told is None or told[g.name][1]]
    both = [g for g in groups if told is None or all(told[g.name])]
    odds = [
        _gap(ill, lambda g: (g.true_positives, g.positives), minimum, FOUND),
        _gap(well, lambda g: (g.false_positives, g.negatives), minimum, ALARMS),
    ]
    return {
        "accuracy_parity": _gap(groups, lambda g: (g.right, g.examples), minimum),
        "demographic_parity": _gap(groups, lambda g: (g.called, g.examples), minimum),
        "equalised_odds": max(
            (gap for gap in odds if gap), key=lambda gap: gap.value, default=None
        ),
        "disparate_impact": _impact(groups, minimum),
        "calibration": _calibration(both, minimum),
    }


def violations(
    gaps: Mapping[str, Mapping[Measure, Gap | None]], spread: Spread | None, thresholds: Thresholds
) -> tuple[Violation, ...]:
    """What exceeds the thresholds: accuracy parity by attribute (widest first), then the variance
    of accuracy between hospitals."""
    found = [
        Violation(attribute, "accuracy_parity", gap.value, thresholds.accuracy_parity, gap)
        for attribute, measured in gaps.items()
        if (gap := measured["accuracy_parity"]) is not None
        and gap.value > thresholds.accuracy_parity
    ]
    found.sort(key=lambda violation: -violation.value)
    if spread is not None and spread.variance > thresholds.hospital_variance:
        limit = thresholds.hospital_variance
        found.append(Violation("hospital", "hospital_variance", spread.variance, limit))
    return tuple(found)


def _gap(
    groups: Sequence[Group], share: Callable[[Group], Share], minimum: int, of: str = ""
) -> Gap | None:
    there = [(share(group), group.name) for group in groups if share(group)[1] >= minimum]
    if len(there) < 2:
        return None
    low = min(there, key=lambda one: one[0][0] / one[0][1])
    high = max(there, key=lambda one: one[0][0] / one[0][1])
    (won, tried), (won_low, tried_low) = high[0], low[0]
    trials = np.array([trials for (_, trials), _ in there])
    together = sum(successes for (successes, _), _ in there) / float(trials.sum())
    return Gap(
        won / tried - won_low / tried_low,
        difference(high[0], low[0]),
        high[1],
        low[1],
        gap_by_chance(trials, together),
        of,
    )


def _impact(groups: Sequence[Group], minimum: int) -> Gap | None:
    there = [group for group in groups if group.examples >= minimum]
    if len(there) < 2 or not any(group.called for group in there):
        return None
    low = min(there, key=lambda group: group.called / group.examples)
    high = max(there, key=lambda group: group.called / group.examples)
    less, more = (low.called, low.examples), (high.called, high.examples)
    value = (less[0] / less[1]) / (more[0] / more[1])
    return Gap(value, ratio(less, more), high.name, low.name)


def _calibration(groups: Sequence[Group], minimum: int) -> Gap | None:
    """Of the errors (observed share of ill minus mean predicted chance); the predictions are taken
    as they are, so the interval is that of the two observed shares."""
    there = [g for g in groups if g.examples >= minimum and g.chances is not None]
    if len(there) < 2:
        return None
    low, high = min(there, key=miscalibration), max(there, key=miscalibration)
    value = miscalibration(high) - miscalibration(low)
    seen, less = (high.positives, high.examples), (low.positives, low.examples)
    bounds = difference(seen, less)
    moved = value - (seen[0] / seen[1] - less[0] / less[1])
    return Gap(value, (bounds[0] + moved, bounds[1] + moved), high.name, low.name)


def miscalibration(group: Group) -> float:
    """Observed share of the ill minus mean predicted chance; NaN where chances are not known."""
    if group.chances is None or not group.examples:
        return math.nan
    return (group.positives - group.chances) / group.examples
