"""From a gradient to a step: what the optimizer and the plan's penalties add, for a whole stack."""

from __future__ import annotations

import numpy as np

from aegis.training.layout import Array, Layout, Part
from aegis.training.trainer import Job, Settings

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Descent:
    """The steps of ``jobs`` from ``start`` (hospitals or 1, size). ``scale`` (hospitals,) is what
    gradients must be multiplied with beforehand: plain descent takes them times the learning rate,
    Adam as they are."""

    def __init__(self, layers: Layout, settings: Settings, jobs: list[Job], start: Array) -> None:
        hospitals, size, dtype = len(jobs), start.shape[1], start.dtype
        self._momentum, self._adam = settings.momentum, settings.optimizer == "adam"
        self._rates = np.array([job.learning_rate for job in jobs])
        self.scale = np.ones(hospitals) if self._adam else self._rates
        self._slope, self._offset = _pull(layers, settings, jobs, self.scale, start)
        kept = 2 if self._adam else 1 if settings.momentum else 0
        self._moments = [np.zeros((hospitals, size), dtype) for _ in range(kept)]

    def move(self, part: Part, step: int) -> None:
        """One step with ``part.gradient``; the first is number 1."""
        active = len(part.weights)
        if self._slope is not None:
            np.multiply(part.weights, self._slope[:active], out=part.scratch)
            part.gradient += part.scratch
        if self._offset is not None:
            part.gradient += self._offset[:active]
        if self._adam:
            first, second = self._moments[0][:active], self._moments[1][:active]
            _adam(part, first, second, step, self._rates[:active])
        elif self._momentum:
            moment = self._moments[0][:active]
            moment *= moment.dtype.type(self._momentum)
            moment += part.gradient
            part.weights -= moment
        else:
            part.weights -= part.gradient


def _pull(
    layers: Layout, settings: Settings, jobs: list[Job], scale: Array, start: Array
) -> tuple[Array | None, Array | None]:
    """What ridge, weight decay, the proximal term and SCAFFOLD add to every gradient: a slope
    times the weights, and an offset."""
    slope = offset = None
    column = scale[:, None]
    if settings.l2 or settings.weight_decay or settings.proximal_mu:
        ridge = np.array([settings.l2 / max(job.total_examples, 1) for job in jobs])[:, None]
        pull = ridge * layers.penalised + (settings.weight_decay + settings.proximal_mu)
        slope = (column * pull).astype(start.dtype)
    if settings.proximal_mu:
        offset = (-settings.proximal_mu * column).astype(start.dtype) * start
    if any(job.correction is not None for job in jobs):
        none = np.zeros(layers.penalised.shape)
        given = [none if c is None else c[layers.inward] for c in (job.correction for job in jobs)]
        shift = (column * np.stack(given)).astype(start.dtype)
        offset = shift if offset is None else offset + shift
    return slope, offset


def _adam(part: Part, first: Array, second: Array, step: int, rates: Array) -> None:
    """Kingma and Ba 2015, corrected for bias as PyTorch writes it."""
    number = first.dtype.type
    gradient, scratch = part.gradient, part.scratch
    first *= number(_BETA1)
    np.multiply(gradient, number(1 - _BETA1), out=scratch)
    first += scratch
    second *= number(_BETA2)
    np.multiply(gradient, gradient, out=scratch)
    scratch *= number(1 - _BETA2)
    second += scratch
    np.sqrt(second, out=scratch)
    scratch *= number(1 / np.sqrt(1 - _BETA2**step))
    scratch += number(_EPSILON)
    np.divide(first, scratch, out=scratch)
    scratch *= (rates / (1 - _BETA1**step)).astype(first.dtype)[:, None]
    part.weights -= scratch
