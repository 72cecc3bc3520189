"""Networks of convolutions: one hospital after the other, in PyTorch, with or without privacy.

Such networks gain nothing from being trained side by side on a processor, so each hospital has the
machine to itself. Batches, dropped units and results follow from (seed, round, hospital) alone, as
they do in the stacked engine, and one thread makes them the same on any machine.

Hospitals differ in how many of their patients are ill. With ``Settings.local_odds`` a hospital adds
its own log-odds, less those of all hospitals together, to every logit while it trains: then what it
teaches the shared model is how an image speaks for illness, and not how often illness is met here.

Under DP-SGD every step sees noise that the operating system drew, on sums that no record moves by
more than the clip; units are dropped by secret coins, and no loss is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.privacy.dpsgd import DpSgd, poisson_batch
from aegis.privacy.noise import GRID, SystemNoise
from aegis.privacy.per_sample import PerSample
from aegis.tasks.networks import Network
from aegis.tasks.networks.modules import AT_ONCE, Runner, one_logit, torch_on_one_thread
from aegis.training.dropout import dropout_key
from aegis.training.network import optimizer_of
from aegis.training.threads import one_thread
from aegis.training.trainer import Job, Trained, as_steps, batches


class DeepTrainer:
    """For jobs with a ``Network``. ``noise`` serves the private ones, coins too."""

    def __init__(self, noise: SystemNoise | None = None) -> None:
        self._noise = noise or SystemNoise()

    def train(self, job: Job) -> Trained:
        job = replace(job, settings=as_steps(job.settings))
        network = _network(job)
        if not len(job.labels):
            return Trained(np.zeros(network.size, np.float32), 0, 0.0, job.private)
        with one_thread(), torch_on_one_thread(f"model.name: {network.name}"):
            course = _Course(job, Runner.of(network))
            if job.private is None:
                return course.taken()
            return course.taken_privately(job.private, self._noise)

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self.train(job) for job in jobs]


class _Course:
    """One hospital's steps in one round, from the weights received."""

    def __init__(self, job: Job, runner: Runner) -> None:
        self._job, self._runner, self._torch = job, runner, runner.torch
        self._start = np.array(job.weights, np.float32)
        runner.load(self._start)
        design = np.ascontiguousarray(job.design, dtype=np.float32)
        self._rows = self._torch.from_numpy(design)
        self._labels = self._torch.from_numpy(job.labels)
        self._places = [place for place, _ in runner.trained]
        self._parameters = [parameter for _, parameter in runner.trained]
        self._optimizer = optimizer_of(self._torch, job, self._parameters)
        self._odds = self._torch.from_numpy(_local_odds(job))
        weights = np.array(job.settings.class_weights, np.float32)
        self._counts = self._torch.from_numpy(weights) if len(weights) else None

    def taken(self) -> Trained:
        """Every step of the round."""
        steps = batches(self._job)
        key = int(dropout_key(self._job.seed, self._job.round, self._job.hospital))
        coins = np.random.Generator(np.random.Philox(key=key))
        loss = self._loss() if self._job.settings.measure_loss else math.nan
        rate = self._drop_rate
        self._runner.drop = lambda shape: coins.random(shape, np.float32) >= rate
        for index in steps:
            self._optimizer.zero_grad()
            for at in range(0, len(index), AT_ONCE):
                rows = self._torch.from_numpy(index[at : at + AT_ONCE])
                outputs = self._runner.forward(self._rows[rows])
                (self._lost(outputs, self._labels[rows]) / len(index)).backward()
            self._pull()
            self._optimizer.step()
        return Trained(self._change(), len(steps), loss)

    def taken_privately(self, private: DpSgd, noise: SystemNoise) -> Trained:
        """Every step of the round, each on a noisy sum; what is charged is what is done."""
        rows, planned = len(self._job.labels), len(batches(self._job))
        if private.steps != planned:
            raise BadInput(
                f"{self._job.hospital} is charged for {private.steps} steps",
                f"the plan makes it take {planned}",
            )
        if self._job.settings.local_odds:
            raise BadInput("a hospital's own odds are not covered by the noise of its steps")
        rate = self._drop_rate
        self._runner.drop = lambda shape: noise.uniforms(shape) >= rate
        unit = GRID * private.clip / private.expected_batch(rows)
        singly = PerSample(self._runner.module, self._runner.forward)
        try:
            for _ in range(private.steps):
                index = self._torch.from_numpy(poisson_batch(rows, private.sampling_rate, noise))
                lost = self._lost_of(self._labels[index])
                batch = self._rows[index]
                total = singly.clipped_sum(batch, lost, private.clip, self._parameters)
                total /= GRID
                noise.add_gaussian_on_grid(total, private.noise_multiplier)
                total *= unit
                self._optimizer.zero_grad()
                self._hand_over(total.astype(np.float32))
                self._pull()
                self._optimizer.step()
        finally:
            singly.close()
        return Trained(self._change(), private.steps, math.nan, private)

    @property
    def _drop_rate(self) -> float:
        rates = _network(self._job).dropout
        return rates[0] if rates else 0.0

    def _lost(self, outputs: Any, labels: Any) -> Any:
        """The summed log-loss, each row counted as its class counts."""
        functional = self._torch.nn.functional
        outputs = outputs + self._odds
        if outputs.shape[1] > 2:
            lost = functional.cross_entropy(outputs, labels, reduction="none")
        else:
            lost = functional.binary_cross_entropy_with_logits(
                one_logit(outputs), labels.to(outputs.dtype), reduction="none"
            )
        return (lost if self._counts is None else lost * self._counts[labels]).sum()

    def _lost_of(self, labels: Any) -> Callable[[Any, slice], Any]:
        return lambda outputs, here: self._lost(outputs, labels[here])

    def _loss(self) -> float:
        """Mean log-loss over the rows."""
        self._runner.drop, total = None, 0.0
        with self._torch.no_grad():
            for at in range(0, len(self._rows), AT_ONCE):
                here = slice(at, at + AT_ONCE)
                outputs = self._runner.forward(self._rows[here])
                total += float(self._lost(outputs, self._labels[here]))
        return total / len(self._rows)

    def _hand_over(self, gradient: NDArray[np.float32]) -> None:
        at = 0
        for parameter in self._parameters:
            part = gradient[at : at + parameter.numel()]
            parameter.grad = self._torch.from_numpy(part).reshape(parameter.shape)
            at += parameter.numel()

    def _pull(self) -> None:
        """Ridge, the proximal term and SCAFFOLD's correction, added to the gradients."""
        settings, torch = self._job.settings, self._torch
        ridge = settings.l2 / max(self._job.total_examples, 1)
        for place, parameter in zip(self._places, self._parameters, strict=True):
            shape = parameter.shape
            if ridge and parameter.ndim >= 2:
                parameter.grad += ridge * parameter.detach()
            if settings.proximal_mu:
                start = torch.from_numpy(self._start[place]).reshape(shape)
                parameter.grad += settings.proximal_mu * (parameter.detach() - start)
            if self._job.correction is not None:
                part = np.asarray(self._job.correction[place], np.float32)
                parameter.grad += torch.from_numpy(part).reshape(shape)

    def _change(self) -> Vector:
        """What came of it, less what was received; 0 where nothing was trained."""
        found = np.zeros_like(self._start)
        for place, parameter in zip(self._places, self._parameters, strict=True):
            end = parameter.detach().contiguous().numpy().reshape(-1)
            found[place] = end - self._start[place]
        return found


def _network(job: Job) -> Network:
    if not isinstance(job.model, Network):
        raise BadInput(f"{type(job.model).__name__} is no network of convolutions")
    return job.model


def _local_odds(job: Job) -> NDArray[np.float32]:
    """What is added to a row's outputs, one number for each class."""
    classes = _network(job).classes
    if not job.settings.local_odds:
        return np.zeros(classes, np.float32)
    counts = np.log(np.bincount(job.labels, minlength=classes) + 1.0)
    counts -= counts[0]
    counts[1:] -= job.odds or 0.0
    found: NDArray[np.float32] = counts.astype(np.float32)
    return found
