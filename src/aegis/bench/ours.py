"""The stacked engine alone: no coordinator, no journal, only training and the weighted mean."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from aegis.bench.problem import COMPARED_ROUND, Measured, job, rows_of, start
from aegis.training.batched import StackedTrainer


def stacked(hospitals: int, rounds: int) -> Measured:
    trainer, weights, seconds = StackedTrainer(), start(), []
    examples = np.array([len(rows_of(number)[1]) for number in range(hospitals)])
    shares = (examples / examples.sum()).astype(np.float32)
    compared = weights
    for round in range(1, rounds + 1):
        began = perf_counter()
        trained = trainer.train_many([job(number, round, weights) for number in range(hospitals)])
        weights = weights + shares @ np.stack([one.vector for one in trained])
        seconds.append(perf_counter() - began)
        if round == COMPARED_ROUND:
            compared = weights
    return Measured(seconds[1:], compared)
