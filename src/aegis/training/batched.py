"""The stacked engine: many hospitals train as one ragged batch, each exactly as it would alone.

Every product is made hospital by hospital inside one call of NumPy, so a hospital's vector has the
same bits whoever trains beside it: ``train`` is a stack of one, and every road gives one model.
Models without hidden layers go the same way. Neither threads nor PyTorch are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.tasks.models import Perceptron
from aegis.training.cohort import Cohort, Cohorts, Piece, step_width
from aegis.training.dropout import dropout_key, kept
from aegis.training.layout import Array, Layout, Part, Stack, inside_logits, layout
from aegis.training.threads import one_thread
from aegis.training.trainer import Job, Settings, Trained

_WINDOW = 1 << 19  # numbers of gathered rows at a time
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_REMEMBERED = 4


class StackedTrainer:
    """``dtype`` replaces the model's own, so that parity can be tested in float64."""

    def __init__(self, dtype: type[np.floating] | None = None) -> None:
        self._dtype = dtype
        self._cohorts = Cohorts()
        self._stacks: dict[tuple[Perceptron, int], Stack] = {}

    def train(self, job: Job) -> Trained:
        return self.train_many([job])[0]

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        """One answer per job, in their order; the vectors of one model are rows of one array."""
        alike: dict[tuple[Perceptron, Settings, int], list[int]] = {}
        room: dict[Perceptron, list[int]] = {}
        for number, job in enumerate(jobs):
            settings = _as_steps(job.settings)
            width = step_width(len(job.labels), settings.batch_size)
            alike.setdefault((job.model, settings, width), []).append(number)
            room.setdefault(job.model, []).append(number)
        vectors: dict[int, Vector] = {}
        for model, numbers in room.items():
            matrix = np.zeros((len(numbers), model.size), self._dtype or model.dtype)
            vectors.update(zip(numbers, matrix, strict=True))
        found: dict[int, Trained] = {}
        with one_thread(), np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for (model, settings, width), numbers in alike.items():
                group = [(jobs[number], vectors[number]) for number in numbers]
                results = (
                    self._train(model, settings, width, group) if width else [(0, 0.0)] * len(group)
                )
                for number, (steps, loss) in zip(numbers, results, strict=True):
                    found[number] = Trained(vectors[number], steps, loss)
        return [found[number] for number in range(len(jobs))]

    def _train(
        self, model: Perceptron, settings: Settings, width: int, group: list[tuple[Job, Vector]]
    ) -> list[tuple[int, float]]:
        """Steps and loss of each job; its change is written into the vector beside it."""
        jobs = [job for job, _ in group]
        cohort = self._cohorts.of(
            model, settings, width, jobs, np.dtype(self._dtype or model.dtype)
        )
        layers = layout(model)
        stack = self._stack(model, width, cohort)
        starts = _starts(layers, jobs, cohort.table.dtype)
        for piece in cohort.pieces:
            start = np.stack([starts[place] for place in piece.places])
            _descend(stack, piece, cohort, settings, [jobs[place] for place in piece.places], start)
            change = np.subtract(stack.weights[: len(start)], start, out=start)
            for row, place in zip(change, piece.places, strict=True):
                np.take(row, layers.outward, out=group[place][1], mode="clip")
        losses = [
            _loss(layers, cohort, start, int(at), int(rows))
            for start, at, rows in zip(starts, cohort.offsets, cohort.rows, strict=True)
        ]
        return list(zip(cohort.steps.tolist(), losses, strict=True))

    def _stack(self, model: Perceptron, width: int, cohort: Cohort) -> Stack:
        stack = self._stacks.pop((model, width), None)
        if stack is None or stack.capacity < cohort.most:
            stack = Stack(model, width, cohort.most, cohort.table.dtype)
        self._stacks[model, width] = stack
        while len(self._stacks) > _REMEMBERED:
            self._stacks.pop(next(iter(self._stacks)))
        return stack


def _as_steps(settings: Settings) -> Settings:
    """One full-batch step is one step with a batch that holds every row."""
    match settings.solver:
        case "sgd":
            return settings
        case "gradient":
            kept_terms = replace(Settings(), weight_decay=settings.weight_decay, l2=settings.l2)
            return replace(kept_terms, batch_size=2**62, local_steps=1)
        case "newton":
            raise BadInput(
                "solver newton was asked of the stacked engine",
                "it takes sgd and gradient",
                "Use model.name: logistic for newton",
            )


def _starts(layers: Layout, jobs: list[Job], dtype: np.dtype[np.floating]) -> list[Vector]:
    """Each job's weights in the inside order; jobs that share an array share the result."""
    turned: dict[int, Vector] = {}
    for job in jobs:
        if id(job.weights) not in turned:
            turned[id(job.weights)] = job.weights.astype(dtype, copy=False)[layers.inward]
    return [turned[id(job.weights)] for job in jobs]


def _loss(layers: Layout, cohort: Cohort, start: Vector, at: int, rows: int) -> float:
    """One hospital's mean log-loss at its start."""
    total = 0.0
    for low in range(at, at + rows, 256):
        high = min(low + 256, at + rows)
        columns = np.ascontiguousarray(cohort.table[low:high].T)
        wrong = inside_logits(layers, start, columns) * cohort.signs[low:high]
        lost = np.log1p(np.exp(-np.abs(wrong)))
        lost += np.maximum(wrong, 0)
        total += float(lost.sum(dtype=np.float64))
    return total / rows


def _descend(
    stack: Stack, piece: Piece, cohort: Cohort, settings: Settings, jobs: list[Job], start: Array
) -> None:
    """Takes every step of one piece; ``stack.weights`` holds the result."""
    hospitals, width, dtype = len(jobs), cohort.width, cohort.table.dtype
    model, adam = jobs[0].model, settings.optimizer == "adam"
    stack.weights[:hospitals] = start
    rates = np.array([job.learning_rate for job in jobs])
    # Plain descent folds the rate into the rows' weights; Adam needs the gradient itself.
    scale = np.ones(hospitals) if adam else rates
    slope, offset = _pull(stack.layout, settings, jobs, scale, start)
    moments = [np.zeros(start.shape, dtype) for _ in range(2 if adam else 1)]
    keys = np.array([dropout_key(job.seed, job.round, job.hospital) for job in jobs])
    index = piece.shuffled(jobs)
    half, slots = (scale / 2)[:, None], np.arange(width)
    window = max(1, _WINDOW // (hospitals * width * cohort.table.shape[1]))
    for low in range(0, len(piece.active), window):
        high, working = low + window, piece.active[low]
        taken, filled = index[low:high, :working], piece.filled[low:high, :working, None]
        rows = np.take(cohort.table, taken, axis=0, mode="clip")
        columns = np.ascontiguousarray(rows.transpose(0, 1, 3, 2))
        signs = np.take(cohort.signs, taken, mode="clip")[:, :, None]
        shares = ((slots < filled) * (half[:working] / filled)).astype(dtype)[:, :, None]
        for here, active in enumerate(piece.active[low:high]):
            part = stack.first(active)
            masks = _masks(model, keys[:active], low + here, width, dtype)
            of_step = (here, slice(active))
            part.derive(rows[of_step], columns[of_step], signs[of_step], shares[of_step], masks)
            if slope is not None:
                np.multiply(part.weights, slope[:active], out=part.scratch)
                part.gradient += part.scratch
            if offset is not None:
                part.gradient += offset[:active]
            if adam:
                first, second = moments[0][:active], moments[1][:active]
                _adam(part, first, second, low + here + 1, rates[:active])
            elif settings.momentum:
                moment = moments[0][:active]
                moment *= dtype.type(settings.momentum)
                moment += part.gradient
                part.weights -= moment
            else:
                part.weights -= part.gradient


def _masks(
    model: Perceptron, keys: NDArray[np.uint64], step: int, width: int, dtype: np.dtype[np.floating]
) -> list[Array | None]:
    masks: list[Array | None] = [None] * len(model.hidden)
    for layer, rate in enumerate(model.dropout):
        if rate:
            mask = kept(keys, step, layer, width, model.hidden[layer], rate)
            masks[layer] = mask.transpose(0, 2, 1).astype(dtype) / dtype.type(1 - rate)
    return masks


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
        none = np.zeros(start.shape[1])
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
