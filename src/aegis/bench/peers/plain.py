"""A loop over hospitals in plain PyTorch, as a first script would have it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import torch

from aegis.bench.problem import (
    COMPARED_ROUND,
    LEARNING_RATE,
    MODEL,
    Measured,
    job,
    rows_of,
    start,
)
from aegis.messages import Vector
from aegis.training.trainer import batches


def network() -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in MODEL.layers:
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def rows_as_tensors(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    design, labels = rows_of(number)
    return torch.from_numpy(design), torch.from_numpy(labels.astype(np.float32))


def fit(net: torch.nn.Module, number: int, round: int) -> None:
    """One epoch at one hospital."""
    design, labels = rows_as_tensors(number)
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    criterion = torch.nn.BCEWithLogitsLoss()
    for rows in batches(job(number, round, start())):
        optimizer.zero_grad()
        criterion(net(design[rows])[:, 0], labels[rows]).backward()
        optimizer.step()


def flat(state: Any) -> Vector:
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in state])


def loop(hospitals: int, rounds: int) -> Measured:
    torch.set_num_threads(1)
    net, seconds = network(), []
    torch.nn.utils.vector_to_parameters(torch.from_numpy(start()), net.parameters())
    total = sum(len(rows_of(number)[1]) for number in range(hospitals))
    compared = start()
    for round in range(1, rounds + 1):
        began = perf_counter()
        state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        mean = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        for number in range(hospitals):
            net.load_state_dict(state)
            fit(net, number, round)
            share = len(rows_of(number)[1]) / total
            for name, tensor in net.state_dict().items():
                mean[name] += share * tensor
        net.load_state_dict(mean)
        seconds.append(perf_counter() - began)
        if round == COMPARED_ROUND:
            compared = flat(mean.values())
    return Measured(seconds[1:], compared)
