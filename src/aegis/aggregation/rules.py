"""Rules: an (n, d) matrix of updates and n weights become one vector.

A rule is a frozen value. It says what it ``needs`` to see: ``sum`` (a weighted sum is enough, so a
masked sum will do) or ``updates`` (each one), and the smallest number of updates for which it makes
sense.
Sums run in float64, row after row in the order given, so the result does not depend on the number
of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, RunAborted
from aegis.messages import Vector

BLOCK = 1 << 14


class Rule(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def needs(self) -> Literal["sum", "updates"]: ...
    @property
    def smallest(self) -> int: ...
    def __call__(self, updates: NDArray[np.floating], weights: NDArray[np.floating]) -> Vector: ...


@dataclass(frozen=True)
class FedAvg:
    """The weighted mean, sum(w_i u_i) / sum(w_i) (McMahan et al. 2017)."""

    name: str = "fedavg"
    needs: Literal["sum", "updates"] = "sum"
    smallest: int = 1

    def __call__(self, updates: NDArray[np.floating], weights: NDArray[np.floating]) -> Vector:
        """``updates`` (n, d), ``weights`` (n,) of at least 0 with a positive sum; float64 (d,)."""
        total = float(np.sum(weights))
        if len(updates) == 0 or not total > 0:
            raise RunAborted("no update carries any example", "a mean needs at least one row")
        shares = np.asarray(weights, dtype=np.float64)[:, None] / total
        mean = np.empty(updates.shape[1])
        for at in range(0, updates.shape[1], BLOCK):
            block = updates[:, at : at + BLOCK]
            mean[at : at + BLOCK] = np.add.reduce(block * shares, axis=0, dtype=np.float64)
        return mean


RULES = {"fedavg": FedAvg}


def rule(name: str) -> Rule:
    """The rule a plan calls ``name``."""
    if name not in RULES:
        raise BadInput(f"no rule is called {name}", f"there are {', '.join(RULES)}")
    return RULES[name]()
