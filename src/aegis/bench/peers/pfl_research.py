"""pfl-research's simulated backend (Apple), where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel

from aegis.bench.peers.plain import flat, network, rows_as_tensors
from aegis.bench.problem import COMPARED_ROUND, LEARNING_RATE, Measured, job, start
from aegis.messages import Vector
from aegis.training.trainer import batches


class _Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def loss(self, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(self.net(rows)[:, 0], labels)

    def metrics(self, rows: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
        return {"loss": Weighted(float(self.loss(rows, labels)) * len(rows), len(rows))}


class _Clock(TrainingProcessCallback):  # type: ignore[misc, unused-ignore]
    """Knows the round, its length and the weights to compare."""

    def __init__(self) -> None:
        self.round = 1
        self.ended: list[float] = []
        self.compared: Vector = start()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        self.ended.append(perf_counter())
        if self.round == COMPARED_ROUND:
            self.compared = flat(model.pytorch_model.parameters())
        self.round += 1
        return False, Metrics()


class _Rows(Dataset):  # type: ignore[misc, unused-ignore]
    """One hospital in one round, in our batches."""

    def __init__(self, number: int, round: int) -> None:
        super().__init__(rows_as_tensors(number), user_id=str(number))
        self._at = number, round

    def iter(self, batch_size: int | None) -> Iterator[list[torch.Tensor]]:
        design, labels = self.raw_data
        for rows in batches(job(*self._at, start())):
            yield [design[rows], labels[rows]]


def simulation(hospitals: int, rounds: int) -> Measured:
    torch.set_num_threads(1)
    clock, net = _Clock(), _Network()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(start()), net.parameters())
    model = PyTorchModel(net, torch.optim.SGD, torch.optim.SGD(net.parameters(), lr=1.0))
    users = get_user_sampler("minimize_reuse", range(hospitals))
    training = FederatedDataset(lambda number: _Rows(number, clock.round), users)
    backend = SimulatedBackend(training, training, postprocessors=[WeightByDatapoints()])
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=2**31,  # it evaluates in its first round in any case
            train_cohort_size=hospitals,
            val_cohort_size=None,
        ),
        backend,
        model,
        NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=LEARNING_RATE, local_batch_size=32
        ),
        NNEvalHyperParams(local_batch_size=None),
        callbacks=[clock],
    )
    return Measured(np.diff(clock.ended).tolist(), clock.compared)
