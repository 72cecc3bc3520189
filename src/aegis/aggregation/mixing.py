"""Rules that make hospitals more alike before anything is trimmed.

Where honest hospitals hold different patients, their updates differ, and a rule that looks for
outliers hits honest ones. Mixing each update with its neighbours, or with a random other, takes
that difference away and keeps the promise: at most f of the mixed rows are spoilt. One hospital,
one voice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aegis.aggregation import kernels
from aegis.aggregation.combining import Combined, Numbers, RobustRule, Seen, not_finite
from aegis.aggregation.coordinatewise import trimming
from aegis.aggregation.geometry import measured

PAIR = 2


@dataclass(frozen=True)
class NearestMixedTrimmedMean(RobustRule):
    """Each update becomes the mean of its n - f nearest, itself included; then the trimmed mean
    (Allouah et al. 2023). Of equally near neighbours the first names count."""

    ratio: float | None = None

    name: ClassVar[str] = "nnm_trimmed_mean"
    paper: ClassVar[str] = "Allouah et al. 2023, Fixing by mixing"

    def combine(self, seen: Seen) -> Combined:
        trim = trimming(self.name, len(seen.names), self.f, self.ratio)
        return _trimmed(seen, trim, nearest_mixing(seen, self.f))


@dataclass(frozen=True)
class Bucketing(RobustRule):
    """Updates are paired at random, and the pairs' means trimmed by f at each end (Karimireddy et
    al. 2022). The pairs follow from ``seed`` and round."""

    seed: int = 0

    name: ClassVar[str] = "bucketing"
    paper: ClassVar[str] = "Karimireddy et al. 2022, Byzantine-robust learning by bucketing"

    def combine(self, seen: Seen) -> Combined:
        rows = len(seen.names)
        drawn = np.random.Generator(np.random.Philox(key=[self.seed, seen.round])).permutation(rows)
        buckets = np.zeros((-(-rows // PAIR), rows))
        for place, lot in enumerate(drawn):
            buckets[place // PAIR, seen.order[lot]] = 1.0
        buckets /= buckets.sum(axis=1, keepdims=True)
        return _trimmed(seen, trimming(self.name, len(buckets), self.f, None), buckets)


def nearest_mixing(seen: Seen, f: int) -> Numbers:
    """(n, n): row i holds 1/(n - f) for each of the n - f rows nearest to row i."""
    found = measured(seen)
    rows = len(seen.names)
    mixed = np.zeros((rows, rows))
    for row, near in enumerate(found.distances):
        bound = np.partition(near, rows - f - 1)[rows - f - 1]
        surely = [other for other in seen.order if near[other] < bound * (1 - found.error)]
        tied = [o for o in seen.order if abs(near[o] - bound) <= bound * found.error]
        mixed[row, (surely + tied)[: rows - f]] = 1.0 / (rows - f)
    return mixed


def _trimmed(seen: Seen, trim: int, mixed: Numbers) -> Combined:
    try:
        return Combined(kernels.trimmed_mean(seen.updates, trim, mixed))
    except kernels.NotFinite:
        raise not_finite(seen) from None
