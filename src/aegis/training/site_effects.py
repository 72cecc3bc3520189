"""Site effects: what makes one hospital differ from the shared model, as far as its rows can tell.

Logistic regression of a hospital: shared logit + a + x . d, with a site intercept a ~ N(0, s_a^2)
and site slopes d ~ N(0, s_d^2 / scale^2), scale being the root mean square of the design, so that
strengths mean the same for every preparation. How strong the effects may be is empirical Bayes: of
a public grid of strengths the hospital takes the one with the greatest evidence, the marginal
likelihood of its rows by Laplace's approximation. So a hospital that is like the others, or that
has too few rows to tell, stays with the shared model ((0, 0) is on the grid), and an odd one leaves
it as far as its rows bear out. Nothing of this leaves the hospital.

The shared model was fitted on these rows too, so the evidence is on the careful side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.training.threads import one_thread

Floats = NDArray[np.float64]
Strength = tuple[float, float]

INTERCEPTS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
SLOPES = (0.0, 0.05, 0.1, 0.2, 0.4)
GRID: tuple[Strength, ...] = tuple((a, d) for d in SLOPES for a in INTERCEPTS)
_STEPS = 25


@dataclass(frozen=True)
class Effects:
    """What is added to the shared model at one hospital. Sensitive: it follows from its rows and
    stays there."""

    intercept: float
    slopes: Floats

    def on(self, design: NDArray[np.floating]) -> Floats:
        """(n,) what is added to the shared logits of these rows."""
        return self.intercept + np.asarray(design, dtype=np.float64) @ self.slopes


def evidence(
    design: NDArray[np.floating], labels: NDArray[np.int64], logits: NDArray[np.floating]
) -> Floats:
    """(len(GRID),) the log evidence of each strength, from one hospital's design (n, d), its labels
    and the shared model's ``logits`` (n,)."""
    rows = _Rows.of(design, labels, logits)
    found = np.zeros(len(GRID))
    if not len(labels):
        return found
    with one_thread():
        at = np.zeros(rows.design.shape[1])
        for number, strength in enumerate(GRID):
            at, found[number] = _fitted(rows, _deviations(rows, strength), at)
    return found


def likeliest(found: Floats) -> Strength:
    """The strength with the greatest evidence; of equals the weaker."""
    return GRID[int(found.argmax())]


def site_effects(
    design: NDArray[np.floating],
    labels: NDArray[np.int64],
    logits: NDArray[np.floating],
    strength: Strength,
) -> Effects:
    """The most probable effects of one hospital under this strength."""
    rows = _Rows.of(design, labels, logits)
    width = rows.design.shape[1]
    if not len(labels) or not any(strength):
        return Effects(0.0, np.zeros(width - 1))
    deviations = _deviations(rows, strength)
    with one_thread():
        at, _ = _fitted(rows, deviations, np.zeros(width))
    effects = at * deviations
    return Effects(float(effects[0]), effects[1:])


@dataclass(frozen=True)
class _Rows:
    """``design`` (n, 1 + d) has a column of ones; ``offset`` is the shared logit."""

    design: Floats
    labels: Floats
    offset: Floats
    scale: float

    @classmethod
    def of(
        cls,
        design: NDArray[np.floating],
        labels: NDArray[np.int64],
        logits: NDArray[np.floating],
    ) -> _Rows:
        wide = np.asarray(design, dtype=np.float64)
        scale = float(np.sqrt(np.mean(wide * wide))) if wide.size else 1.0
        ones = np.ones((len(wide), 1))
        return cls(
            np.hstack([ones, wide]),
            labels.astype(np.float64),
            np.asarray(logits, dtype=np.float64),
            scale or 1.0,
        )


def _deviations(rows: _Rows, strength: Strength) -> Floats:
    deviations = np.full(rows.design.shape[1], strength[1] / rows.scale)
    deviations[0] = strength[0]
    return deviations


def _fitted(rows: _Rows, deviations: Floats, start: Floats) -> tuple[Floats, float]:
    """(effects in units of their deviations, log evidence): Newton on the posterior, from
    ``start``."""
    free = deviations > 0
    at = np.where(free, start, 0.0)
    design = rows.design[:, free] * deviations[free]
    size = design.shape[1]
    value = _posterior(rows, design, at[free])
    for _ in range(_STEPS if size else 0):
        chance = 0.5 * (1 + np.tanh(0.5 * (rows.offset + design @ at[free])))
        gradient = design.T @ (rows.labels - chance) - at[free]
        weighted = design * (chance * (1 - chance))[:, None]
        move = np.linalg.solve(weighted.T @ design + np.eye(size), gradient)
        length = 1.0
        while (tried := _posterior(rows, design, at[free] + length * move)) < value:
            length /= 2
            if length < 1e-9:
                tried = value
                length = 0.0
                break
        at[free] += length * move
        value = tried
        if np.abs(length * move).max(initial=0.0) < 1e-7:
            break
    chance = 0.5 * (1 + np.tanh(0.5 * (rows.offset + design @ at[free])))
    weighted = design * (chance * (1 - chance))[:, None]
    _, volume = np.linalg.slogdet(weighted.T @ design + np.eye(size))
    return at, value - 0.5 * float(volume)


def _posterior(rows: _Rows, design: Floats, at: Floats) -> float:
    z = rows.offset + design @ at
    wrong = np.where(rows.labels == 1, -z, z)
    return -float(np.logaddexp(0.0, wrong).sum()) - 0.5 * float(at @ at)
