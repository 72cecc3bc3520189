"""Models as flat vectors: names and shapes, a seeded start, and a forward pass in numpy.

A ``Perceptron`` without hidden layers is logistic regression (float64); with hidden layers it is
the ReLU network of the same name (float32). Both give one logit per row for two classes, and one
for each class (softmax) where there are more; probabilities are made from logits where they are
shown. Parameters lie in the order of ``manifest``: each layer's weight
(out, in) row by row, then its bias.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.tasks.bounded import Prepared, read_preparation
from aegis.tasks.networks import NETWORKS, OWN_DROPOUT, Activation, Network
from aegis.tasks.networks.signals import leads
from aegis.tasks.pixels import Pixels

Start = Literal["zeros", "uniform"]

HIDDEN: Mapping[str, tuple[int, ...]] = {
    "logistic": (),
    "mlp": (64, 32, 16),
    "heart_mlp": (32, 16),
    "vitals_mlp": (64, 32, 16),
}
DROPOUT: Mapping[str, tuple[float, ...]] = {"vitals_mlp": (0.3, 0.2, 0.1)}
"""A network's own rates, which hold while its hidden layers are its own."""

INPUTS: Mapping[str, int] = {"heart_mlp": 13, "vitals_mlp": 4}
"""How many numbers go into a network that is made for one table."""

MOST_CURVED = 1500
"""Parameters of which a hospital sends gradient and curvature: a million numbers."""


@dataclass(frozen=True)
class Perceptron:
    """``inputs`` numbers in, ``hidden`` ReLU layers, ``outputs`` logits out: 1 for two classes,
    else one for each class.

    ``dropout`` (one rate per hidden layer, or none) acts in training only.
    """

    inputs: int
    hidden: tuple[int, ...] = ()
    dropout: tuple[float, ...] = ()
    outputs: int = 1

    @property
    def classes(self) -> int:
        return max(self.outputs, 2)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return np.dtype(np.float32 if self.hidden else np.float64)

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each layer."""
        widths = (self.inputs, *self.hidden, self.outputs)
        return tuple(itertools.pairwise(widths))

    @property
    def manifest(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and shape of each tensor, in the order in which they lie in the vector."""
        found: list[tuple[str, tuple[int, ...]]] = []
        for number, (fan_in, fan_out) in enumerate(self.layers):
            found += [
                (f"layer{number}.weight", (fan_out, fan_in)),
                (f"layer{number}.bias", (fan_out,)),
            ]
        return tuple(found)

    @property
    def size(self) -> int:
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in self.layers)

    def initial(self, seed: int, start: Start = "uniform") -> Vector:
        """Zeros, or uniform within 1/sqrt(fan-in) as PyTorch draws a linear layer."""
        if start == "zeros":
            return np.zeros(self.size, dtype=self.dtype)
        rng = np.random.Generator(np.random.Philox(key=seed))
        parts = []
        for fan_in, fan_out in self.layers:
            bound = 1.0 / np.sqrt(fan_in)
            parts.append(rng.uniform(-bound, bound, (fan_in + 1) * fan_out))
        return np.concatenate(parts).astype(self.dtype)

    def tensors(self, weights: Vector) -> dict[str, NDArray[np.floating]]:
        """Named views into the flat vector."""
        if weights.shape != (self.size,):
            raise BadInput(f"a vector of {weights.shape} is no model of {self.size} parameters")
        views, at = {}, 0
        for name, shape in self.manifest:
            length = int(np.prod(shape))
            views[name] = weights[at : at + length].reshape(shape)
            at += length
        return views

    def flat(self, tensors: Mapping[str, NDArray[np.floating]]) -> Vector:
        """The vector of named tensors; a missing, extra or misshapen one is a ``BadInput``."""
        wanted = dict(self.manifest)
        if set(tensors) != set(wanted):
            raise BadInput(
                f"the tensors {sorted(tensors)} are not this model's", f"it needs {sorted(wanted)}"
            )
        for name, shape in wanted.items():
            if tensors[name].shape != shape:
                raise BadInput(f"{name} has the shape {tensors[name].shape}", f"it needs {shape}")
        return np.concatenate([tensors[name].reshape(-1) for name in wanted]).astype(self.dtype)

    def logits(self, weights: Vector, design: NDArray[np.floating]) -> NDArray[np.floating]:
        """One logit per row of ``design`` (n, inputs): (n,), or (n, classes) for more than two."""
        tensors = self.tensors(weights)
        signal = design.astype(self.dtype, copy=False)
        last = len(self.layers) - 1
        for number in range(last + 1):
            signal = signal @ tensors[f"layer{number}.weight"].T + tensors[f"layer{number}.bias"]
            if number < last:
                signal = np.maximum(signal, 0)
        return signal if self.outputs > 1 else signal[:, 0]


def perceptron(
    name: str,
    inputs: int,
    hidden: tuple[int, ...] | None = None,
    dropout: tuple[float, ...] = (),
    classes: int = 2,
) -> Perceptron:
    """The network that a plan calls ``name``, for this many inputs and classes."""
    if name not in HIDDEN:
        raise BadInput(f"no table model is called {name}", f"there are {', '.join(HIDDEN)}")
    outputs = classes if classes > 2 else 1
    return Perceptron(inputs, HIDDEN[name] if hidden is None else hidden, dropout, outputs)


class Choice(Protocol):
    """The plan's ``model`` section, as far as the shape of a network goes."""

    @property
    def name(self) -> str: ...
    @property
    def hidden(self) -> Sequence[int] | None: ...
    @property
    def dropout(self) -> Sequence[float] | None: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def freeze_backbone(self) -> bool: ...
    @property
    def activation(self) -> Activation | None: ...


Model: TypeAlias = Perceptron | Network
"""A flat vector with names and shapes; what a plan's model is, whatever it is made of."""


def network(choice: Choice, preparation: str) -> Model:
    """The plan's network, with as many inputs as the preparation makes columns."""
    prepared = read_preparation(preparation)
    if choice.name in NETWORKS:
        return _of_convolutions(choice, prepared)
    inputs = len(prepared.features)
    hidden = None if choice.hidden is None else tuple(choice.hidden)
    own = DROPOUT.get(choice.name, ()) if hidden is None else ()
    dropout = own if choice.dropout is None else tuple(choice.dropout)
    return perceptron(choice.name, inputs, hidden, dropout, choice.num_classes)


def _of_convolutions(choice: Choice, prepared: Prepared) -> Network:
    own = (OWN_DROPOUT[choice.name],) if choice.name in OWN_DROPOUT else ()
    dropout = own if choice.dropout is None else tuple(choice.dropout)
    shape: tuple[int, ...]
    beside = 0
    if choice.name == "cnn1d":
        shape, beside = leads(prepared.names)
    elif isinstance(prepared, Pixels):
        shape = prepared.shape
    else:
        raise BadInput(f"{choice.name} takes images", "this task has none")
    frozen, activation = choice.freeze_backbone, choice.activation or "relu"
    return Network(choice.name, shape, choice.num_classes, dropout, beside, frozen, activation)


def described(model: Model) -> dict[str, Any]:
    """The model's shape as a card holds it; ``from_description`` reads it back."""
    found: dict[str, Any] = {
        "inputs": model.inputs,
        "hidden": list(model.hidden),
        "dropout": list(model.dropout),
        "parameters": model.size,
    }
    if model.outputs > 1:
        found["outputs"] = model.outputs
    if isinstance(model, Network):
        found["network"] = {
            "name": model.name,
            "shape": list(model.shape),
            "classes": model.classes,
            "beside": model.beside,
            "activation": model.activation,
        }
    return found


def from_description(shape: Mapping[str, Any]) -> Model:
    dropout = tuple(shape["dropout"])
    if (net := shape.get("network")) is not None:
        shape_of_row, beside, activation = tuple(net["shape"]), net["beside"], net["activation"]
        return Network(
            net["name"], shape_of_row, net["classes"], dropout, beside, activation=activation
        )
    return Perceptron(shape["inputs"], tuple(shape["hidden"]), dropout, shape.get("outputs", 1))


def model_bytes(model: Model, weights: Vector) -> bytes:
    """The model's safetensors file. Equal weights give equal bytes on every road."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(view) for name, view in model.tensors(weights).items()}
    return bytes(save(tensors))


def model_sha256(model: Model, weights: Vector) -> str:
    return hashlib.sha256(model_bytes(model, weights)).hexdigest()
