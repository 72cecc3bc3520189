"""A network for images or signals: its vector, its seeded start, and its logits.

It stands where a ``Perceptron`` stands. The vector is float32 and lies in the order of
``manifest``; where it comes from and where it goes, nobody needs PyTorch. ``logits`` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.tasks.networks.layouts import NETWORKS, SMALL, Activation, Layer, layers_of


@dataclass(frozen=True)
class Network:
    """``shape`` is what one row is: (channels, height, width) of an image, (channels, length) of a
    signal. ``beside`` numbers follow a signal's values in its row and join before the last layer.
    ``dropout`` is one rate, for what convolutions tell the last layer, or none. With ``frozen``
    training moves the last layer only. ``activation`` follows the convolutions of the small ones.
    Two classes give two outputs, whose difference is the one logit.
    """

    name: str
    shape: tuple[int, ...]
    classes: int = 2
    dropout: tuple[float, ...] = ()
    beside: int = 0
    frozen: bool = False
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if self.name not in NETWORKS:
            raise BadInput(f"no network is called {self.name}", f"there are {', '.join(NETWORKS)}")
        wanted = "a signal" if self.name == "cnn1d" else "an image"
        if len(self.shape) != (2 if self.name == "cnn1d" else 3):
            raise BadInput(f"{self.name} takes {wanted}, and rows are {self.shape}")
        if self.activation != "relu" and self.name not in SMALL:
            raise BadInput(f"{self.name} has the activation that it was published with, ReLU")
        least = 4 if self.name == "cnn1d" else 8
        if min(self.shape[1:]) < least:
            raise BadInput(f"{wanted} of {self.shape[1:]} is too small for {self.name}")

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return np.dtype(np.float32)

    @property
    def inputs(self) -> int:
        """Numbers in one row."""
        return math.prod(self.shape) + self.beside

    @property
    def outputs(self) -> int:
        """Logits of a row: 1 for two classes, else one for each."""
        return 1 if self.classes == 2 else self.classes

    @property
    def hidden(self) -> tuple[int, ...]:
        """How many channels each convolution puts out."""
        return tuple(one.outputs for one in self.layers if one.kind == "convolution")

    @property
    def layers(self) -> tuple[Layer, ...]:
        return _layers(self.name, self.shape, self.classes, self.beside, self.activation)

    @property
    def manifest(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and shape of each tensor, in the order in which they lie in the vector."""
        return tuple(tensor for layer in self.layers for tensor in layer.tensors)

    @property
    def size(self) -> int:
        return sum(math.prod(shape) for _, shape in self.manifest)

    def initial(self, seed: int, start: Literal["zeros", "uniform"] = "uniform") -> Vector:
        """Zeros; or uniform within sqrt(6 / fan-in) for convolutions (He et al. 2015) and within
        1 / sqrt(fan-in) for the last layer, normalisations as the identity."""
        vector = np.zeros(self.size, np.float32)
        if start == "zeros":
            return vector
        rng = np.random.Generator(np.random.Philox(key=seed))
        views = self.tensors(vector)
        for layer in self.layers:
            weight = views[f"{layer.name}.weight"]
            if layer.kind == "group norm":
                weight[:] = 1
                continue
            fan_in = weight[0].size
            bound = math.sqrt(6 / fan_in) if layer.kind == "convolution" else fan_in**-0.5
            weight[:] = rng.uniform(-bound, bound, weight.shape)
            if layer.bias:
                bound = fan_in**-0.5
                bias = views[f"{layer.name}.bias"]
                bias[:] = rng.uniform(-bound, bound, bias.shape)
        return vector

    def tensors(self, weights: Vector) -> dict[str, NDArray[np.floating]]:
        """Named views into the flat vector."""
        if weights.shape != (self.size,):
            raise BadInput(f"a vector of {weights.shape} is no model of {self.size} parameters")
        views, at = {}, 0
        for name, shape in self.manifest:
            length = math.prod(shape)
            views[name] = weights[at : at + length].reshape(shape)
            at += length
        return views

    def flat(self, tensors: Mapping[str, NDArray[np.floating]]) -> Vector:
        """The vector of named tensors; a missing, extra or misshapen one is a ``BadInput``."""
        wanted = dict(self.manifest)
        if set(tensors) != set(wanted):
            strange = sorted(set(tensors) ^ set(wanted))[:5]
            raise BadInput(f"these tensors are not {self.name}'s", f"they differ in {strange}")
        for name, shape in wanted.items():
            if tensors[name].shape != shape:
                raise BadInput(f"{name} has the shape {tensors[name].shape}", f"it needs {shape}")
        flat = np.concatenate([np.ravel(tensors[name]) for name in wanted])
        return flat.astype(np.float32, copy=False)

    def logits(self, weights: Vector, design: NDArray[np.floating]) -> NDArray[np.floating]:
        """One logit per row of ``design`` (n, inputs), or (n, classes) for more than two."""
        from aegis.tasks.networks.modules import Runner

        return Runner.of(self).logits(weights, design)


@cache
def _layers(
    name: str, shape: tuple[int, ...], outputs: int, beside: int, activation: Activation
) -> tuple[Layer, ...]:
    return tuple(layers_of(name, shape, outputs, beside, activation))
