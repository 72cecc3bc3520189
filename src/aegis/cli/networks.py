"""What ``aegis models show`` says of a network of convolutions: every layer, and what it weighs."""

from __future__ import annotations

import math
from typing import Any

import typer

from aegis.cli.options import answer

IMAGE = (1, 28, 28)


def show_network(name: str, as_json: bool, classes: int = 2, channels: int = 1) -> None:
    """Grey images of 28 x 28 where nobody says otherwise; how large they are changes no
    parameter. A signal is as the task ecg has it."""
    network = _network(name, classes, channels)
    layers: list[dict[str, Any]] = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "inputs": layer.inputs,
            "outputs": layer.outputs,
            "kernel": list(layer.kernel),
            "groups": layer.groups,
            "activation": layer.activation,
            "dropout": 0.0,
            "parameters": sum(math.prod(shape) for _, shape in layer.tensors),
        }
        for layer in network.layers
    ]
    layers[-1] |= {"activation": "sigmoid" if classes == 2 else "softmax"}
    layers[-1]["dropout"] = network.dropout[0] if network.dropout else 0.0
    if as_json:
        answer({"model": name, "layers": layers, "parameters": network.size})
        return
    typer.echo(f"model     {name}")
    typer.echo(f"input     {' x '.join(map(str, network.shape))}{_beside(network.beside)}")
    for layer in layers:
        typer.echo(f"layer     {_sentence(layer)}")
    typer.echo(f"parameters {network.size:,}")


def _network(name: str, classes: int, channels: int) -> Any:
    from aegis.tasks.networks import OWN_DROPOUT, Network

    dropout = (OWN_DROPOUT[name],) if name in OWN_DROPOUT else ()
    if name != "cnn1d":
        return Network(name, (channels, *IMAGE[1:]), classes, dropout)
    from aegis.tasks.ecg import SCHEMA
    from aegis.tasks.networks.signals import leads

    shape, beside = leads(SCHEMA.names)
    return Network(name, shape, classes, dropout, beside)


def _beside(numbers: int) -> str:
    return f" and {numbers} numbers beside" if numbers else ""


def _sentence(layer: dict[str, Any]) -> str:
    said = f"{layer['name']}: {layer['kind']}"
    if layer["kernel"]:
        said += f" {' x '.join(map(str, layer['kernel']))}"
    if layer["kind"] == "group norm":
        said += f" of {layer['outputs']} channels in {layer['groups']} groups"
    else:
        said += f", {layer['inputs']} -> {layer['outputs']}"
    if layer["activation"]:
        said += f", {layer['activation']}"
    if layer["dropout"]:
        said += f", dropout {layer['dropout']:g} before it"
    return f"{said}, {layer['parameters']:,} parameters"
