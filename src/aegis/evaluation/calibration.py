"""Can predicted chances be believed? Read from score histograms, without any patient's score.

A model is calibrated where of the patients given a chance of 30 % about 30 in 100 are ill. The plot
puts patients into classes of equal size by predicted chance. Logistic recalibration (Cox 1958) fits
logit(chance) = intercept + slope * logit(predicted) by maximum likelihood: intercept 0 and slope 1
are perfect; a slope under 1 says that predictions are too extreme. The same two numbers mend the
model at one hospital. Whether they would is judged on patients whom they were not fitted on, by
dealing the counts of the histogram to folds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.evaluation.histogram import edges
from aegis.evaluation.intervals import Interval, wilson

CLASSES, LEAST = 10, 20
FOLDS, REPEATS = 5, 2
WIDTH = 1.959964
MOST_UNSURE = 1.0  # a standard error of the slope beyond which it says nothing
MOST_DEALT = 1_000_000  # one by one
_STEPS = 50

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Class:
    """Patients of about one predicted chance: ``expected`` is the mean predicted, ``observed`` the
    share that is ill."""

    examples: int
    expected: float
    observed: float
    interval: Interval


@dataclass(frozen=True)
class Recalibration:
    """``at_large`` is the intercept where the slope is held at 1 (calibration in the large).
    Intervals are 95 % by the curvature of the likelihood. ``gain`` is the log-loss per patient that
    recalibration saves on patients it was not fitted on, with its interval; None where a fold had
    one class only."""

    examples: int
    intercept: float
    intercept_interval: Interval
    slope: float
    slope_interval: Interval
    at_large: float
    at_large_interval: Interval
    gain: float | None
    gain_interval: Interval | None

    def logit(self, predicted: Floats) -> Floats:
        return self.intercept + self.slope * predicted


def middles() -> Floats:
    """(1000,) the logit in the middle of each bin."""
    marks = edges()
    return (marks[1:] + marks[:-1]) / 2


def classes(histogram: Counts, most: int = CLASSES, least: int = LEAST) -> tuple[Class, ...]:
    """The points of the calibration plot: at most ``most`` classes of nearly equal size, each of
    ``least`` patients or more; fewer patients than that make no class."""
    per_bin = histogram.sum(axis=0)
    total = int(per_bin.sum())
    wanted = min(most, total // least)
    if wanted < 1:
        return ()
    chance = 0.5 * (1 + np.tanh(0.5 * middles()))
    upto = np.cumsum(per_bin)
    # A bin is never split: it belongs to the class in which its middle patient stands.
    owner = np.minimum((upto - per_bin / 2) * wanted // total, wanted - 1).astype(np.int64)
    found: list[Class] = []
    waiting = np.zeros(len(per_bin), dtype=bool)
    for number in range(wanted):
        waiting |= owner == number
        ill = int(histogram[1, waiting].sum())
        n = int(per_bin[waiting].sum())
        if n < least:
            continue
        expected = float((chance[waiting] * per_bin[waiting]).sum() / n)
        found.append(Class(n, expected, ill / n, wilson(ill, n)))
        waiting[:] = False
    return tuple(found)


def expected_and_observed(histogram: Counts) -> tuple[float, float] | None:
    """Mean predicted chance and share of the ill; None without patients."""
    total = int(histogram.sum())
    if not total:
        return None
    chance = 0.5 * (1 + np.tanh(0.5 * middles()))
    expected = float((chance * histogram.sum(axis=0)).sum() / total)
    return expected, int(histogram[1].sum()) / total


def brier(histogram: Counts) -> float | None:
    """The mean squared error of the predicted chances."""
    total = int(histogram.sum())
    if not total:
        return None
    chance = 0.5 * (1 + np.tanh(0.5 * middles()))
    return float((histogram[0] * chance**2 + histogram[1] * (1 - chance) ** 2).sum() / total)


def recalibrate(histogram: Counts, least: int = 10) -> Recalibration | str:
    """Intercept and slope of one histogram (2, 1000), or the reason why there are none: fewer than
    ``least`` ill or well patients, or scores that tell them apart (almost) without a mistake."""
    cells = _Cells.of(histogram)
    if cells.well.sum() < least or cells.ill.sum() < least:
        return f"fewer than {least} patients with or without the condition"
    both, large = _fit(cells, slope=True), _fit(cells, slope=False)
    if both is None or large is None:
        return "the scores tell these patients apart without a mistake"
    (intercept, slope), spread = both
    if spread[1] > MOST_UNSURE:
        return "too few mistakes to tell how far the chances are off"
    (at_large, _), alone = large
    gain = _gain(cells, (intercept, slope))
    return Recalibration(
        int(histogram.sum()),
        intercept,
        _around(intercept, spread[0]),
        slope,
        _around(slope, spread[1]),
        at_large,
        _around(at_large, alone[0]),
        None if gain is None else gain[0],
        None if gain is None else _around(gain[0], gain[1]),
    )


@dataclass(frozen=True)
class _Cells:
    """The bins that hold anybody: their logits, and how many are well and ill."""

    logit: Floats
    well: NDArray[np.int64]
    ill: NDArray[np.int64]

    @classmethod
    def of(cls, histogram: Counts) -> _Cells:
        there = histogram.sum(axis=0) > 0
        return cls(middles()[there], histogram[0, there], histogram[1, there])


def _fit(
    cells: _Cells, slope: bool, start: tuple[float, float] = (0.0, 1.0)
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """((intercept, slope), their standard errors) by Newton's method from ``start``; None where the
    likelihood has no top."""
    at, z, n = np.array(start), cells.logit, (cells.well + cells.ill).astype(np.float64)
    best = _log_likelihood(cells, at)
    for _ in range(_STEPS):
        chance = 0.5 * (1 + np.tanh(0.5 * (at[0] + at[1] * z)))
        wrong, weight = cells.ill - n * chance, n * chance * (1 - chance)
        # The curvature is [[a, b], [b, c]]; without a slope only a counts.
        a, b, c = float(weight.sum()), float(weight @ z), float(weight @ (z * z))
        left = a * c - b * b if slope else a
        if not left > 1e-10 * (a * c if slope else float(n.sum())):
            return None
        up, along = float(wrong.sum()), float(wrong @ z)
        move = (
            np.array([c * up - b * along, a * along - b * up]) / left
            if slope
            else np.array([up / left, 0.0])
        )
        for half in range(30):
            tried = at + move / 2**half
            value = _log_likelihood(cells, tried)
            if value >= best - 1e-12 * abs(best):
                break
        at, best = tried, value
        if np.abs(at).max() > 1e3:
            return None
        if np.abs(move).max() < 1e-9:
            spread = (math.sqrt(c / left), math.sqrt(a / left)) if slope else (left**-0.5, 0.0)
            return (float(at[0]), float(at[1])), spread
    return None


def _log_likelihood(cells: _Cells, at: Floats) -> float:
    z = at[0] + at[1] * cells.logit
    return -float((cells.ill * np.logaddexp(0, -z) + cells.well * np.logaddexp(0, z)).sum())


def _gain(cells: _Cells, start: tuple[float, float]) -> tuple[float, float] | None:
    """(mean, standard error) of what each patient's log-loss falls by, fitted on other folds."""
    rng = np.random.default_rng(0)
    before = np.stack([np.logaddexp(0, cells.logit), np.logaddexp(0, -cells.logit)])
    total = int(cells.well.sum() + cells.ill.sum())
    sums, squares = 0.0, 0.0
    for _ in range(REPEATS):
        for well, ill in _dealt(cells, rng):
            rest = _Cells(cells.logit, cells.well - well, cells.ill - ill)
            fitted = _fit(rest, slope=True, start=start)
            if fitted is None:
                return None
            z = fitted[0][0] + fitted[0][1] * cells.logit
            saved = before - np.stack([np.logaddexp(0, z), np.logaddexp(0, -z)])
            sums += float((well * saved[0] + ill * saved[1]).sum())
            squares += float((well * saved[0] ** 2 + ill * saved[1] ** 2).sum())
    mean = sums / (REPEATS * total)
    variance = max(squares / (REPEATS * total) - mean * mean, 0.0)
    return mean, math.sqrt(variance / total)


def _dealt(
    cells: _Cells, rng: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The patients dealt to folds at random, as (well, ill) by bin. Ill and well are dealt as one:
    folds with equal shares of the ill would tell the intercept what it is to be judged on. Of very
    many, each bin by itself: folds are of nearly one size anyway."""
    both = np.concatenate([cells.well, cells.ill])
    if both.sum() > MOST_DEALT:
        dealt = list(rng.multinomial(both, np.full(FOLDS, 1 / FOLDS)).T)
    else:
        owner = np.repeat(np.arange(len(both)), both)
        fold = rng.permutation(len(owner)) % FOLDS
        dealt = [np.bincount(owner[fold == n], minlength=len(both)) for n in range(FOLDS)]
    half = len(cells.well)
    return [(one[:half], one[half:]) for one in dealt]


def _around(value: float, spread: float) -> Interval:
    return value - WIDTH * spread, value + WIDTH * spread
