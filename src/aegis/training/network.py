"""The plain loop: one hospital, one network, PyTorch's own layers, loss and optimizers.

The yardstick that the stacked engine is measured and tested against, and what a reader who knows
PyTorch can check line by line. It needs the extra ``torch``; the stacked engine does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from aegis.errors import MissingExtra
from aegis.messages import Vector
from aegis.training.dropout import dropout_key, kept
from aegis.training.threads import one_thread
from aegis.training.trainer import Job, Trained, as_steps, batches


class NetworkTrainer:
    """``dtype`` replaces the model's own, so that parity can be tested in float64."""

    def __init__(self, dtype: type[np.floating] | None = None) -> None:
        self._dtype = dtype

    def train(self, job: Job) -> Trained:
        dtype = np.dtype(self._dtype or job.model.dtype)
        start = job.weights.astype(dtype)
        job = replace(job, settings=as_steps(job.settings))
        if not len(job.labels):
            return Trained(np.zeros(job.model.size, dtype), 0, 0.0)
        with one_thread(), _torch() as torch:
            linears = _layers(torch, job, start)
            design = torch.from_numpy(np.ascontiguousarray(job.design, dtype=dtype))
            several = job.model.outputs > 1
            labels = torch.from_numpy(job.labels if several else job.labels.astype(dtype))
            losses = torch.nn.functional
            loss_of = losses.cross_entropy if several else losses.binary_cross_entropy_with_logits
            counts = _counts(torch, job, dtype)
            with torch.no_grad():
                loss = float(loss_of(_forward(torch, linears, design, None), labels))
            parameters = [p for linear in linears for p in (linear.weight, linear.bias)]
            optimizer = optimizer_of(torch, job, parameters)
            pulls = _Pulls(torch, job, start, parameters)
            steps = batches(job)
            for number, index in enumerate(steps):
                rows = torch.from_numpy(index)
                optimizer.zero_grad()
                masks = _masks(torch, job, number, len(index), dtype)
                logits = _forward(torch, linears, design[rows], masks)
                lost = loss_of(logits, labels[rows], reduction="none")
                (lost if counts is None else lost * counts[rows]).mean().backward()
                pulls.add()
                optimizer.step()
            end = np.concatenate([p.detach().numpy().ravel() for p in parameters])
        return Trained(end - start, len(steps), loss)

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self.train(job) for job in jobs]


def _counts(torch: Any, job: Job, dtype: np.dtype[np.floating]) -> Any:
    """(n,) how much each row counts; None where all count the same."""
    weights = job.settings.class_weights
    return torch.from_numpy(np.array(weights, dtype)[job.labels]) if weights else None


@contextmanager
def _torch() -> Iterator[Any]:
    """PyTorch with one thread inside."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("an MLP", "torch") from error
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield torch
    finally:
        torch.set_num_threads(before)


def _layers(torch: Any, job: Job, start: Vector) -> list[Any]:
    tensors = job.model.tensors(start)
    linears = []
    for number, (fan_in, fan_out) in enumerate(job.perceptron.layers):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, fan_in, fan_out)
        linear.weight = torch.nn.Parameter(torch.tensor(tensors[f"layer{number}.weight"]))
        linear.bias = torch.nn.Parameter(torch.tensor(tensors[f"layer{number}.bias"]))
        linears.append(linear)
    return linears


def _forward(torch: Any, linears: list[Any], rows: Any, masks: list[Any] | None) -> Any:
    signal = rows
    for number, linear in enumerate(linears[:-1]):
        signal = torch.relu(linear(signal))
        if masks is not None and masks[number] is not None:
            signal = signal * masks[number]
    logits = linears[-1](signal)
    return logits[:, 0] if logits.shape[1] == 1 else logits


def _masks(
    torch: Any, job: Job, step: int, rows: int, dtype: np.dtype[np.floating]
) -> list[Any] | None:
    if not job.model.dropout:
        return None
    key = np.array([dropout_key(job.seed, job.round, job.hospital)])
    found: list[Any] = []
    for layer, (units, rate) in enumerate(zip(job.model.hidden, job.model.dropout, strict=True)):
        mask = kept(key, step, layer, rows, units, rate)[0].astype(dtype) / dtype.type(1 - rate)
        found.append(torch.from_numpy(mask) if rate else None)
    return found


def optimizer_of(torch: Any, job: Job, parameters: list[Any]) -> Any:
    """PyTorch's own, as the job's settings say."""
    settings = job.settings
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, job.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters,
        job.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


class _Pulls:
    """Ridge, the proximal term and SCAFFOLD's correction, added to the gradients."""

    def __init__(self, torch: Any, job: Job, start: Vector, parameters: list[Any]) -> None:
        settings = job.settings
        self._ridge = settings.l2 / max(job.total_examples, 1)
        self._mu = settings.proximal_mu
        self._parameters = parameters
        self._start = [p.detach().clone() for p in parameters]
        self._corrections: list[Any] = [None] * len(parameters)
        if job.correction is not None:
            tensors = job.model.tensors(job.correction.astype(start.dtype))
            self._corrections = [torch.tensor(tensor) for tensor in tensors.values()]

    def add(self) -> None:
        for p, start, correction in zip(
            self._parameters, self._start, self._corrections, strict=True
        ):
            if self._ridge and p.ndim == 2:
                p.grad += self._ridge * p.detach()
            if self._mu:
                p.grad += self._mu * (p.detach() - start)
            if correction is not None:
                p.grad += correction
