"""Why updates are masked and noised: patients rebuilt from a gradient.

A layer with a bias gives itself away. For one patient x its gradients are dW = d x' and db = d, so
any row of dW divided by its entry of db is x, to the last digit (Phong et al., IEEE TIFS 2018). In
a batch each unit shows a mixture of the patients that excite it; the clip leaves the quotient
alone, and noise spoils it. The demonstration makes a small network of its own and returns how far
the best reconstruction is from a patient, as a share of the patient's own length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.patients import Floats
from aegis.errors import BadInput

BATCH = 32


@dataclass(frozen=True)
class Inversion:
    """Median relative errors: 0 is the patient, 1 is no better than guessing zero."""

    one_patient: float
    batch: float
    one_patient_with_noise: float
    batch_size: int
    clip: float
    noise_multiplier: float
    trials: int


@dataclass(frozen=True)
class Network:
    """One hidden ReLU layer and one logit, enough to show what its first layer's gradient holds."""

    first: Floats
    first_bias: Floats
    last: Floats
    last_bias: float

    @classmethod
    def drawn(cls, inputs: int, hidden: int, rng: np.random.Generator) -> Network:
        near, far = 1 / np.sqrt(inputs), 1 / np.sqrt(hidden)
        return cls(
            rng.uniform(-near, near, (hidden, inputs)),
            rng.uniform(-near, near, hidden),
            rng.uniform(-far, far, hidden),
            float(rng.uniform(-far, far)),
        )

    def gradient(self, design: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """Mean gradients of the log-loss: first weight (hidden, inputs), first bias (hidden,), and
        the last layer's (hidden + 1,)."""
        heard = design @ self.first.T + self.first_bias
        active = np.maximum(heard, 0)
        logits = active @ self.last + self.last_bias
        wrong = np.exp(-np.logaddexp(0.0, -logits)) - labels
        back = wrong[:, None] * self.last * (heard > 0) / len(design)
        last = np.append(wrong @ active, wrong.sum()) / len(design)
        return back.T @ design, back.sum(0), last


def invert(weight: NDArray[Any], bias: NDArray[Any]) -> Floats:
    """The patients that a layer's gradients suggest, one per unit whose bias has a gradient.

    ``weight`` (units, inputs) and ``bias`` (units,); logistic regression is one unit, (1, inputs)
    and (1,). For the gradient of one patient every row of the result is that patient.
    """
    weight, bias = np.atleast_2d(weight), np.atleast_1d(bias)
    if weight.shape[0] != bias.shape[0]:
        raise BadInput(
            f"a weight of shape {weight.shape} and a bias of shape {bias.shape}",
            "a layer has one bias for each row of its weight",
        )
    heard = np.abs(bias) > 0
    return np.asarray(weight[heard] / bias[heard, None], dtype=np.float64)


def relative_error(truth: NDArray[Any], suggested: Floats) -> float:
    """Distance of the closest suggestion to the closest patient, over that patient's length;
    ``truth`` (patients, inputs). 1 where nothing is suggested."""
    truth = np.atleast_2d(truth)
    if not len(suggested):
        return 1.0
    apart = np.sqrt(((suggested[:, None] - truth[None]) ** 2).sum(-1))
    length = np.sqrt((truth**2).sum(-1))
    return float((apart / np.maximum(length, 1e-12)).min())


def demonstrate(
    design: NDArray[Any],
    labels: NDArray[np.int64],
    *,
    hidden: int = 64,
    clip: float = 1.0,
    noise_multiplier: float = 1.0,
    trials: int = 20,
    seed: int = 0,
) -> Inversion:
    """Rebuild patients of ``design`` (n, inputs), standardised, from gradients of a new network.

    Three times: one patient; the best of a batch of 32; one patient whose whole gradient was
    clipped and noised as DP-SGD does, from all units together.
    """
    table = np.asarray(design, dtype=np.float64).reshape(len(design), -1)
    if len(table) < BATCH:
        raise BadInput(f"{len(table)} patients", f"the demonstration needs at least {BATCH}")
    rng = np.random.default_rng(seed)
    alone, together, noised = [], [], []
    for _ in range(trials):
        network = Network.drawn(table.shape[1], hidden, rng)
        rows = rng.choice(len(table), BATCH, replace=False)
        weight, bias, last = network.gradient(table[rows[:1]], labels[rows[:1]])
        alone.append(relative_error(table[rows[:1]], invert(weight, bias)))
        noised.append(
            _after_noise(table[rows[0]], (weight, bias, last), clip, noise_multiplier, rng)
        )
        weight, bias, _ = network.gradient(table[rows], labels[rows])
        together.append(relative_error(table[rows], invert(weight, bias)))
    return Inversion(
        float(np.median(alone)),
        float(np.median(together)),
        float(np.median(noised)),
        BATCH,
        clip,
        noise_multiplier,
        trials,
    )


def _after_noise(
    patient: Floats,
    parts: tuple[Floats, Floats, Floats],
    clip: float,
    noise_multiplier: float,
    rng: np.random.Generator,
) -> float:
    norm = float(np.sqrt(sum((part**2).sum() for part in parts)))
    weight, bias, _ = (
        part * min(1.0, clip / max(norm, 1e-12))
        + noise_multiplier * clip * rng.standard_normal(part.shape)
        for part in parts
    )
    fitted = bias @ weight / (bias @ bias)  # the least squares over units, best against noise
    return relative_error(patient, fitted[None])
