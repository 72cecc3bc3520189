"""The seam of training: a job goes in, a contribution comes out, one at a time or many at once.

A trainer turns (weights, rows, settings) into one flat vector. ``train_many`` gives the same
vectors for a stack of hospitals at another speed: equal to 1e-5 in float32 and 1e-12 in float64.
Batches come from ``order``, a counter-based shuffle keyed by (seed, round, epoch, hospital), so any
engine, any order of hospitals and any subset of them sees the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.privacy.dpsgd import DpSgd
from aegis.tasks.models import Model, Perceptron


@dataclass(frozen=True)
class Settings:
    """What the plan fixes for local training.

    ``solver``: ``sgd`` takes local mini-batch steps; ``gradient`` returns one full-batch step;
    ``newton`` returns gradient and curvature for the coordinator to solve. ``local_steps``, where
    set, counts optimizer steps and replaces ``local_epochs``. ``l2`` is the ridge penalty
    l2/2 * |w|^2 added to the SUM of all hospitals' log-losses (scikit-learn's 1/C), never on a
    bias. Without ``measure_loss`` the stacked engine reports NaN and saves a pass over the rows.
    ``proximal_mu`` pulls towards the weights received (FedProx, Li et al. 2020). ``class_weights``
    multiply the log-loss of the rows of each class (scikit-learn's class_weight); none: 1 each.
    ``local_odds`` lets networks of convolutions set a hospital's own log-odds against those of all
    (``training.deep``).
    """

    solver: Literal["sgd", "gradient", "newton"] = "sgd"
    optimizer: Literal["sgd", "adam"] = "sgd"
    batch_size: int = 32
    local_epochs: int = 1
    local_steps: int | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal_mu: float = 0.0
    l2: float = 0.0
    class_weights: tuple[float, ...] = ()
    measure_loss: bool = True
    local_odds: bool = False


def as_steps(settings: Settings) -> Settings:
    """``gradient`` put as mini-batches: one plain step with a batch that holds every row."""
    match settings.solver:
        case "sgd":
            return settings
        case "gradient":
            return Settings(
                batch_size=2**62,
                local_steps=1,
                weight_decay=settings.weight_decay,
                l2=settings.l2,
                class_weights=settings.class_weights,
            )
        case "newton":
            raise BadInput(
                "solver newton takes no steps in a hospital",
                "it is there for logistic regression",
                "Use model.name: logistic, or training.solver: sgd",
            )


@dataclass(frozen=True)
class Job:
    """One hospital's work in one round.

    ``design`` is (n, inputs), ``labels`` (n,) are 0 and 1, or numbers of classes, ``weights`` flat.
    ``correction`` (SCAFFOLD's c - c_i, Karimireddy et al. 2020) is added to every step's gradient.
    ``private`` is what every step must be clipped and noised with; only ``PrivateTrainer`` and
    ``DeepTrainer`` do so. ``odds`` are the log-odds of illness among all patients, where known.
    """

    hospital: str
    seed: int
    round: int
    model: Model
    weights: Vector
    design: NDArray[np.floating]
    labels: NDArray[np.int64]
    learning_rate: float
    total_examples: int
    settings: Settings
    correction: Vector | None = None
    private: DpSgd | None = None
    odds: float | None = None

    @property
    def perceptron(self) -> Perceptron:
        """The model, where it is one of linear layers; ``BadInput`` where it is not."""
        if not isinstance(self.model, Perceptron):
            raise BadInput(f"{self.model.name} is trained by PyTorch", "this engine trains tables")
        return self.model


@dataclass(frozen=True)
class Trained:
    """``vector`` is the change of the weights after local training (for ``newton``: the mean
    gradient, then the upper triangle of the mean Hessian, row by row). ``steps`` counts optimizer
    steps, ``loss`` is the mean log-loss over the rows before the first step. ``private`` is the
    mechanism that every step went through, or None."""

    vector: Vector
    steps: int
    loss: float
    private: DpSgd | None = None


class Trainer(Protocol):
    def train(self, job: Job) -> Trained: ...

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]: ...


_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(2**32 - 1)
_LAST = np.uint64(2**64 - 1)


def shuffle_key(seed: int, round: int, epoch: int, hospital: str) -> np.uint64:
    """64 bits that name one shuffle."""
    text = f"aegis/shuffle/v1|{seed}|{round}|{epoch}|{hospital}"
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def scrambled(keys: NDArray[np.uint64], counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014) of key + counter * gamma, broadcast. Each pair gives
    64 well-mixed bits in any order of asking, and one key never gives the same bits twice. Not for
    secrets."""
    with np.errstate(over="ignore"):
        z = keys + counters * _GAMMA
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z


def order(
    keys: NDArray[np.uint64], rows: int, counts: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """The shuffled row numbers, (len(keys), rows): the rows by the upper half of their scrambled
    number, and by the row where two halves are equal.

    With ``counts`` (len(keys),) each shuffle is of its first ``counts`` rows only, as it would be
    alone; what stands behind them is filling.
    """
    numbers = np.arange(rows, dtype=np.uint64)
    z = scrambled(keys[:, None], numbers + np.uint64(1))
    z &= ~_LOW
    z |= numbers  # one sort of numbers that carry their row is faster than an argsort
    if counts is not None:
        z |= (numbers >= counts[:, None].astype(np.uint64)) * _LAST
    z.sort(axis=1)
    z &= _LOW
    return z.astype(np.intp)


def batches(job: Job) -> list[NDArray[np.intp]]:
    """The row numbers of every step, epoch after epoch; the last batch of an epoch may be short."""
    rows, size = len(job.labels), job.settings.batch_size
    per_epoch = -(-rows // size)
    steps = job.settings.local_steps or job.settings.local_epochs * per_epoch
    found: list[NDArray[np.intp]] = []
    epoch = 0
    while rows and len(found) < steps:
        key = np.array([shuffle_key(job.seed, job.round, epoch, job.hospital)])
        shuffled = order(key, rows)[0]
        found += [shuffled[at : at + size] for at in range(0, rows, size)]
        epoch += 1
    return found[:steps]
