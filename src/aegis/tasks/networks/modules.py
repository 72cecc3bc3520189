"""The networks as PyTorch modules. The only module that imports MONAI.

MONAI's ResNet-18 and DenseNet-121 are taken apart as far as privacy asks for it: GroupNorm in place
of every BatchNorm, no activation in place, and in ResNet's blocks a sum that leaves its terms alone
(an addition in place destroys what gradients of single records are computed from). Images are laid
out channels last, which halves the time of a step on a processor.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import MissingExtra
from aegis.messages import Vector
from aegis.tasks.networks.layouts import FEW_GROUPS, GROUPS, SHORT, SIGNAL, SIMPLE
from aegis.tasks.networks.network import Network

Coins = Callable[[tuple[int, ...]], NDArray[np.bool_]]
"""From a shape, which of so many units are kept."""

HUSHED, STRAIGHT, RAISED = 0.3, 2.0, 5.0
AT_ONCE = 256
LEAST_FOR_DENSENET = 32
SMALL_IMAGE = 64
_LOCK = RLock()


@contextmanager
def torch_on_one_thread(wanted_by: str) -> Iterator[Any]:
    """PyTorch with one thread inside: the same bits on one core and on many. Who else asks waits:
    the number of threads and the modules belong to the whole process. Raises ``MissingExtra`` where
    it is not installed."""
    torch = import_torch(wanted_by)
    with _LOCK:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield torch
        finally:
            torch.set_num_threads(before)


def import_torch(wanted_by: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(wanted_by, "torch") from error
    return torch


class Runner:
    """One network as a module, its weights put in from a vector. ``drop`` tells which of the last
    layer's inputs are kept in training; without it nothing is dropped."""

    def __init__(self, network: Network) -> None:
        self.torch = import_torch(f"model.name: {network.name}")
        self.network = network
        self.drop: Coins | None = None
        self.module = _built(self.torch, network)
        named = dict(self.module.named_parameters())
        self.parameters = [named[name] for name, _ in network.manifest]
        self.head = self.module.get_submodule(network.layers[-1].name)
        if network.name == "cnn1d":
            self.module.dropped = self._dropped
        else:
            self.head.register_forward_pre_hook(lambda _, given: (self._dropped(given[0]),))
        if network.frozen:
            self.module.requires_grad_(False)
            self.head.requires_grad_(True)

    @classmethod
    def of(cls, network: Network) -> Runner:
        """The runner of this network, one for the whole process."""
        return _runner(network)

    @property
    def trained(self) -> list[tuple[slice, Any]]:
        """The parameters that training moves, each with its place in the vector."""
        found, at = [], 0
        for parameter in self.parameters:
            if parameter.requires_grad:
                found.append((slice(at, at + parameter.numel()), parameter))
            at += parameter.numel()
        return found

    def load(self, weights: Vector) -> None:
        tensors = self.network.tensors(weights.astype(np.float32, copy=False))
        with self.torch.no_grad():
            for parameter, (name, _) in zip(self.parameters, self.network.manifest, strict=True):
                parameter.copy_(self.torch.from_numpy(np.ascontiguousarray(tensors[name])))

    def forward(self, rows: Any, module: Any = None) -> Any:
        """(n, classes) outputs of rows (n, inputs)."""
        net, network = module or self.module, self.network
        if network.name == "cnn1d":
            return net(rows)
        images = rows.reshape(-1, *network.shape)  # not len(rows), which a traced graph would keep
        lacking = [max(0, LEAST_FOR_DENSENET - size) for size in network.shape[1:]]
        if network.name == "densenet121" and any(lacking):
            (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in lacking)
            pad = self.torch.nn.functional.pad
            images = pad(images, (left, right, top, bottom), mode="replicate")
        return net(images.contiguous(memory_format=self.torch.channels_last))

    def logits(self, weights: Vector, design: NDArray[np.floating]) -> NDArray[np.floating]:
        """One logit per row, or (n, classes) for more than two."""
        with torch_on_one_thread(self.network.name) as torch, torch.no_grad():
            self.load(weights)
            self.drop = None
            rows = torch.from_numpy(np.ascontiguousarray(design, dtype=np.float32))
            parts = [self.forward(rows[at : at + AT_ONCE]) for at in range(0, len(rows), AT_ONCE)]
            outputs = torch.cat(parts) if parts else torch.zeros(0, self.network.classes)
            found: NDArray[np.floating] = one_logit(outputs).numpy()
        return found

    def _dropped(self, found: Any) -> Any:
        rate = self.network.dropout[0] if self.network.dropout else 0.0
        if not rate or self.drop is None:
            return found
        kept = self.torch.from_numpy(self.drop(tuple(found.shape)))
        return found * kept / (1 - rate)


@lru_cache(maxsize=4)
def _runner(network: Network) -> Runner:
    return Runner(network)


def one_logit(outputs: Any) -> Any:
    """Of two outputs their difference; more are left as they are."""
    return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs


def _built(torch: Any, network: Network) -> Any:
    match network.name:
        case "simple_cnn":
            module = _simple(torch.nn, network)
        case "cnn1d":
            module = _signal(torch, network)
        case "resnet18":
            module = _resnet(torch.nn, network)
        case _:
            module = _densenet(network)
    _made_private(torch.nn, module)
    if network.name != "cnn1d":
        module = module.to(memory_format=torch.channels_last)
    return module


def _simple(nn: Any, network: Network) -> Any:
    channels, active = network.shape[0], nn.Tanh if network.activation == "tanh" else nn.ReLU
    parts: list[tuple[str, Any]] = []
    for number, width in enumerate(SIMPLE, 1):
        parts += [
            (f"conv{number}", nn.Conv2d(channels, width, 3, padding=1)),
            (f"norm{number}", nn.GroupNorm(FEW_GROUPS, width)),
            (f"{network.activation}{number}", active()),
            (f"pool{number}", nn.MaxPool2d(2)),
        ]
        channels = width
    parts += [("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    return nn.Sequential(OrderedDict([*parts, ("head", nn.Linear(channels, network.classes))]))


def _signal(torch: Any, network: Network) -> Any:
    nn: Any = torch.nn
    channels, length = network.shape
    active = torch.tanh if network.activation == "tanh" else torch.relu

    class Signal(nn.Module):  # type: ignore[misc]
        """Convolutions along time, and the signal itself, in sizes that let what stands beside
        it be heard first."""

        def __init__(self) -> None:
            super().__init__()
            self.dropped: Any = lambda found: found
            width = channels
            for number, (wider, kernel) in enumerate(SIGNAL, 1):
                self.add_module(
                    f"conv{number}", nn.Conv1d(width, wider, kernel, padding=kernel // 2)
                )
                self.add_module(f"norm{number}", nn.GroupNorm(FEW_GROUPS, wider))
                width = wider
            straight = channels * length if channels * length <= SHORT else 0
            self.head = nn.Linear(width + straight + network.beside, network.classes)

        def forward(self, rows: Any) -> Any:
            flat, beside = rows[:, : channels * length], rows[:, channels * length :]
            signal = flat.reshape(-1, channels, length)
            for number in range(1, len(SIGNAL) + 1):
                if number > 1:
                    signal = nn.functional.max_pool1d(signal, 2)
                signal = self.get_submodule(f"conv{number}")(signal)
                signal = active(self.get_submodule(f"norm{number}")(signal))
            parts = [HUSHED * self.dropped(signal.mean(2)), RAISED * beside]
            if flat.shape[1] <= SHORT:
                parts.insert(1, STRAIGHT * flat)
            return self.head(torch.cat(parts, 1))

    return Signal()


def _resnet(nn: Any, network: Network) -> Any:
    resnet, _ = _monai()

    class Block(resnet.ResNetBlock):  # type: ignore[misc,name-defined]
        def forward(self, signal: Any) -> Any:
            made = self.bn2(self.conv2(self.act(self.bn1(self.conv1(signal)))))
            kept = signal if self.downsample is None else self.downsample(signal)
            return self.act(made + kept)

    small = max(network.shape[1:]) <= SMALL_IMAGE
    return resnet.ResNet(
        Block,
        [2, 2, 2, 2],
        [64, 128, 256, 512],
        spatial_dims=2,
        n_input_channels=network.shape[0],
        conv1_t_stride=1 if small else 2,
        num_classes=network.classes,
    )


def _densenet(network: Network) -> Any:
    _, densenet = _monai()
    whole: Any = densenet.DenseNet121
    return whole(spatial_dims=2, in_channels=network.shape[0], out_channels=network.classes)


def _monai() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from monai.networks.nets import densenet, resnet
    except ImportError as error:
        raise MissingExtra("model.name: resnet18 or densenet121", "torch") from error
    return resnet, densenet


def _made_private(nn: Any, module: Any) -> None:
    """GroupNorm in place of BatchNorm, and nothing changed in place."""
    for name, part in list(module.named_modules()):
        if isinstance(part, nn.ReLU):
            part.inplace = False
        if isinstance(part, nn.BatchNorm2d):
            *above, last = name.split(".")
            owner = module.get_submodule(".".join(above))
            owner.register_module(last, nn.GroupNorm(GROUPS, part.num_features))
