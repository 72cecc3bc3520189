"""The stacked engine with differential privacy in every step: DP-SGD for many hospitals at once.

Layout, cohorts and optimizers are those of ordinary training. What differs is where batches come
from (every row tosses its own coin, by the operating system), that each row's gradient is shortened
before it is added, and that a step sees the sum with noise only. Nothing else that is computed here
leaves: no loss is measured, and units are dropped by secret coins, as masks that everybody can work
out would tie each row's gradient to who stands before it.

Gradients are counted in clips, so that one row weighs 1 at most, and the sum is put on the grid of
2^-24 before noise is added in whole steps. A batch so large that rounding of 32-bit sums could
outweigh the room that clipping leaves for it is trained in 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.privacy.dpsgd import ROUNDING_ROOM, DpSgd, clip_factors, poisson_stack
from aegis.privacy.noise import GRID, SystemNoise
from aegis.tasks.models import Perceptron
from aegis.training.batched import StackedTrainer
from aegis.training.cohort import Cohort, Float, Piece
from aegis.training.descent import Descent
from aegis.training.layout import Array, Part
from aegis.training.trainer import Job, Settings, Trained

_WINDOW = 1 << 19  # numbers of gathered rows, or coins, at a time
_LANES = 8  # a step's places are a multiple of it, so that few widths are met


class PrivateTrainer(StackedTrainer):
    """For jobs with ``private``; their ``loss`` is NaN. ``noise`` serves all of them, coins too;
    ``dtype`` replaces the model's own."""

    def __init__(
        self, noise: SystemNoise | None = None, dtype: type[np.floating] | None = None
    ) -> None:
        super().__init__(dtype)
        self._noise = noise or SystemNoise()

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        found = super().train_many(jobs)
        return [replace(one, private=job.private) for one, job in zip(found, jobs, strict=True)]

    def _cohort(
        self, model: Perceptron, settings: Settings, width: int, jobs: list[Job], dtype: Float
    ) -> Cohort:
        longest = width + 3 * math.sqrt(width)
        if 2 * longest**2 * np.finfo(dtype).eps > ROUNDING_ROOM:
            dtype = np.dtype(np.float64)
        cohort = self._cohorts.of(model, settings, width, jobs, dtype)
        for job, steps in zip(jobs, cohort.steps.tolist(), strict=True):
            if _mechanism(job).steps != steps:
                raise BadInput(
                    f"{job.hospital} is charged for {_mechanism(job).steps} steps",
                    f"the plan makes it take {steps}",
                )
        return cohort

    def _descended(
        self,
        model: Perceptron,
        piece: Piece,
        cohort: Cohort,
        settings: Settings,
        jobs: list[Job],
        start: Array,
    ) -> Part:
        mechanisms = [_mechanism(job) for job in jobs]
        clips = np.array([m.clip for m in mechanisms], cohort.table.dtype)[:, None, None]
        expected = [m.expected_batch(len(j.labels)) for m, j in zip(mechanisms, jobs, strict=True)]
        stack = self._stack(model, cohort.width, cohort)
        stack.weights[: len(jobs)] = start
        descent = Descent(stack.layout, settings, jobs, start)
        unit = (descent.scale * GRID * clips[:, 0, 0] / expected).astype(cohort.table.dtype)
        lattice = cohort.table.dtype.type(GRID)
        rates = [m.sampling_rate for m in mechanisms]
        multipliers = [m.noise_multiplier for m in mechanisms]
        table = cohort.table.reshape(-1, cohort.table.shape[-1])
        all_signs = cohort.signs.reshape(-1)
        squares = cohort.squares.reshape(-1)
        most = int(piece.rows.max())
        window = max(1, _WINDOW // (len(jobs) * max(most, cohort.width * table.shape[1])))
        for low in range(0, len(piece.active), window):
            active_here = piece.active[low : low + window]
            working = active_here[0]
            index, holds = poisson_stack(
                piece.rows[:working].tolist(),
                rates[:working],
                len(active_here),
                self._noise,
                _LANES,
            )
            taken = index + piece.offsets[:working, None]
            rows = np.take(table, taken, axis=0, mode="clip")
            columns = np.ascontiguousarray(rows.transpose(0, 1, 3, 2))
            signs = np.take(all_signs, taken, mode="clip")[:, :, None]
            shares = (holds / 2).astype(table.dtype)[:, :, None]
            if cohort.weights is not None:  # before the clip, which bounds a row whatever it counts
                shares *= np.take(cohort.weights.reshape(-1), taken, mode="clip")[:, :, None]
            lengths = np.take(squares, taken, mode="clip")[:, :, None]
            before, stack = stack, self._stack(model, index.shape[2], cohort)
            if stack is not before:
                stack.weights[: len(jobs)] = before.weights[: len(jobs)]
            for here, active in enumerate(active_here):
                part = stack.first(active)
                at = (here, slice(active))
                masks = self._masks(model, active, index.shape[2], table.dtype)
                norms = part.unfold(columns[at], lengths[at], signs[at], shares[at], masks)
                np.sqrt(norms, out=norms)
                norms /= clips[:active]
                bad = ~np.isfinite(norms)
                if bad.any():  # a row that no bound holds for counts as absent
                    part.forget(bad)
                    norms[bad] = 0
                part.fold(rows[at], clip_factors(norms, 1.0) / clips[:active] / lattice)
                self._add_noise(part, multipliers[:active], unit[:active])
                descent.move(part, low + here + 1)
        return stack.first(len(jobs))

    def _add_noise(self, part: Part, multipliers: list[float], unit: Array) -> None:
        """Noise on the summed gradient, which comes in steps of the grid and goes in what the
        optimizer takes."""
        sums = part.gradient
        if len(set(multipliers)) == 1:
            self._noise.add_gaussian_on_grid(sums, multipliers[0])
        else:
            for row, multiplier in zip(sums, multipliers, strict=True):
                self._noise.add_gaussian_on_grid(row, multiplier)
        sums *= unit[:, None]

    def _masks(
        self, model: Perceptron, hospitals: int, width: int, dtype: Float
    ) -> list[Array | None]:
        masks: list[Array | None] = [None] * len(model.hidden)
        for layer, rate in enumerate(model.dropout):
            if rate:
                shape = (hospitals, model.hidden[layer], width)
                kept = self._noise.uniforms(shape) >= rate
                masks[layer] = kept.astype(dtype) / dtype.type(1 - rate)
        return masks

    def _lost(self, model: Perceptron, cohort: Cohort, starts: list[Vector]) -> list[float]:
        return [math.nan] * len(starts)


def _mechanism(job: Job) -> DpSgd:
    if job.private is None:
        raise BadInput(f"the job of {job.hospital} says nothing of its privacy")
    return job.private
