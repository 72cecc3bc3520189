"""What runs inside Spark's Python workers: Arrow batches in, one line of figures out.

A batch of a partition is trained on like a small hospital, by the house's linear trainer, and the
mean of parts is the whole. What depends on the order of rows runs in one task, over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.training.linear import LinearTrainer
from aegis.training.trainer import Job, Trained

PART = "first long, rows long, steps long, loss double, private boolean, vector array<double>"
SUM = "sums array<long>"
Batches = Iterator[Any]


@dataclass(frozen=True)
class Sums:
    """Each batch of a partition is trained on like a small hospital; the partition returns their
    mean, weighted by rows. A law of the linear trainer: the mean of parts is the whole."""

    job: Job

    def __call__(self, batches: Batches) -> Iterator[Any]:
        trainer, parts = LinearTrainer(), []
        for number, design, labels in map(_arrays, batches):
            if len(labels):
                trained = trainer.train(replace(self.job, design=design, labels=labels))
                parts.append((int(number[0]), len(labels), trained))
        rows = sum(count for _, count, _ in parts)
        if rows:
            vector = sum((count / rows) * trained.vector for _, count, trained in parts)
            loss = sum(count / rows * trained.loss for _, count, trained in parts)
            yield _told(parts[0][0], rows, Trained(np.asarray(vector), 1, float(loss)))


@dataclass(frozen=True)
class Shared:
    """The house's own trainer in one task, over the rows in their own order."""

    job: Job

    def __call__(self, batches: Batches) -> Iterator[Any]:
        from aegis.training.choose import trainer_for

        found = [_arrays(batch) for batch in batches]
        number = np.concatenate([part[0] for part in found])
        order = np.argsort(number)
        job = replace(
            self.job,
            design=np.concatenate([part[1] for part in found])[order].reshape(
                len(order), *self.job.design.shape[1:]
            ),
            labels=np.concatenate([part[2] for part in found])[order],
        )
        trained = trainer_for(job.model, job.private is not None).train(job)
        yield _told(0, len(order), trained)


@dataclass(frozen=True)
class Clipped:
    weights: NDArray[np.float64]
    clip: float

    def __call__(self, batches: Batches) -> Iterator[Any]:
        import pyarrow as pa

        from aegis.training.engines import clipped_gradient_sum

        total = np.zeros(len(self.weights), np.int64)
        for _, design, labels in map(_arrays, batches):
            total += clipped_gradient_sum(design, labels, self.weights, self.clip)
        yield pa.RecordBatch.from_pydict({"sums": [total.tolist()]})


def _arrays(
    batch: Any,
) -> tuple[NDArray[np.int64], NDArray[np.floating], NDArray[np.int64]]:
    """Row numbers (n,), design (n, d) and labels (n,) of one Arrow batch."""
    number = batch.column("row").to_numpy(zero_copy_only=False)
    labels = batch.column("label").to_numpy(zero_copy_only=False)
    flat = batch.column("inputs").flatten().to_numpy(zero_copy_only=False)
    return number, flat.reshape(len(labels), -1), labels


def _told(first: int, rows: int, trained: Trained) -> Any:
    import pyarrow as pa

    return pa.RecordBatch.from_pydict(
        {
            "first": [first],
            "rows": [rows],
            "steps": [trained.steps],
            "loss": [float(trained.loss)],
            "private": [trained.private is not None],
            "vector": [np.asarray(trained.vector, dtype=np.float64).tolist()],
        }
    )
