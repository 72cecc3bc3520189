"""The whole update of one hospital, clipped and noised before it leaves.

This protects a hospital's data set as a whole: neighbours are ANY two data sets that it might hold,
so two updates differ by up to twice the clip (replace-one), and the noise is drawn for 2C. The
update is clipped, never the weights: what all hospitals know already needs no protection. For
Laplace noise the clip is in L1, where its sensitivity is; an L2 clip would understate it by up to
the root of the number of parameters.

The clipped update is put on the grid towards zero, which shortens it, and noise is added there as
whole steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.privacy.accounting import GaussianRelease, LaplaceRelease
from aegis.privacy.budget import least_noise
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import SystemNoise, on_grid

Shape = Literal["gaussian", "laplace"]


@dataclass(frozen=True)
class LocalUpdate:
    """``multiplier`` is the noise (deviation, or Laplace scale) in units of the sensitivity, which
    is 2 * ``clip``, in L2 for Gaussian noise and in L1 for Laplace noise."""

    clip: float
    multiplier: float
    noise: Shape = "gaussian"

    unit = "the whole data set of one hospital"
    neighbouring = "replaced by any other"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise BadInput(f"privacy.max_grad_norm must be finite and above 0, got {self.clip}")
        _ = self.event

    @classmethod
    def calibrated(
        cls, clip: float, noise: Shape, epsilon: float, delta: float, releases: int
    ) -> LocalUpdate:
        """The least noise with which ``releases`` updates together cost (epsilon, delta)."""
        if noise == "gaussian":
            multiplier = gaussian_sigma(epsilon, delta) * math.sqrt(releases)
        else:
            multiplier = least_noise(
                lambda scale: [LaplaceRelease(scale, releases)], epsilon, delta
            )
        return cls(clip, multiplier, noise)

    @property
    def sensitivity(self) -> float:
        return 2 * self.clip

    @property
    def event(self) -> GaussianRelease | LaplaceRelease:
        """What one update is charged."""
        if self.noise == "gaussian":
            return GaussianRelease(self.multiplier)
        return LaplaceRelease(self.multiplier)

    def clipped(self, update: Vector) -> NDArray[np.float64]:
        """The update, shortened to the clip; ``BadInput`` where it is not finite."""
        exact = np.asarray(update, np.float64)
        norm = float(np.linalg.norm(exact, 2 if self.noise == "gaussian" else 1))
        if not math.isfinite(norm):
            raise BadInput("an update that is not finite cannot be clipped")
        return exact if norm <= self.clip else exact * (self.clip * (1 - 1e-12) / norm)

    def released(self, update: Vector, source: SystemNoise) -> NDArray[np.int64]:
        """The noised update (d,) in whole multiples of the grid; the only form that may leave."""
        scale = self.multiplier * self.sensitivity
        draw = source.gaussian_on_grid if self.noise == "gaussian" else source.laplace_on_grid
        steps: NDArray[np.int64] = on_grid(self.clipped(update)) + draw(scale, len(update))
        return steps
