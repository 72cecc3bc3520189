"""Rules that decide each coordinate by itself: one hospital, one voice, whatever it claims.

The result lies, coordinate by coordinate, between the values of honest hospitals. What that costs
without an attacker grows with how different the hospitals are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aegis.aggregation import kernels
from aegis.aggregation.combining import Combined, RobustRule, Seen, not_finite
from aegis.aggregation.conditions import trimmed
from aegis.errors import RunAborted


@dataclass(frozen=True)
class Median(RobustRule):
    """The median of each coordinate (Yin et al. 2018)."""

    name: ClassVar[str] = "median"
    paper: ClassVar[str] = "Yin et al. 2018, Byzantine-robust distributed learning"

    def combine(self, seen: Seen) -> Combined:
        try:
            return Combined(kernels.median(seen.updates))
        except kernels.NotFinite:
            raise not_finite(seen) from None


@dataclass(frozen=True)
class TrimmedMean(RobustRule):
    """The mean of each coordinate without its f least and f greatest values (Yin et al. 2018).
    ``ratio`` trims at least so large a share of the updates at each end, rounded up."""

    ratio: float | None = None

    name: ClassVar[str] = "trimmed_mean"
    paper: ClassVar[str] = "Yin et al. 2018, Byzantine-robust distributed learning"

    def combine(self, seen: Seen) -> Combined:
        trim = trimming(self.name, len(seen.names), self.f, self.ratio)
        try:
            return Combined(kernels.trimmed_mean(seen.updates, trim))
        except kernels.NotFinite:
            raise not_finite(seen) from None


def trimming(rule: str, updates: int, f: int, ratio: float | None) -> int:
    """How many are cut at each end; raises ``RunAborted`` where nothing would be left."""
    trim = trimmed(updates, f, ratio)
    if 2 * trim >= updates:
        raise RunAborted(
            f"{rule} would trim {trim} of {updates} updates at each end",
            "at least one must be left",
            "Lower robust_aggregation.trim_ratio or num_byzantine, or wait for more hospitals",
        )
    return trim
