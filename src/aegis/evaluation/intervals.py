"""How sure a figure is: bootstrap intervals from histograms, Wilson's for a share.

Patients are drawn anew within each hospital, as many as it has, so that hospitals keep their weight
(a stratified percentile bootstrap, Efron 1979). Hospitals with hardly a row are drawn from
together: within one of them there is nothing to draw, and the interval would be a point. What a
histogram knows of its patients is enough to do so without seeing one. Differences between two
models are taken on the same patients, because patients that both get right or both get wrong say
nothing about which is better.

Where counts are noisy, what is drawn lies about the signed counts themselves, with the patients'
chance and the noise in it, and each draw is made whole as the sum is that the figure is of
(``evaluation.whole``). Whoever made draws about counts that are whole already would add the noise
to an estimate that the noise has moved: the interval would be wide and beside the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.evaluation.metrics import DECIDED, RANKED, values
from aegis.evaluation.whole import TN, TP, kinds, whole_kinds

Over: TypeAlias = Literal["pooled", "hospitals"]
Interval: TypeAlias = tuple[float, float]

DRAWN_AT_ONCE = 1_000_000
LEAST_ROWS = 10  # of a hospital that patients are drawn within


def interval(
    histograms: Sequence[NDArray[np.int64]] | NDArray[np.int64],
    metric: str,
    *,
    over: Over = "pooled",
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    noise: Sequence[float] = (),
) -> Interval | None:
    """The interval of ``metric`` over hospitals' histograms, each (2, 1000), or their tableaus of
    more classes. ``noise`` is the standard deviation that each hospital added to its counts, which
    it moved to add up to its rows; where one did, every figure is of two bins. Of noisy tableaus
    there is no interval, and of a mean over noisy hospitals only that of accuracy.

    ``over`` takes the metric of all rows together (``pooled``) or the unweighted mean of the
    hospitals' own (``hospitals``; a hospital without the metric is left out). None where the metric
    does not exist, and for such a mean where most hospitals have hardly a row. Log-loss is no
    function of a histogram: asking for it is a ``BadInput``.
    """
    from aegis.evaluation.classes import class_interval, is_tableau

    if len(histograms) and is_tableau(histograms[0]):
        if any(noise):
            return None
        return class_interval(list(histograms), metric, over, level, draws, seed)
    if metric not in DECIDED + RANKED:
        raise BadInput(
            f"no interval of {metric}", f"there are intervals of {', '.join(DECIDED + RANKED)}"
        )
    stack = np.asarray(histograms, dtype=np.int64)
    there = stack.sum(axis=(1, 2)) > 0
    stack = stack[there]
    if len(stack) == 0:
        return None
    if over == "hospitals" and most_are_small(stack):
        return None
    rng = np.random.default_rng(seed)
    if any(noise):
        return _noisy(kinds(stack), np.asarray(noise)[there], metric, over, level, draws, rng)
    if over == "pooled":
        stack = strata(stack)
    if metric in DECIDED:
        return percentiles(_decided(stack, metric, over, draws, rng), level)
    if over == "pooled":
        return percentiles(_ranked(stack, metric, draws, rng), level)
    return percentiles(_mean([_ranked(one[None], metric, draws, rng) for one in stack]), level)


def paired_difference(
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """(difference, low, high) of two accuracies on the same rows: ``ours`` minus ``theirs``, each
    (n,) true where that model was right."""
    if ours.shape != theirs.shape or ours.size == 0:
        raise BadInput(
            f"{ours.shape} and {theirs.shape} rows cannot be paired",
            "both models must have judged the same rows",
        )
    rows = ours.size
    won, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    rng = np.random.default_rng(seed)
    again = rng.multinomial(rows, np.array([won, lost, rows - won - lost]) / rows, size=draws)
    bounds = percentiles((again[:, 0] - again[:, 1]) / rows, level)
    assert bounds is not None
    return (won - lost) / rows, *bounds


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The score interval of a share (Wilson 1927); (0, 1) where nothing was tried."""
    if not 0 <= successes <= trials:
        raise BadInput(f"{successes} of {trials} is no share")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials)
    reach *= float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)))
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == trials else centre + reach
    return float(low), float(high)


def strata(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(H, ...) counts of hospitals, those of fewer than ``LEAST_ROWS`` rows added up to one."""
    small = _rows(counts) < LEAST_ROWS
    if small.sum() < 2:
        return counts
    return np.concatenate([counts[~small], counts[small].sum(axis=0, keepdims=True)])


def most_are_small(counts: NDArray[np.int64]) -> bool:
    return bool(2 * (_rows(counts) < LEAST_ROWS).sum() > len(counts))


def _rows(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(counts.reshape(len(counts), -1).sum(axis=1))


def _noisy(
    signed: NDArray[np.int64],
    noise: NDArray[np.float64],
    metric: str,
    over: Over,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> Interval | None:
    """Of signed counts (hospitals, 4), which were rounded after their noise. The interval of a
    ratio holds what the ratio of the whole counts is."""
    variance = np.where(noise > 0, noise**2 + 1 / 12, 0.0)
    if over == "pooled":
        signed, variance = signed.sum(axis=0, keepdims=True), variance.sum(keepdims=True)
    elif metric != "accuracy":
        return None
    rows = signed.sum(axis=1)
    shares = whole_kinds(signed, rows) / rows[:, None]
    chance = rng.multinomial(rows, shares, size=(draws, len(rows))) - rows[:, None] * shares
    added = rng.normal(size=chance.shape) * np.sqrt(variance)[:, None]
    drawn = signed + chance + added - added.mean(axis=-1, keepdims=True)
    if over == "hospitals":
        means = ((drawn[..., TN] + drawn[..., TP]) / rows).mean(axis=1)
        return percentiles(np.clip(means, 0.0, 1.0), level)
    found = whole_kinds(drawn[:, 0], rows[0]).reshape(draws, 2, 2)
    bounds = percentiles(values(found, metric, half=1), level)
    shown = float(values(whole_kinds(signed[0], rows[0]).reshape(2, 2), metric, half=1))
    if bounds is None or np.isnan(shown):
        return None
    return min(bounds[0], shown), max(bounds[1], shown)


def _decided(
    stack: NDArray[np.int64], metric: str, over: Over, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(draws,) A decision knows four kinds of patient, so four counts a hospital are drawn."""
    counts = kinds(stack)
    rows = counts.sum(axis=1)
    drawn = rng.multinomial(rows, counts / rows[:, None], size=(draws, len(stack)))
    drawn = drawn.reshape(draws, len(stack), 2, 2)
    if over == "pooled":
        return values(drawn.sum(axis=1), metric, half=1)
    return _mean(list(values(drawn, metric, half=1).T))


def _ranked(
    stack: NDArray[np.int64], metric: str, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(draws,) The metric of all rows together, rows drawn within each hospital of ``stack``: one
    by one, or by their counts where they are very many and would take memory each."""
    occupied: NDArray[np.bool_] = stack.sum(axis=(0, 1)) > 0
    counts = stack[..., occupied]
    cells = counts[0].size
    if stack.sum() > DRAWN_AT_ONCE:
        return _ranked_by_counts(counts, metric, draws, rng)
    owner, cell = np.nonzero(counts.reshape(len(stack), cells))
    cell = np.repeat(cell, counts.reshape(len(stack), cells)[owner, cell])
    rows = stack.sum(axis=(1, 2))
    size = np.repeat(rows, rows).astype(np.float64)
    start = np.repeat(np.cumsum(rows) - rows, rows)
    found = []
    at_once = max(1, DRAWN_AT_ONCE // len(cell))
    for done in range(0, draws, at_once):
        some = min(at_once, draws - done)
        picked = (rng.random((some, len(cell))) * size).astype(np.intp) + start
        where = cell[picked] + np.arange(some)[:, None] * cells
        drawn = np.bincount(where.reshape(-1), minlength=some * cells)
        found.append(values(drawn.reshape(some, *counts.shape[1:]), metric))
    return np.concatenate(found)


def _ranked_by_counts(
    counts: NDArray[np.int64], metric: str, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    flat = counts.reshape(len(counts), -1)
    drawn = np.zeros((draws, flat.shape[1]), dtype=np.int64)
    for one in flat:
        there = np.flatnonzero(one)
        drawn[:, there] += rng.multinomial(one.sum(), one[there] / one.sum(), size=draws)
    return values(drawn.reshape(draws, *counts.shape[1:]), metric)


def _mean(found: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over hospitals of each draw, leaving out hospitals without a value in it."""
    there = sum((~np.isnan(one)).astype(np.float64) for one in found)
    total = sum(np.nan_to_num(one) for one in found)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / there, dtype=np.float64)


def percentiles(found: NDArray[np.float64], level: float) -> Interval | None:
    """The interval that holds ``level`` of these draws (n,), NaN left out."""
    there = found[~np.isnan(found)]
    if len(there) == 0:
        return None
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
