"""Trainings for the audits to attack: honest, noised, forgetful of their noise, and overfit."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from aegis.assurance.patients import Fit, Patients
from aegis.tasks.breast_cancer import breast_cancer
from aegis.tasks.task import DataOptions


def wisconsin(hospitals: int = 5, *, by_size: bool = True, seed: int = 0) -> Patients:
    """The 569 rows, standardised; hospitals differ in the size of the nuclei, or not at all."""
    rows = breast_cancer.load(DataOptions()).rows
    raw = np.stack([np.asarray(column, float) for column in rows.inputs.values()], axis=1)
    rng = np.random.default_rng(seed)
    by = raw[:, 0] + rng.normal(0, 2, len(raw)) if by_size else rng.random(len(raw))
    places = np.empty(len(raw), dtype=np.int64)
    places[np.argsort(by)] = np.arange(len(raw)) * hospitals // len(raw)
    return Patients((raw - raw.mean(0)) / raw.std(0), rows.labels, places)


def held_out(patients: Patients, seed: int = 0, share: float = 0.2) -> tuple[Patients, Patients]:
    """Members and non-members: a random share of each hospital is held out."""
    rng = np.random.default_rng(seed)
    out = np.zeros(len(patients), dtype=bool)
    for place in np.unique(patients.hospitals):
        rows = rng.permutation(np.flatnonzero(patients.hospitals == place))
        out[rows[: round(share * len(rows))]] = True
    return patients.take(~out), patients.take(out)


def noisy_labels(patients: Patients, share: float = 0.1, seed: int = 0) -> Patients:
    wrong = np.random.default_rng(seed).random(len(patients)) < share
    return Patients(
        patients.design, np.where(wrong, 1 - patients.labels, patients.labels), patients.hospitals
    )


def ridge(patients: Patients, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic regression with the preset's penalty, by Newton's method."""
    table = np.c_[patients.design, np.ones(len(patients))]
    penalty = np.diag(np.r_[np.full(table.shape[1] - 1, 2.0), 1e-6])
    weights = np.zeros(table.shape[1])
    for _ in range(10):
        p = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (p - patients.labels) + penalty @ weights
        bend = (table * (p * (1 - p))[:, None]).T @ table + penalty
        weights = weights - np.linalg.solve(bend, slope)
    return lambda design: np.c_[design, np.ones(len(design))] @ weights


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The mu of Gaussian differential privacy that gives (epsilon, delta) (Dong et al. 2022)."""
    phi = NormalDist().cdf
    low, high = 1e-4, 20.0
    for _ in range(80):
        mu = (low + high) / 2
        over = phi(-epsilon / mu + mu / 2) - math.exp(epsilon) * phi(-epsilon / mu - mu / 2)
        low, high = (low, mu) if over > delta else (mu, high)
    return low


def noised_gradient(
    epsilon: float, delta: float = 1e-5, *, noise: float = 1.0, clip: float = 0.3, n: int = 454
) -> Fit:
    """Full-batch gradient descent on clipped gradients with Gaussian noise, exactly ``epsilon``
    for ``noise`` 1; with less noise it is a mutant that still claims ``epsilon``. ``n`` and 31
    columns fix rounds and step, as the rule for tables has it."""
    mu = gaussian_mu(epsilon, delta)
    snr = n * mu / math.sqrt(31)
    rounds = int(np.clip(round(6 * math.sqrt(snr)), 5, 80))
    step = float(np.clip(10 * snr, 4, 1500)) / (rounds * 0.3)

    def fit(patients: Patients, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        rng = np.random.default_rng([seed, 77])
        table, weights = patients.design, np.zeros(patients.design.shape[1])
        lengths, total = np.linalg.norm(table, axis=1), np.zeros(len(weights))
        for number in range(1, rounds + 1):
            wrong = 1 / (1 + np.exp(-table @ weights)) - patients.labels
            wrong *= np.minimum(1, clip / np.maximum(np.abs(wrong) * lengths, 1e-12))
            drawn = rng.normal(0, noise * 0.3 * math.sqrt(rounds) / mu, len(weights))
            weights = weights - step * (table.T @ wrong + drawn) / len(table)
            total += number * weights
        mean = total * 2 / (rounds * (rounds + 1))
        return lambda design: design @ mean

    return fit


def scaled(patients: Patients) -> Patients:
    """Records of length 1 at most and an intercept column of .30, as the noised gradient needs."""
    table = patients.design / (0.9 * math.sqrt(patients.design.shape[1]))
    table = table / np.maximum(1, np.linalg.norm(table, axis=1))[:, None]
    table = np.c_[table, np.full(len(table), 0.3)]
    return Patients(table, patients.labels, patients.hospitals)


def network(
    patients: Patients, seed: int, *, hidden: int = 64, steps: int = 400, rate: float = 0.02
) -> Callable[[np.ndarray], np.ndarray]:
    """30-64-1 with tanh units and Adam, trained until it knows its rows by heart."""
    rng = np.random.default_rng(seed)
    inputs = patients.design.shape[1]
    parts = [
        rng.normal(0, 1 / math.sqrt(inputs), (inputs, hidden)),
        np.zeros(hidden),
        rng.normal(0, 1 / math.sqrt(hidden), hidden),
        np.zeros(1),
    ]
    mean, square = [np.zeros_like(p) for p in parts], [np.zeros_like(p) for p in parts]
    for number in range(1, steps + 1):
        heard = np.tanh(patients.design @ parts[0] + parts[1])
        wrong = 1 / (1 + np.exp(-(heard @ parts[2] + parts[3]))) - patients.labels
        wrong /= len(patients)
        back = np.outer(wrong, parts[2]) * (1 - heard**2)
        slopes = [patients.design.T @ back, back.sum(0), heard.T @ wrong, wrong.sum(keepdims=True)]
        for at, slope in enumerate(slopes):
            mean[at] = 0.9 * mean[at] + 0.1 * slope
            square[at] = 0.999 * square[at] + 0.001 * slope**2
            ahead = mean[at] / (1 - 0.9**number)
            parts[at] = parts[at] - rate * ahead / (
                np.sqrt(square[at] / (1 - 0.999**number)) + 1e-8
            )
    return lambda design: np.tanh(design @ parts[0] + parts[1]) @ parts[2] + parts[3]


def unmoved(patients: Patients, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A model that never looks at its rows: nothing can be found."""
    around = np.random.default_rng(seed).normal(0, 0.05, patients.design.shape[1])
    return lambda design: design @ (0.1 + around)
