"""What a hospital computes under the noise-level rule, noise included: nothing here leaves bare.

The sums are those of ``aegis.privacy.dpgd``; this module joins them to the rows, the model's layout
(coefficients, then bias) and the hospital's share of the noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aegis.messages import Vector
from aegis.privacy.dpgd import INTERCEPT, DpGdSchedule, statistics_sum
from aegis.privacy.noise import off_grid
from aegis.tasks.bounded import Bounded
from aegis.tasks.task import Rows
from aegis.training.engines import GradientSum, clipped_gradient_sum

Noise = Callable[[float, int], NDArray[np.int64]]


def noisy_statistics(
    prepared: Bounded, rows: Rows, plan: DpGdSchedule, hospitals: int, noise: Noise
) -> NDArray[np.float64]:
    """(2d,) sums of mapped columns and their squares, with this hospital's share of noise."""
    sums = statistics_sum(prepared.mapped(rows))
    return off_grid(sums + noise(plan.statistics_sd * plan.share(hospitals), len(sums)))


def noisy_gradient(
    design: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: Vector,
    plan: DpGdSchedule,
    hospitals: int,
    noise: Noise,
    summed: GradientSum = clipped_gradient_sum,
) -> NDArray[np.float64]:
    """(d + 1,) the sum of the clipped gradients of ``design`` (n, d) at ``weights``, with this
    hospital's share of noise: whole steps of the grid."""
    inner = np.append(weights[:-1], weights[-1] / INTERCEPT)
    total = summed(design, labels, inner, plan.clip)
    return off_grid(total + noise(plan.noise_sd * plan.share(hospitals), len(total)))
