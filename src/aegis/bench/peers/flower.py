"""Flower's own simulation on Ray: its strategy, its grid, its actors, a plain PyTorch ClientApp.

Each Ray actor gets one core, all cores are used. A round lasts from one ``configure_train`` to the
next; the first one, in which Ray starts, is not counted.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from aegis.bench.peers.plain import fit, flat, network
from aegis.bench.problem import COMPARED_ROUND, Measured, rows_of, start
from aegis.messages import Vector

client = ClientApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    torch.set_num_threads(1)
    number = int(str(context.node_config["partition-id"]))
    net = network()
    net.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    fit(net, number, int(str(message.content.config_records["config"]["server-round"])))
    content = RecordDict(
        {
            "arrays": ArrayRecord(net.state_dict()),
            "metrics": MetricRecord({"num-examples": len(rows_of(number)[1])}),
        }
    )
    return Message(content=content, reply_to=message)


class TimedFedAvg(FedAvg):  # type: ignore[misc, unused-ignore]
    """FedAvg with a stopwatch."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.began: list[float] = []
        self.compared: Vector = start()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.began.append(perf_counter())
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        arrays, metrics = super().aggregate_train(server_round, replies)
        if server_round == COMPARED_ROUND and arrays is not None:
            self.compared = flat(arrays.to_torch_state_dict().values())
        return arrays, metrics


def simulation(hospitals: int, rounds: int) -> Measured:
    strategy = TimedFedAvg(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=hospitals,
        min_available_nodes=hospitals,
    )
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        net = network()
        torch.nn.utils.vector_to_parameters(torch.from_numpy(start()), net.parameters())
        strategy.start(grid, ArrayRecord(net.state_dict()), num_rounds=rounds)
        strategy.began.append(perf_counter())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_simulation(
            server_app=server,
            client_app=client,
            num_supernodes=hospitals,
            backend_config={
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                "init_args": {
                    "num_cpus": os.cpu_count() or 1,
                    "include_dashboard": False,
                    "object_store_memory": 100 * 1024 * 1024,
                },
            },
        )
    return Measured(np.diff(strategy.began)[1:].tolist(), strategy.compared)
