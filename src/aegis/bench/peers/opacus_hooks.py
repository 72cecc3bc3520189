"""DP-SGD by Opacus: its per-sample gradient hooks and its optimizer, one hospital after the other.

The fastest way that its parts allow: hooks are attached once, batches are drawn without a loader,
and PyTorch has one thread. Its noise comes from PyTorch's own generator.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer

from aegis.bench.peers.plain import flat, network, rows_as_tensors
from aegis.bench.problem import LEARNING_RATE, SETTINGS
from aegis.messages import Vector

Round = Callable[[Vector], NDArray[np.floating]]


def hooked(hospitals: int, clip: float, multiplier: float, full: bool = False) -> Round:
    """A function that takes all hospitals through one round from the same weights and gives their
    weights (hospitals, d). ``full`` takes one step with all rows in place of an epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = GradSampleModule(network())
    criterion = torch.nn.BCEWithLogitsLoss()

    def fit(number: int) -> None:
        rows, labels = rows_as_tensors(number)
        size = len(labels) if full else min(SETTINGS.batch_size, len(labels))
        optimizer = DPOptimizer(
            torch.optim.SGD(net.parameters(), lr=LEARNING_RATE),
            noise_multiplier=multiplier,
            max_grad_norm=clip,
            expected_batch_size=size,
        )
        for _ in range(-(-len(labels) // size)):
            joins = torch.rand(len(labels)) < size / len(labels)
            if joins.any():
                optimizer.zero_grad()
                criterion(net(rows[joins])[:, 0], labels[joins]).backward()
                optimizer.step()

    def round(weights: Vector) -> NDArray[np.floating]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number in range(hospitals):
                start = torch.tensor(weights)  # a copy, which the parameters become views of
                torch.nn.utils.vector_to_parameters(start, net.parameters())
                fit(number)
                found.append(flat(net.parameters()))
        torch.set_num_threads(threads)
        return np.stack(found)

    return round
