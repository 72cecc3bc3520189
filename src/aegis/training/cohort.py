"""Who trains beside whom: rows laid together once, hospitals sorted by their number of steps.

A cohort is cut into pieces that fit the processor's cache. At step s of a piece only the hospitals
with more than s steps are active, and they are the first so many; a short batch is filled with rows
of weight 0. How a hospital's rows fall into steps follows from that hospital alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.models import Perceptron
from aegis.training.heads import head_of
from aegis.training.trainer import Job, Settings, order, shuffle_key

Float: TypeAlias = np.dtype[np.floating]

_CACHE_BYTES = 2 << 20
_REMEMBERED = 4


def step_width(rows: int, batch_size: int) -> int:
    """Rows of one step, filling included: the batch size, or for fewer rows a power of two."""
    return min(batch_size, 1 << (rows - 1).bit_length()) if rows else 0


@dataclass(frozen=True)
class Piece:
    """Hospitals trained side by side, most steps first. ``places`` are their numbers among the
    jobs, ``active`` (steps,) counts those at work, ``blocks`` (steps, hospitals) says which block
    of the shuffled rows each takes and ``filled`` how many of its rows are real."""

    places: list[int]
    offsets: NDArray[np.intp]
    rows: NDArray[np.intp]
    epochs: NDArray[np.intp]
    width: int
    blocks_per_epoch: int
    active: list[int]
    blocks: NDArray[np.intp]
    filled: NDArray[np.intp]

    def shuffled(self, jobs: list[Job]) -> NDArray[np.intp]:
        """The cohort's rows in the order of this round, (steps, hospitals, width)."""
        keys = [
            shuffle_key(job.seed, job.round, epoch, job.hospital)
            for job, epochs in zip(jobs, self.epochs.tolist(), strict=True)
            for epoch in range(epochs)
        ]
        rows = np.repeat(self.rows, self.epochs)
        found = order(np.array(keys), self.blocks_per_epoch * self.width, rows)
        np.minimum(found, rows[:, None] - 1, out=found)
        found += np.repeat(self.offsets, self.epochs)[:, None]
        return found.reshape(-1, self.width)[self.blocks]


class Cohort:
    """``table`` (blocks, width, inputs + 1) holds the hospitals' rows with a last column of ones,
    ``signs`` (blocks, width) are the head's marks of the labels (1 - 2 * label, or the number of
    the class), and its filling (0 or -1) where a hospital's last block is filled up.
    ``weights`` (blocks, width) is how much each row counts, where classes count differently.
    Hospital k has ``rows[k]`` rows in ``counts[k]`` blocks from ``firsts[k]`` on, in the order of
    ``line``; ``beside`` blocks fit the cache together."""

    def __init__(
        self, model: Perceptron, settings: Settings, width: int, jobs: list[Job], dtype: Float
    ) -> None:
        self.width = width
        self.rows = np.array([len(job.labels) for job in jobs], np.intp)
        per_epoch = -(-self.rows // settings.batch_size)
        if settings.local_steps:
            self.steps = np.full(len(jobs), settings.local_steps, np.intp)
        else:
            self.steps = settings.local_epochs * per_epoch
        self.counts = per_epoch
        line = self.line = np.lexsort((-per_epoch, -self.steps))
        self.firsts = np.empty(len(jobs), np.intp)
        self.firsts[line] = np.cumsum(per_epoch[line]) - per_epoch[line]
        self.table = np.zeros((int(per_epoch.sum()), width, model.inputs + 1), dtype)
        head = head_of(model)
        self.signs = np.full(self.table.shape[:2], head.filling, dtype)
        table, signs = self.table.reshape(-1, model.inputs + 1), self.signs.reshape(-1)
        for job, first, rows in zip(jobs, self.firsts.tolist(), self.rows.tolist(), strict=True):
            at = slice(first * width, first * width + rows)
            table[at, :-1] = job.design
            table[at, -1] = 1
            signs[at] = head.marks(job.labels)
        self.weights: NDArray[np.floating] | None = None
        if settings.class_weights:
            self.weights = np.ones(self.signs.shape, dtype)
            of_class, weights = np.array(settings.class_weights), self.weights.reshape(-1)
            for job, first, rows in zip(jobs, self.firsts.tolist(), self.rows, strict=True):
                weights[first * width : first * width + rows] = of_class[job.labels]
        most = _beside(model, width, dtype)
        self.pieces: list[Piece] = []
        start = 0
        for stop in range(1, len(jobs) + 1):
            if (
                stop == len(jobs)
                or stop - start == most
                or 4 * per_epoch[line[stop]] < per_epoch[line[start]]
            ):
                self.pieces.append(self._piece(line[start:stop], per_epoch[line[start:stop]]))
                start = stop
        self.beside = min(most, max(8, *(len(piece.places) for piece in self.pieces)))

    @cached_property
    def squares(self) -> NDArray[np.floating]:
        """The squared length (blocks, width) of each row of the table, its one included."""
        found: NDArray[np.floating] = np.einsum("bwi,bwi->bw", self.table, self.table)
        return found

    def _piece(self, places: NDArray[np.intp], per_epoch: NDArray[np.intp]) -> Piece:
        steps, rows = self.steps[places], self.rows[places]
        epochs = -(-steps // per_epoch)
        longest = int(per_epoch.max())
        step = np.arange(steps[0])[:, None]
        epoch, batch = np.minimum(step // per_epoch, epochs - 1), step % per_epoch
        return Piece(
            places=places.tolist(),
            offsets=self.firsts[places] * self.width,
            rows=rows,
            epochs=epochs,
            width=self.width,
            blocks_per_epoch=longest,
            active=[int((steps > s).sum()) for s in range(int(steps[0]))],
            blocks=(np.cumsum(epochs) - epochs + epoch) * longest + batch,
            filled=np.clip(rows - batch * self.width, 1, self.width),
        )


class Cohorts:
    """The last few cohorts, found again by the arrays they were made of and forgotten with them.
    Those arrays must not be written to."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Cohort, list[Callable[[], Any]]]] = {}

    def of(
        self, model: Perceptron, settings: Settings, width: int, jobs: list[Job], dtype: Float
    ) -> Cohort:
        arrays = [array for job in jobs for array in (job.design, job.labels)]
        key = (model, settings, width, *map(id, arrays))
        known = self._known
        found = known.pop(key, None)
        if found is None or any(a() is not b for a, b in zip(found[1], arrays, strict=True)):
            cohort = Cohort(model, settings, width, jobs, dtype)
            gone = weakref.ref(arrays[0], lambda _: known.pop(key, None))
            found = cohort, [gone, *map(weakref.ref, arrays[1:])]
        known[key] = found  # the one used last stands last
        while len(known) > _REMEMBERED:
            known.pop(next(iter(known)))
        return found[0]


def _beside(model: Perceptron, width: int, dtype: Float) -> int:
    """How many hospitals train side by side without leaving the cache; at least one."""
    ends = 0 if model.outputs == 1 else 2 * model.outputs
    numbers = 3 * model.size + width * (5 * sum(model.hidden) + 16 * (model.inputs + 1) + ends)
    return max(1, min(512, _CACHE_BYTES // (numbers * dtype.itemsize)))
