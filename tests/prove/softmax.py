"""Handwritten digits at eleven hospitals: a softmax regression that trains as one stack.

The house's own engine tells two classes apart; the digits matrix needs ten, so it has this small
trainer. Everything else (attacks, road, rules) is the house's own. A round is five steps of 32 rows
at every hospital; shuffles are the house's, keyed by seed, round and hospital.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from aegis.messages import Absence, Answer, Request, Train, Update
from aegis.simulation.attacks.road import generator
from aegis.tasks.task import Rows
from aegis.training.trainer import order, shuffle_key

CLASSES, INPUTS, HELD_OUT = 10, 64, 540
STEPS, BATCH, RATE = 5, 32, 1.0
Matrix = NDArray[np.float64]


@cache
def digits() -> Rows:
    """1797 images of 8 x 8, flattened, between 0 and 1."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return Rows(found.data / 16.0, found.target.astype(np.int64))


def dealt(hospitals: int, alpha: float | None, seed: int) -> tuple[dict[str, Rows], Rows]:
    """Each hospital's training rows, and the test rows of all. ``alpha`` is Dirichlet's, over each
    digit's rows; without it everybody gets an equal random part."""
    rows, rng = digits(), generator(seed, f"digits {alpha}")
    shuffled = rng.permutation(len(rows))
    train = shuffled[HELD_OUT:]
    if alpha is None:
        parts = np.array_split(train, hospitals)
    else:
        piles: list[list[NDArray[np.intp]]] = [[] for _ in range(hospitals)]
        for digit in range(CLASSES):
            members = train[rows.labels[train] == digit]
            shares = rng.dirichlet(np.full(hospitals, alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.intp)
            for pile, part in zip(piles, np.split(members, cuts), strict=True):
                pile.append(part)
        parts = [np.concatenate(pile) for pile in piles]
        _fill(parts)
    names = [f"hospital_{number:02d}" for number in range(1, hospitals + 1)]
    held_out = rows.take(shuffled[:HELD_OUT])
    return {name: rows.take(part) for name, part in zip(names, parts, strict=True)}, held_out


def _fill(parts: list[NDArray[np.intp]], least: int = 2) -> None:
    """The fullest hospital hands rows to those that have none."""
    for poor in range(len(parts)):
        while len(parts[poor]) < least:
            rich = int(np.argmax([len(part) for part in parts]))
            parts[poor] = np.append(parts[poor], parts[rich][-1])
            parts[rich] = parts[rich][:-1]


class SoftmaxHospitals:
    """A transport: every ``Train`` asked together is answered out of one stack."""

    def __init__(self, rows: Mapping[str, Rows], seed: int) -> None:
        self._names, self._seed = tuple(rows), seed
        self._counts = np.array([len(part) for part in rows.values()], np.intp)
        self._starts = np.cumsum(self._counts) - self._counts
        inputs = np.concatenate([np.asarray(part.inputs) for part in rows.values()])
        self._table = np.hstack([inputs, np.ones((len(inputs), 1))])
        labels = np.concatenate([part.labels for part in rows.values()])
        self._wanted = np.eye(CLASSES)[labels]

    def hospitals(self) -> tuple[str, ...]:
        return self._names

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        first = next(iter(requests.values()))
        if not isinstance(first, Train) or set(requests) != set(self._names):
            return {name: Absence(name, "asked otherwise") for name in requests}
        changes = self._trained(first.weights, first.round)
        return {
            name: Update(first.run, first.round, name, change, int(count))
            for name, change, count in zip(self._names, changes, self._counts, strict=True)
        }

    def _trained(self, weights: NDArray[np.floating], round: int) -> Matrix:
        """The change of the weights (hospitals, d) after five local steps."""
        keys = np.array([shuffle_key(self._seed, round, 0, name) for name in self._names])
        shuffled = order(keys, int(self._counts.max()), self._counts)
        taken = np.arange(STEPS * BATCH) % self._counts[:, None]
        picked = np.take_along_axis(shuffled, taken, axis=1) + self._starts[:, None]
        start = weights.reshape(INPUTS + 1, CLASSES)
        moved = np.repeat(start[None], len(self._names), axis=0)
        for step in range(STEPS):
            rows = picked[:, step * BATCH : (step + 1) * BATCH]
            x = self._table[rows]
            wrong = softmax(x @ moved) - self._wanted[rows]
            moved -= RATE / BATCH * (x.transpose(0, 2, 1) @ wrong)
        change: Matrix = (moved - start).reshape(len(self._names), -1)
        return change


def softmax(logits: Matrix) -> Matrix:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def predicted(weights: NDArray[np.floating], rows: Rows) -> NDArray[np.intp]:
    start = weights.reshape(INPUTS + 1, CLASSES)
    return np.asarray((np.asarray(rows.inputs) @ start[:-1] + start[-1]).argmax(axis=1))
