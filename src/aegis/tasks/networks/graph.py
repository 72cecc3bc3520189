"""A network as an ONNX graph, for those who want to run it without us."""

from __future__ import annotations

import io
import warnings
from typing import Any

from aegis.errors import MissingExtra
from aegis.messages import Vector
from aegis.tasks.networks.network import Network

OPSET = 18


def onnx_graph(network: Network, weights: Vector) -> bytes:
    """``inputs`` (n, inputs) float32, prepared as in training, to ``probability``: (n, 1), that of
    the positive class, or (n, classes). Raises ``MissingExtra`` without PyTorch or onnx."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtra("the export to ONNX", "onnx") from error
    from aegis.tasks.networks.modules import Runner

    runner = Runner(network)  # one of its own: the shared one is for training
    torch = runner.torch
    runner.load(weights)
    runner.module.eval()

    class Probability(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = runner.module

        def forward(self, rows: Any) -> Any:
            shares = torch.softmax(runner.forward(rows, self.net), dim=1)
            return shares[:, 1:] if network.classes == 2 else shares

    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            Probability().eval(),
            (torch.zeros(2, network.inputs),),
            buffer,
            input_names=["inputs"],
            output_names=["probability"],
            dynamic_axes={"inputs": {0: "n"}, "probability": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()
