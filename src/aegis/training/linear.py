"""Logistic regression in float64: mini-batches, one full-batch step, or gradient and curvature.

What a hospital returns for ``gradient`` and ``newton`` holds its share of the ridge penalty, so the
mean over hospitals, weighted by their rows, is the pooled gradient and Hessian to the last digits.
Mini-batches are those of the stacked engine, which takes a model without hidden layers too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.training.batched import StackedTrainer
from aegis.training.threads import one_thread
from aegis.training.trainer import Job, Trained


class LinearTrainer:
    """For a ``Perceptron`` without hidden layers; one job or many give the same bits."""

    def __init__(self) -> None:
        self._stacked = StackedTrainer()

    def train(self, job: Job) -> Trained:
        return self.train_many([job])[0]

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        found: dict[int, Trained] = {}
        batched = [n for n, job in enumerate(jobs) if job.settings.solver == "sgd"]
        stacked = self._stacked.train_many([jobs[n] for n in batched])
        found.update(zip(batched, stacked, strict=True))
        with one_thread():
            for number, job in enumerate(jobs):
                if job.model.hidden:
                    raise BadInput(
                        f"solver {job.settings.solver} was asked of a network with hidden layers",
                        "LinearTrainer takes logistic regression",
                    )
                match job.settings.solver:
                    case "gradient":
                        found[number] = _one_step(job)
                    case "newton":
                        found[number] = _curvature(job)
                    case "sgd":
                        pass
        return [found[number] for number in range(len(jobs))]


def _one_step(job: Job) -> Trained:
    if not len(job.labels):
        return Trained(np.zeros(job.model.size), 0, 0.0)
    gradient, loss, _, _ = _derivatives(job)
    gradient += job.settings.weight_decay * job.weights
    if job.correction is not None:
        gradient += job.correction
    return Trained(-job.learning_rate * gradient, 1, loss)


def _curvature(job: Job) -> Trained:
    size = job.model.size
    if not len(job.labels):
        return Trained(np.zeros(size + size * (size + 1) // 2), 0, 0.0)
    gradient, loss, design, chance = _derivatives(job)
    steepness = np.sqrt(chance * (1 - chance) / len(chance))[:, None]
    scaled = np.hstack([design * steepness, steepness])
    hessian = scaled.T @ scaled
    slopes = np.arange(size - 1)
    hessian[slopes, slopes] += job.settings.l2 / max(job.total_examples, 1)
    return Trained(np.concatenate([gradient, hessian[np.triu_indices(size)]]), 1, loss)


def _derivatives(
    job: Job,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]:
    """Mean gradient with its share of the ridge, mean log-loss, design and chances."""
    design = np.asarray(job.design, dtype=np.float64)
    weights = np.asarray(job.weights, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        logits = design @ weights[:-1] + weights[-1]
        chance = 0.5 * (1 + np.tanh(0.5 * logits))
        wrong = np.where(job.labels == 1, -logits, logits)
        loss = float((np.maximum(wrong, 0) + np.log1p(np.exp(-np.abs(wrong)))).mean())
        residual = (chance - job.labels) / len(job.labels)
        gradient = np.append(design.T @ residual, residual.sum())
        gradient[:-1] += job.settings.l2 / max(job.total_examples, 1) * weights[:-1]
    return gradient, loss, design, chance
