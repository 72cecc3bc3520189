"""A version leaves the registry as a file that others can use.

safetensors   the registry's own bytes, and the card beside them
sklearn       one safetensors file with its card inside: what ``aegis.load`` reads
onnx          a graph from prepared numbers to a probability (needs the extra ``onnx``)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, MissingExtra
from aegis.store.home import write_whole
from aegis.store.predictor import DIGEST, EMBEDDED, Predictor
from aegis.store.registry import Registry, Version
from aegis.tasks.bounded import read_preparation
from aegis.tasks.models import Model, Perceptron

FORMATS = ("safetensors", "sklearn", "onnx")
OPSET = 17
MOST_NAMES = 2000


def export(registry: Registry, version: Version, kind: str, out: Path) -> list[Path]:
    """Write the version to ``out`` and return the files. Raises ``CheckFailed`` where the stored
    bytes are damaged, ``MissingExtra`` without what a format needs."""
    data = registry.verified_bytes(version)
    if kind == "safetensors":
        card = out.with_suffix(".json")
        write_whole(out, data)
        write_whole(card, version.text.encode())
        return [out, card]
    if kind == "sklearn":
        write_whole(out, with_card(version.model, registry.load(version), version.text))
    elif kind == "onnx":
        write_whole(out, onnx_bytes(version.model, registry.load(version), version.card))
    else:
        raise BadInput(f"no format is called {kind}", f"there are {', '.join(FORMATS)}")
    return [out]


def with_card(model: Model, weights: NDArray[np.floating], card: str) -> bytes:
    """One safetensors file that carries its card."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(view) for name, view in model.tensors(weights).items()}
    compact = json.dumps(json.loads(card), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(compact.encode()).hexdigest()
    return bytes(save(tensors, metadata={EMBEDDED: compact, DIGEST: digest}))


def onnx_bytes(model: Model, weights: NDArray[np.floating], card: Mapping[str, Any]) -> bytes:
    """``inputs`` (n, d), as ``Predictor.prepared`` makes them, to ``probability``: (n, 1), that of
    the positive class, or (n, classes). Names of the inputs, preparation and hash are among the
    graph's properties. Raises ``MissingExtra`` without onnx, for images also without torch."""
    try:
        from onnx import ModelProto, helper
    except ImportError as error:
        raise MissingExtra("the export to ONNX", "onnx") from error

    if isinstance(model, Perceptron):
        made = _perceptron(model, weights, f"aegis {card.get('task')}")
    else:
        from aegis.tasks.networks.graph import onnx_graph

        made = ModelProto.FromString(onnx_graph(model, weights))
    made.producer_name = "aegis"
    said = {
        "sha256": str(card.get("sha256")),
        "inputs": json.dumps(read_preparation(card["preparation"]).names[:MOST_NAMES]),
        "preparation": str(card["preparation"]),
        "note": str(card.get("note")),
    }
    helper.set_model_props(made, said)
    return bytes(made.SerializeToString())


def _perceptron(model: Perceptron, weights: NDArray[np.floating], name: str) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    tensors = model.tensors(weights)
    kind = TensorProto.DOUBLE if model.dtype == np.float64 else TensorProto.FLOAT
    nodes, constants, signal = [], [], "inputs"
    last = len(model.layers) - 1
    for number in range(last + 1):
        names = (f"layer{number}.weight", f"layer{number}.bias")
        constants += [numpy_helper.from_array(tensors[name].copy(), name) for name in names]
        made = "logit" if number == last else f"layer{number}.sum"
        nodes.append(helper.make_node("Gemm", [signal, *names], [made], transB=1))
        signal = made
        if number < last:
            signal = f"layer{number}.out"
            nodes.append(helper.make_node("Relu", [made], [signal]))
    if model.outputs == 1:
        nodes.append(helper.make_node("Sigmoid", ["logit"], ["probability"]))
    else:
        nodes.append(helper.make_node("Softmax", ["logit"], ["probability"], axis=1))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("inputs", kind, ["n", model.inputs])],
        [helper.make_tensor_value_info("probability", kind, ["n", model.outputs])],
        constants,
    )
    made_of = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made_of.ir_version = 8
    return made_of


def exported_name(version: Version, kind: str) -> str:
    return f"{version.task}-{version.sha256[:12]}.{'onnx' if kind == 'onnx' else 'safetensors'}"


def as_table(model: Predictor, probabilities: NDArray[np.float64]) -> list[dict[str, Any]]:
    """One row for each patient: the class, and its probability (of the positive one; of more than
    two classes each has a column)."""
    rows: list[dict[str, Any]] = []
    if probabilities.shape[1] == 2:
        for _, share in probabilities.tolist():
            rows.append({"prediction": int(share >= model.threshold), "probability": share})
        return rows
    names = model.schema.classes or tuple(map(str, range(probabilities.shape[1])))
    for shares in probabilities.tolist():
        row: dict[str, Any] = {"prediction": names[shares.index(max(shares))]}
        row |= {f"probability {name}": p for name, p in zip(names, shares, strict=True)}
        rows.append(row)
    return rows
