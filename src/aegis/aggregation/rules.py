"""Rules: an (n, d) matrix of updates and n numbers of examples become one vector.

    combine = rule("centered_clipping", f=2)
    found = combine(updates, examples, Context(names, round, memory))
    weights, memory = weights + found.vector, found.memory

Each is a frozen value that names its paper, says what it ``needs`` to see and how many updates it
needs at least to withstand its f. Too few is an error: no rule is ever replaced by a weaker one,
and no count that a rule trims rounds down to nothing. How examples count: fully in the mean; in
Multi-Krum and FoolsGold up to three times their median; nowhere else, where each hospital has one
voice, since a number that nobody can check must not outweigh the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation import kernels
from aegis.aggregation.centers import CenteredClipping, GeometricMedian
from aegis.aggregation.combining import (
    FIRST,
    Combined,
    Context,
    Matrix,
    Rule,
    admit,
    not_finite,
)
from aegis.aggregation.coordinatewise import Median, TrimmedMean
from aegis.aggregation.foolsgold import FoolsGold
from aegis.aggregation.mixing import Bucketing, NearestMixedTrimmedMean
from aegis.aggregation.selection import Bulyan, Krum, MultiKrum
from aegis.errors import BadInput


@dataclass(frozen=True)
class FedAvg:
    """The weighted mean, sum(w_i u_i) / sum(w_i) (McMahan et al. 2017). Withstands nobody."""

    name: ClassVar[str] = "fedavg"
    paper: ClassVar[str] = "McMahan et al. 2017, Communication-efficient learning"
    needs: ClassVar[Literal["sum", "updates"]] = "sum"
    f: ClassVar[int] = 0
    smallest: ClassVar[int] = 1

    def __call__(
        self, updates: Matrix, weights: NDArray[np.floating], context: Context = FIRST
    ) -> Combined:
        """``updates`` (n, d), ``weights`` (n,) of at least 0 with a positive sum."""
        seen = admit(self, updates, weights, context)
        shares = seen.weights / seen.weights.sum()
        try:
            return Combined(kernels.weighted_sum(seen.updates, shares), shares=shares)
        except kernels.NotFinite:
            raise not_finite(seen) from None


RULES: Mapping[str, type[Rule]] = {
    kind.name: kind
    for kind in (
        FedAvg,
        Median,
        TrimmedMean,
        Krum,
        MultiKrum,
        Bulyan,
        FoolsGold,
        CenteredClipping,
        GeometricMedian,
        NearestMixedTrimmedMean,
        Bucketing,
    )
}


def rule(
    name: str,
    *,
    f: int = 0,
    trim_ratio: float | None = None,
    multi_krum_k: int | None = None,
    seed: int = 0,
) -> Rule:
    """The rule that a plan calls ``name``, withstanding ``f``; the other keys are the plan's, and
    each is taken by the rules it is about."""
    match name:
        case "fedavg":
            return FedAvg()
        case "median":
            return Median(f)
        case "trimmed_mean":
            return TrimmedMean(f, trim_ratio)
        case "krum":
            return Krum(f)
        case "multi_krum":
            return MultiKrum(f, multi_krum_k)
        case "bulyan":
            return Bulyan(f)
        case "foolsgold":
            return FoolsGold(f, seed)
        case "centered_clipping":
            return CenteredClipping(f)
        case "geometric_median":
            return GeometricMedian(f)
        case "nnm_trimmed_mean":
            return NearestMixedTrimmedMean(f, trim_ratio)
        case "bucketing":
            return Bucketing(f, seed)
        case _:
            raise BadInput(f"no rule is called {name}", f"there are {', '.join(RULES)}")


__all__ = ["RULES", "Combined", "Context", "FedAvg", "Rule", "rule"]
