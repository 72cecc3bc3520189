"""The race course: what every contender gets, and what it hands back.

Synthetic hospitals of 75 to 300 rows train a 13-64-32-16-1 network (3521 parameters) by FedAvg: one
epoch, batches of 32, plain descent, weighted by rows. Hospital ``number`` is the same in every
process, and so are its batches in a round, which come from ``trainer.batches``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.messages import Vector
from aegis.tasks.models import Perceptron
from aegis.training.trainer import Job, Settings

MODEL = Perceptron(13, (64, 32, 16))
SETTINGS = Settings(batch_size=32, measure_loss=False)
LEARNING_RATE = 0.05
SEED = 16
COMPARED_ROUND = 3  # every contender reports its global weights after this round


@dataclass(frozen=True)
class Measured:
    """``seconds`` of each round after the first, and the global weights after the round that all
    are compared at."""

    seconds: list[float]
    weights: Vector


Contender: TypeAlias = Callable[[int, int], Measured]
"""(hospitals, rounds) -> Measured. It starts at ``start()`` and runs rounds 1 to ``rounds``."""


def start() -> Vector:
    return MODEL.initial(SEED)


def name_of(number: int) -> str:
    """What a hospital's batches are drawn under."""
    return f"hospital {number}"


@cache
def rows_of(number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Design (n, 13) and labels (n,) of one hospital."""
    rng = np.random.default_rng([SEED, number])
    design = rng.standard_normal((int(rng.integers(75, 301)), MODEL.inputs), dtype=np.float32)
    slope = np.random.default_rng(SEED).standard_normal(MODEL.inputs)
    chance = 1 / (1 + np.exp(-(design @ slope)))
    return design, (rng.random(len(design)) < chance).astype(np.int64)


def job(number: int, round: int, weights: Vector) -> Job:
    design, labels = rows_of(number)
    return Job(
        hospital=name_of(number),
        seed=SEED,
        round=round,
        model=MODEL,
        weights=weights,
        design=design,
        labels=labels,
        learning_rate=LEARNING_RATE,
        total_examples=0,
        settings=SETTINGS,
    )
