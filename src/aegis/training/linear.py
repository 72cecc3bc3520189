"""Logistic regression in float64: mini-batches, one full-batch step, or gradient and curvature.

Of two classes the model is the logistic one, of more the multinomial one, a line of weights and a
bias for each class, penalised as scikit-learn does it.

What a hospital returns for ``gradient`` and ``newton`` holds its share of the ridge penalty, so the
mean over hospitals, weighted by their rows, is the pooled gradient and Hessian to the last digits.
Mini-batches are those of the stacked engine, which takes a model without hidden layers too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.models import MOST_CURVED
from aegis.training.batched import StackedTrainer
from aegis.training.layout import layout
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
    if size > MOST_CURVED:
        raise BadInput(
            f"the curvature of {size:,} parameters is {size * (size + 1) // 2:,} numbers",
            f"training.solver: newton takes up to {MOST_CURVED:,} parameters",
            "Set training.solver: sgd",
        )
    gradient, loss, design, chance = _derivatives(job)
    counts = _counted(job)
    if job.model.outputs == 1:
        steepness = np.sqrt(counts * chance * (1 - chance) / len(chance))[:, None]
        scaled = np.hstack([design * steepness, steepness])
        hessian = scaled.T @ scaled
    else:
        hessian = _multinomial_curvature(job, design, chance, counts)
    slopes = np.arange(size - job.model.outputs)
    hessian[slopes, slopes] += job.settings.l2 / max(job.total_examples, 1)
    return Trained(np.concatenate([gradient, hessian[np.triu_indices(size)]]), 1, loss)


def _counted(job: Job) -> NDArray[np.float64]:
    """(n,) how much each row counts."""
    weights = job.settings.class_weights
    return np.array(weights)[job.labels] if weights else np.ones(len(job.labels))


def _multinomial_curvature(
    job: Job,
    design: NDArray[np.float64],
    chance: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The mean of (diag(p) - p p') x [x, 1][x, 1]' over the rows, in the order of the weights."""
    wide = np.hstack([design, np.ones((len(design), 1))])
    classes, columns = chance.shape[1], wide.shape[1]
    blocks = np.empty((classes, columns, classes, columns))
    for c in range(classes):
        for e in range(c, classes):
            steepness = counts * chance[:, c] * ((c == e) - chance[:, e]) / len(chance)
            block = wide.T @ (wide * steepness[:, None])
            blocks[c, :, e] = blocks[e, :, c] = block
    inward = layout(job.model).inward
    hessian = np.empty((len(inward), len(inward)))
    hessian[np.ix_(inward, inward)] = blocks.reshape(len(inward), len(inward))
    return hessian


def _derivatives(
    job: Job,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]:
    """Mean gradient with its share of the ridge, mean log-loss, design and chances (n,), or (n, K)
    of more than two classes."""
    design = np.asarray(job.design, dtype=np.float64)
    weights = np.asarray(job.weights, dtype=np.float64)
    if job.model.outputs > 1:
        return _multinomial(job, design, weights)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        logits = design @ weights[:-1] + weights[-1]
        chance = 0.5 * (1 + np.tanh(0.5 * logits))
        wrong = np.where(job.labels == 1, -logits, logits)
        loss = float((np.maximum(wrong, 0) + np.log1p(np.exp(-np.abs(wrong)))).mean())
        residual = _counted(job) * (chance - job.labels) / len(job.labels)
        gradient = np.append(design.T @ residual, residual.sum())
        gradient[:-1] += job.settings.l2 / max(job.total_examples, 1) * weights[:-1]
    return gradient, loss, design, chance


def _multinomial(
    job: Job, design: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]:
    rows = np.arange(len(job.labels))
    tensors = job.model.tensors(weights)
    slopes = np.asarray(tensors["layer0.weight"], dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        logits = design @ slopes.T + tensors["layer0.bias"]
        logits -= logits.max(axis=1, keepdims=True)
        chance = np.exp(logits)
        whole = chance.sum(axis=1, keepdims=True)
        chance /= whole
        loss = float((np.log(whole[:, 0]) - logits[rows, job.labels]).mean())
        residual = chance.copy()
        residual[rows, job.labels] -= 1
        residual *= _counted(job)[:, None] / len(rows)
        steep = residual.T @ design + job.settings.l2 / max(job.total_examples, 1) * slopes
        gradient = np.concatenate([steep.ravel(), residual.sum(axis=0)])
    return gradient, loss, design, chance
