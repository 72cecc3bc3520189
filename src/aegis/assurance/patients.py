"""What an audit works on: rows with the hospital they come from, and a training to repeat.

An audit trains the same recipe again and again on other rows, so it is handed the recipe as a
function and never knows whether a stack, a federation or a network answers. ``Fit`` trains one
model, ``FitMany`` a whole stack at once; ``one_by_one`` makes the second from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput

Floats: TypeAlias = NDArray[np.float64]
Predict: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""Design (m, ...) to logits: (m,) for two classes (of class 1), (m, classes) for more."""
Progress: TypeAlias = Callable[[int, int], None]
"""Told (models trained, models in all) after each model or stack."""


@dataclass(frozen=True)
class Patients:
    """``design`` (n, ...) as the model takes it, ``labels`` (n,) whole numbers from 0,
    ``hospitals`` (n,) the name or number of the hospital of each row."""

    design: NDArray[Any]
    labels: NDArray[np.int64]
    hospitals: NDArray[Any]

    def __post_init__(self) -> None:
        lengths = (len(self.design), len(self.labels), len(self.hospitals))
        if len(set(lengths)) != 1:
            raise BadInput(
                f"{lengths[0]} rows come with {lengths[1]} labels and {lengths[2]} hospitals",
                "each row needs one of both",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Patients:
        return Patients(self.design[index], self.labels[index], self.hospitals[index])


Fit: TypeAlias = Callable[[Patients, int], Predict]
"""Train one model on these rows with this seed."""
FitMany: TypeAlias = Callable[[Patients, NDArray[np.bool_], Sequence[int]], NDArray[Any]]
"""Rows (n), ``kept`` (models, n) and one seed per model, to logits (models, n[, classes]) on all
rows: model i is trained on ``rows.take(kept[i])``."""


def below(first: Patients, second: Patients) -> Patients:
    """The rows of both, the second below the first."""
    return Patients(
        np.concatenate([first.design, second.design]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.hospitals, second.hospitals]),
    )


def one_by_one(fit: Fit, told: Progress, done: int, total: int) -> FitMany:
    """``fit`` as a ``FitMany``, telling after each model; ``done`` were trained before."""

    def many(rows: Patients, kept: NDArray[np.bool_], seeds: Sequence[int]) -> NDArray[Any]:
        found = []
        for number, (one, seed) in enumerate(zip(kept, seeds, strict=True), start=1):
            found.append(fit(rows.take(one), seed)(rows.design))
            told(done + number, total)
        return np.stack(found)

    return many
