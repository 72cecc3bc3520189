"""Server optimizers: what the coordinator does with the combined update.

Each is a frozen value: ``step`` takes the weights, the combined change and its memory, and returns
the new weights and the new memory; nothing is kept inside. Arithmetic is float64, the weights keep
their own type. FedAdam, FedYogi and FedAdagrad follow Reddi et al. 2021 ("Adaptive Federated
Optimization"), without bias correction; FedAvgM is Hsu et al. 2019; SCAFFOLD is Karimireddy et al.
2020, with the control variate weighted by examples as the model is; cyclic weight transfer is Chang
et al. 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from aegis.aggregation.newton import newton_step
from aegis.errors import BadInput
from aegis.messages import Vector

Memory = Mapping[str, Vector]


class ServerOptimizer(Protocol):
    def step(self, weights: Vector, change: Vector, memory: Memory) -> tuple[Vector, Memory]: ...


@dataclass(frozen=True)
class FedAvgStep:
    """weights + learning_rate * change."""

    learning_rate: float = 1.0

    def step(self, weights: Vector, change: Vector, memory: Memory) -> tuple[Vector, Memory]:
        return _moved(weights, self.learning_rate * change), memory


@dataclass(frozen=True)
class FedAvgM:
    learning_rate: float = 1.0
    momentum: float = 0.9

    def step(self, weights: Vector, change: Vector, memory: Memory) -> tuple[Vector, Memory]:
        velocity = self.momentum * memory.get("velocity", 0.0) + change
        return _moved(weights, self.learning_rate * velocity), {**memory, "velocity": velocity}


@dataclass(frozen=True)
class Adaptive:
    """``kind``: adam, yogi or adagrad; they differ in how the second moment grows."""

    kind: str
    learning_rate: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    tau: float = 1e-8

    def step(self, weights: Vector, change: Vector, memory: Memory) -> tuple[Vector, Memory]:
        square = change * change
        first = self.beta1 * memory.get("first", 0.0) + (1 - self.beta1) * change
        second = memory.get("second", np.zeros_like(square))
        match self.kind:
            case "adam":
                second = self.beta2 * second + (1 - self.beta2) * square
            case "yogi":
                second = second - (1 - self.beta2) * square * np.sign(second - square)
            case _:
                second = second + square
        moved = _moved(weights, self.learning_rate * first / (np.sqrt(second) + self.tau))
        return moved, {**memory, "first": first, "second": second}


@dataclass(frozen=True)
class NewtonSolve:
    """The combined gradient and curvature become one Newton step; the memory keeps them."""

    learning_rate: float = 1.0

    def step(self, weights: Vector, change: Vector, memory: Memory) -> tuple[Vector, Memory]:
        moved = _moved(weights, self.learning_rate * newton_step(change, len(weights)))
        return moved, {**memory, "curvature": change}


def server_optimizer(
    name: str,
    *,
    solver: str = "sgd",
    learning_rate: float = 1.0,
    momentum: float = 0.9,
    beta1: float = 0.9,
    beta2: float = 0.999,
    tau: float = 1e-8,
) -> ServerOptimizer:
    """The optimizer that a plan calls ``name``."""
    if solver == "newton":
        return NewtonSolve(learning_rate)
    match name:
        case "fedavg" | "scaffold" | "cyclic":
            return FedAvgStep(learning_rate)
        case "fedavgm":
            return FedAvgM(learning_rate, momentum)
        case "fedadam" | "fedyogi" | "fedadagrad":
            adaptive = Adaptive(name.removeprefix("fed"), learning_rate)
            return replace(adaptive, beta1=beta1, beta2=beta2, tau=tau)
        case _:
            raise BadInput(f"no server optimizer is called {name}")


def _moved(weights: Vector, by: Vector) -> Vector:
    moved: Vector = (weights.astype(np.float64) + by).astype(weights.dtype)
    return moved
