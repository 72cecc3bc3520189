"""The stacked engine: many hospitals train as one ragged batch, each exactly as it would alone.

Every product is made hospital by hospital inside one call of NumPy, so a hospital's vector has the
same bits whoever trains beside it: ``train`` is a stack of one, and every road gives one model.
Models without hidden layers go the same way. Neither threads nor PyTorch are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aegis.messages import Vector
from aegis.tasks.models import Perceptron
from aegis.training.cohort import Cohort, Cohorts, Float, Piece, step_width
from aegis.training.descent import Descent
from aegis.training.dropout import dropout_key, kept
from aegis.training.layout import Array, Layout, Part, Stack, layout, turned_forward
from aegis.training.threads import one_thread
from aegis.training.trainer import Job, Settings, Trained, as_steps

_WINDOW = 1 << 19  # numbers of gathered rows at a time
_REMEMBERED = 4

Kind = TypeVar("Kind", bound=Hashable)


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
        found: dict[int, Trained] = {}
        with one_thread(), np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for model, ours in _grouped(range(len(jobs)), lambda n: jobs[n].perceptron):
                vectors = np.zeros((len(ours), model.size), self._dtype or model.dtype)
                row = {number: place for place, number in enumerate(ours)}
                for given, alike in _grouped(ours, lambda n: jobs[n].settings):
                    settings = as_steps(given)
                    by_width: dict[int, list[int]] = {}
                    for n in alike:
                        width = step_width(len(jobs[n].labels), settings.batch_size)
                        by_width.setdefault(width, []).append(n)
                    for width, group in by_width.items():
                        members = [jobs[n] for n in group]
                        rows = np.array([row[n] for n in group])
                        results = self._train(model, settings, width, members, vectors, rows)
                        for n, (steps, loss) in zip(group, results, strict=True):
                            found[n] = Trained(vectors[row[n]], steps, loss)
        return [found[number] for number in range(len(jobs))]

    def _train(
        self,
        model: Perceptron,
        settings: Settings,
        width: int,
        jobs: list[Job],
        vectors: Array,
        rows: NDArray[np.intp],
    ) -> list[tuple[int, float]]:
        """Steps and loss of each job; its change is written into its row of ``vectors``."""
        if not width:
            return [(0, 0.0)] * len(jobs)
        cohort = self._cohort(model, settings, width, jobs, vectors.dtype)
        layers = layout(model)
        starts = _starts(layers, jobs, cohort.table.dtype)
        for piece in cohort.pieces:
            start = _together([starts[place] for place in piece.places])
            members = [jobs[place] for place in piece.places]
            part = self._descended(model, piece, cohort, settings, members, start)
            part.weights -= start
            np.take(part.weights, layers.outward, axis=1, out=part.scratch, mode="clip")
            vectors[rows[piece.places]] = part.scratch
        steps = cohort.steps.tolist()
        if not settings.measure_loss:
            return [(taken, math.nan) for taken in steps]
        return list(zip(steps, self._lost(model, cohort, starts), strict=True))

    def _cohort(
        self, model: Perceptron, settings: Settings, width: int, jobs: list[Job], dtype: Float
    ) -> Cohort:
        return self._cohorts.of(model, settings, width, jobs, dtype)

    def _descended(
        self,
        model: Perceptron,
        piece: Piece,
        cohort: Cohort,
        settings: Settings,
        jobs: list[Job],
        start: Array,
    ) -> Part:
        """The hospitals of a piece after all their steps; its ``weights`` are the result."""
        stack = self._stack(model, cohort.width, cohort)
        _descend(stack, piece, cohort, settings, jobs, start)
        return stack.first(len(jobs))

    def _lost(self, model: Perceptron, cohort: Cohort, starts: list[Vector]) -> list[float]:
        return _losses(self._stack(model, cohort.width, cohort), cohort, starts)

    def _stack(self, model: Perceptron, width: int, cohort: Cohort) -> Stack:
        stack = self._stacks.pop((model, width), None)
        dtype = cohort.table.dtype
        if stack is None or stack.capacity < cohort.beside or stack.weights.dtype != dtype:
            stack = Stack(model, width, cohort.beside, dtype)
        self._stacks[model, width] = stack
        while len(self._stacks) > _REMEMBERED:
            self._stacks.pop(next(iter(self._stacks)))
        return stack


def _grouped(numbers: Iterable[int], kind: Callable[[int], Kind]) -> list[tuple[Kind, list[int]]]:
    """Numbers of equal kind together, in order. Most share one object, so that is asked first."""
    same: dict[int, tuple[Kind, list[int]]] = {}
    for number in numbers:
        value = kind(number)
        same.setdefault(id(value), (value, []))[1].append(number)
    equal: dict[Kind, list[int]] = {}
    for value, members in same.values():
        equal.setdefault(value, []).extend(members)
    return [(value, sorted(members)) for value, members in equal.items()]


def _together(starts: list[Vector]) -> Array:
    """(hospitals, size), or (1, size) where all start at the same weights."""
    if all(start is starts[0] for start in starts):
        return starts[0][None]
    return np.stack(starts)


def _starts(layers: Layout, jobs: list[Job], dtype: np.dtype[np.floating]) -> list[Vector]:
    """Each job's weights in the inside order; jobs that share an array share the result."""
    turned: dict[int, Vector] = {}
    for job in jobs:
        if id(job.weights) not in turned:
            turned[id(job.weights)] = job.weights.astype(dtype, copy=False)[layers.inward]
    return [turned[id(job.weights)] for job in jobs]


def _losses(stack: Stack, cohort: Cohort, starts: list[Vector]) -> list[float]:
    """Each hospital's mean log-loss at its start."""
    outputs = stack.logit.shape[1]
    logits = np.empty((len(cohort.signs), outputs, cohort.width), cohort.signs.dtype)
    masks = [None] * len(stack.layout.shapes)  # nothing is dropped where a loss is measured
    if all(start is starts[0] for start in starts):
        spans = [(starts[0], 0, len(logits))]
    else:
        ends = (cohort.firsts + cohort.counts).tolist()
        spans = list(zip(starts, cohort.firsts.tolist(), ends, strict=True))
    for start, first, end in spans:
        forward = turned_forward(start[None], stack.layout)
        for low in range(first, end, stack.capacity):
            high = min(low + stack.capacity, end)
            columns = np.ascontiguousarray(cohort.table[low:high].transpose(0, 2, 1))
            logits[low:high] = stack.first(high - low).push(forward, columns, masks)
    lost = stack.head.lost(logits, cohort.signs)
    sums = np.add.reduceat(lost.sum(axis=1, dtype=np.float64), cohort.firsts[cohort.line])
    means = np.empty(len(starts))
    means[cohort.line] = sums / cohort.rows[cohort.line]
    found: list[float] = means.tolist()
    return found


def _descend(
    stack: Stack, piece: Piece, cohort: Cohort, settings: Settings, jobs: list[Job], start: Array
) -> None:
    """Takes every step of one piece; ``stack.weights`` holds the result."""
    hospitals, width, dtype = len(jobs), cohort.width, cohort.table.dtype
    model = jobs[0].perceptron
    stack.weights[:hospitals] = start
    descent = Descent(stack.layout, settings, jobs, start)
    masks: list[Array | None] = [None] * len(model.hidden)
    keys = np.zeros(hospitals, np.uint64)
    if any(model.dropout):
        keys[:] = [dropout_key(job.seed, job.round, job.hospital) for job in jobs]
    index = piece.shuffled(jobs)
    half, slots = (descent.scale / 2)[:, None], np.arange(width)
    table = cohort.table.reshape(-1, cohort.table.shape[-1])
    all_signs = cohort.signs.reshape(-1)
    window = max(1, _WINDOW // (hospitals * width * table.shape[1]))
    for low in range(0, len(piece.active), window):
        high, working = low + window, piece.active[low]
        taken, filled = index[low:high, :working], piece.filled[low:high, :working, None]
        rows = np.take(table, taken, axis=0, mode="clip")
        columns = np.ascontiguousarray(rows.transpose(0, 1, 3, 2))
        signs = np.take(all_signs, taken, mode="clip")[:, :, None]
        shares = ((slots < filled) * (half[:working] / filled)).astype(dtype)[:, :, None]
        if cohort.weights is not None:
            shares *= np.take(cohort.weights.reshape(-1), taken, mode="clip")[:, :, None]
        for here, active in enumerate(piece.active[low:high]):
            part = stack.first(active)
            if any(model.dropout):
                masks = _masks(model, keys[:active], low + here, width, dtype)
            of_step = (here, slice(active))
            part.derive(rows[of_step], columns[of_step], signs[of_step], shares[of_step], masks)
            descent.move(part, low + here + 1)


def _masks(
    model: Perceptron, keys: NDArray[np.uint64], step: int, width: int, dtype: np.dtype[np.floating]
) -> list[Array | None]:
    masks: list[Array | None] = [None] * len(model.hidden)
    for layer, rate in enumerate(model.dropout):
        if rate:
            mask = kept(keys, step, layer, width, model.hidden[layer], rate)
            masks[layer] = mask.transpose(0, 2, 1).astype(dtype) / dtype.type(1 - rate)
    return masks
