"""One attack as a value, what its hospitals see, and the search for the strength that hurts most.

The search is a line search as in ByzFL's optimal attacks (after Shejwalkar and Houmansadr 2021):
the strength whose forged updates move the rule's result furthest from the mean of the honest ones.
It asks the rule itself, with the rule's own memory, so no other rule's weakness is tried by
mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.messages import Vector
from aegis.simulation.attacks.poisoning import Scene
from aegis.tasks.task import Rows

Matrix: TypeAlias = NDArray[np.float64]
Outcome: TypeAlias = Callable[[Matrix], Vector]

_COARSE, _FINE = 9, 3


@dataclass(frozen=True)
class Sight:
    """What the dishonest hospitals see in one round: n - f honest updates (n - f, d), their sums
    over all rounds so far (n - f, d), what they themselves would have sent (f, d), a source of
    randomness for each of them, and what the rule would make of rows (f, d) that they send instead,
    where they know the rule."""

    honest: Matrix
    summed: Matrix
    own: Matrix
    rngs: Sequence[np.random.Generator]
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Attack:
    """``strength`` is the paper's own (None: it follows from n and f). ``searched`` bounds the
    strengths an adaptive attacker tries; a negative lower bound mirrors the upper one."""

    name: str
    says: str
    paper: str
    forge: Callable[[Sight, float | None], Matrix]
    poison: Callable[[Rows, Scene, np.random.Generator], Rows] | None = None
    strength: float | None = 1.0
    searched: tuple[float, float] | None = None
    adaptive: bool = False

    def made_adaptive(self) -> Attack:
        return replace(self, adaptive=True)


def malicious(attack: Attack, sight: Sight) -> Matrix:
    """The rows (f, d) that the dishonest hospitals send."""
    strength = attack.strength
    if attack.adaptive and attack.searched is not None and sight.outcome is not None:
        strength = strongest(attack, sight, sight.outcome)
    return attack.forge(sight, strength)


def strongest(attack: Attack, sight: Sight, outcome: Outcome) -> float:
    """The strength within ``searched`` that does most damage, found on a geometric grid and then
    between its neighbours."""
    assert attack.searched is not None
    low, high = attack.searched
    least = low if low > 0 else high / 1000
    grid = np.geomspace(least, high, _COARSE)
    if low < 0:
        grid = np.concatenate([-grid[::-1], grid])
    mean = sight.honest.mean(axis=0)

    def damage(strength: float) -> float:
        moved = outcome(attack.forge(sight, strength)) - mean
        return float(np.linalg.norm(moved))

    found = [damage(strength) for strength in grid]
    best = int(np.argmax(found))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    tried = [(found[best], float(grid[best]))]
    tried += [(damage(s), float(s)) for s in np.linspace(*around, _FINE + 2)[1:-1]]
    return max(tried)[1]
