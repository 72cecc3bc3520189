"""What each network is made of, layer by layer: names, shapes and activations, without PyTorch.

So a coordinator knows the shape and the start of a model of 11 million parameters, hashes it and
adds updates up, with nothing installed but NumPy; PyTorch is needed only where gradients are. The
names are those that the modules of ``modules`` give their parameters (those of MONAI where it has
the network), and tests hold the two against each other.

Every normalisation is over groups of channels of one image (Wu and He 2018), so that no image moves
another: that is what DP-SGD needs, and it leaves no running means to be averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

GROUPS = 32
FEW_GROUPS = 8

Activation = Literal["relu", "tanh"]
SPOKEN: Mapping[str, str] = {"relu": "ReLU", "tanh": "tanh"}

FOR_IMAGES = ("simple_cnn", "resnet18", "densenet121")
NETWORKS = (*FOR_IMAGES, "cnn1d")
SMALL = ("simple_cnn", "cnn1d")
"""Ours: what follows their convolutions can be chosen."""
OWN_DROPOUT: Mapping[str, float] = {"cnn1d": 0.7}
"""The share of what convolutions tell the last layer that is dropped where a plan says nothing."""

SIMPLE = (16, 32, 64)
SIGNAL = ((8, 7), (16, 5), (16, 5))
SHORT = 512
"""Signals of up to so many numbers also go to the last layer as they are."""
DENSE_BLOCKS = (6, 12, 24, 16)
GROWTH, BOTTLENECK = 32, 4


@dataclass(frozen=True)
class Layer:
    """``channels`` is what a normalisation sees, or what goes in and out of the others; ``kernel``
    the places a convolution looks at in each direction. ``activation`` follows the layer."""

    name: str
    kind: Literal["convolution", "group norm", "linear"]
    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()
    bias: bool = True
    activation: str = ""
    groups: int = 0

    @property
    def tensors(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        if self.kind == "group norm":
            weight: tuple[int, ...] = (self.outputs,)
        else:
            weight = (self.outputs, self.inputs, *self.kernel)
        found = ((f"{self.name}.weight", weight),)
        return (*found, (f"{self.name}.bias", (self.outputs,))) if self.bias else found


def convolution(
    name: str, inputs: int, outputs: int, *kernel: int, bias: bool = False, activation: str = ""
) -> Layer:
    return Layer(name, "convolution", inputs, outputs, kernel, bias, activation)


def group_norm(name: str, channels: int, activation: str = "ReLU", groups: int = GROUPS) -> Layer:
    return Layer(name, "group norm", channels, channels, activation=activation, groups=groups)


def linear(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(name, "linear", inputs, outputs)


def layers_of(
    name: str,
    shape: tuple[int, ...],
    outputs: int,
    beside: int = 0,
    activation: Activation = "relu",
) -> Iterator[Layer]:
    """The layers of a network in the order of its vector. ``shape`` is one row's; ``beside``
    numbers join before the last layer (``cnn1d`` only)."""
    match name:
        case "simple_cnn":
            yield from _simple(shape[0], outputs, SPOKEN[activation])
        case "resnet18":
            yield from _resnet(shape[0], outputs)
        case "densenet121":
            yield from _densenet(shape[0], outputs)
        case "cnn1d":
            yield from _signal(shape, outputs, beside, SPOKEN[activation])
        case _:
            raise KeyError(name)


def _simple(channels: int, outputs: int, activation: str) -> Iterator[Layer]:
    for number, width in enumerate(SIMPLE, 1):
        yield convolution(f"conv{number}", channels, width, 3, 3, bias=True)
        yield group_norm(f"norm{number}", width, activation, FEW_GROUPS)
        channels = width
    yield linear("head", channels, outputs)


def _signal(shape: tuple[int, ...], outputs: int, beside: int, activation: str) -> Iterator[Layer]:
    """Convolutions along time; beside what they find on average, the last layer sees the signal
    itself and what else is known (Cheng et al. 2016). Of 22 patients convolutions alone learn who
    they are: on others they had an AUC of .85 to .93, these .94 to .96."""
    channels, length = shape
    straight = channels * length if channels * length <= SHORT else 0
    for number, (width, kernel) in enumerate(SIGNAL, 1):
        yield convolution(f"conv{number}", channels, width, kernel, bias=True)
        yield group_norm(f"norm{number}", width, activation, FEW_GROUPS)
        channels = width
    yield linear("head", channels + straight + beside, outputs)


def _resnet(channels: int, outputs: int) -> Iterator[Layer]:
    """He et al. 2016, with two blocks at each of four widths."""
    yield convolution("conv1", channels, 64, 7, 7)
    yield group_norm("bn1", 64)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            yield convolution(f"{name}.conv1", inputs, width, 3, 3)
            yield group_norm(f"{name}.bn1", width)
            yield convolution(f"{name}.conv2", width, width, 3, 3)
            yield group_norm(f"{name}.bn2", width, "ReLU after adding")
            if inputs != width:
                yield convolution(f"{name}.downsample.0", inputs, width, 1, 1, bias=True)
                yield group_norm(f"{name}.downsample.1", width, "")
            inputs = width
    yield linear("fc", inputs, outputs)


def _densenet(channels: int, outputs: int) -> Iterator[Layer]:
    """Huang et al. 2017: every layer sees what all before it in its block put out."""
    yield convolution("features.conv0", channels, 64, 7, 7)
    yield group_norm("features.norm0", 64)
    width = 64
    for stage, depth in enumerate(DENSE_BLOCKS, 1):
        for number in range(1, depth + 1):
            name = f"features.denseblock{stage}.denselayer{number}.layers"
            yield group_norm(f"{name}.norm1", width)
            yield convolution(f"{name}.conv1", width, BOTTLENECK * GROWTH, 1, 1)
            yield group_norm(f"{name}.norm2", BOTTLENECK * GROWTH)
            yield convolution(f"{name}.conv2", BOTTLENECK * GROWTH, GROWTH, 3, 3)
            width += GROWTH
        if stage < len(DENSE_BLOCKS):
            yield group_norm(f"features.transition{stage}.norm", width)
            yield convolution(f"features.transition{stage}.conv", width, width // 2, 1, 1)
            width //= 2
    yield group_norm("features.norm5", width)
    yield linear("class_layers.out", width, outputs)
