"""Jobs of hospitals of awkward sizes, and the plainest training loop there is, to compare with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aegis.tasks.models import Perceptron
from aegis.training.trainer import Job, Settings, batches

SIZES = (1, 2, 5, 31, 32, 33, 64, 75, 130)


def jobs(
    model: Perceptron,
    settings: Settings | None = None,
    sizes: tuple[int, ...] = SIZES,
    *,
    round: int = 3,
    learning_rate: float = 0.05,
    corrected: bool = False,
    dtype: type[np.floating] = np.float64,
) -> list[Job]:
    rng = np.random.default_rng(5)
    weights = rng.uniform(-0.5, 0.5, model.size).astype(dtype)
    return [
        Job(
            hospital=f"hospital {number}",
            seed=16,
            round=round,
            model=model,
            weights=weights,
            design=rng.standard_normal((rows, model.inputs)),
            labels=(rng.random(rows) < 0.4).astype(np.int64),
            learning_rate=learning_rate,
            total_examples=sum(sizes),
            settings=settings or Settings(),
            correction=0.01 * rng.standard_normal(model.size) if corrected else None,
        )
        for number, rows in enumerate(sizes)
    ]


def with_rows(job: Job, design: np.ndarray, labels: np.ndarray) -> Job:
    return replace(job, design=design, labels=labels)


def furthest(found, expected) -> float:
    """The largest difference between two lists of vectors."""
    assert len(found) == len(expected)
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(one.vector - other.vector).max()) for one, other in pairs)


def logistic_by_hand(job: Job) -> np.ndarray:
    """The change that mini-batches make to logistic regression, one row after the other."""
    settings, w = job.settings, job.weights.copy()
    bare = np.append(np.ones(job.model.inputs), 0.0)
    moment, first, second = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for step, rows in enumerate(batches(job), start=1):
        g = np.zeros_like(w)
        for x, y in zip(job.design[rows], job.labels[rows], strict=True):
            x = np.append(x, 1.0)
            g += (1 / (1 + np.exp(-x @ w)) - y) * x / len(rows)
        g += settings.l2 / job.total_examples * bare * w
        g += settings.proximal_mu * (w - job.weights)
        g += 0 if job.correction is None else job.correction
        g += settings.weight_decay * w
        if settings.optimizer == "adam":
            first = 0.9 * first + 0.1 * g
            second = 0.999 * second + 0.001 * g * g
            up = first / (1 - 0.9**step)
            w = w - job.learning_rate * up / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        else:
            moment = settings.momentum * moment + g
            w = w - job.learning_rate * moment
    return w - job.weights
