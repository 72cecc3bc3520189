"""The plain loop is PyTorch as anybody would write it."""

import builtins
import sys

import numpy as np
import pytest
import torch

from aegis.errors import MissingExtra
from aegis.tasks.models import Perceptron
from aegis.training.batched import StackedTrainer
from aegis.training.network import NetworkTrainer
from aegis.training.trainer import Settings, batches
from tests.training.jobs import jobs

MODEL = Perceptron(7, (16, 4))


def _by_hand(job, make):
    net = torch.nn.Sequential(
        torch.nn.Linear(7, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4), torch.nn.ReLU(),
        torch.nn.Linear(4, 1),
    ).double()  # fmt: skip
    torch.nn.utils.vector_to_parameters(torch.tensor(job.weights), net.parameters())
    optimizer = make(net.parameters())
    X, y = torch.tensor(job.design), torch.tensor(job.labels).double()
    for rows in batches(job):
        optimizer.zero_grad()
        loss = torch.nn.BCEWithLogitsLoss()(net(X[rows])[:, 0], y[rows])
        loss.backward()
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy() - job.weights


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        (Settings(), lambda p: torch.optim.SGD(p, 0.05)),
        (
            Settings(momentum=0.9, weight_decay=0.1, local_epochs=2),
            lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.1),
        ),
        (Settings(optimizer="adam", local_steps=9), lambda p: torch.optim.Adam(p, 0.05)),
    ],
)
def test_both_engines_equal_pytorchs_layers_and_optimizers(settings, make):
    for job in jobs(MODEL, settings, (1, 40, 75)):
        expected = _by_hand(job, make)
        for trainer in (NetworkTrainer(np.float64), StackedTrainer(np.float64)):
            assert np.abs(trainer.train(job).vector - expected).max() < 1e-12


def test_the_forward_pass_of_the_model_gives_the_loss_that_is_reported():
    job = jobs(MODEL, sizes=(75,), dtype=np.float32)[0]
    z = MODEL.logits(job.weights, job.design).astype(np.float64)
    expected = np.logaddexp(0, np.where(job.labels == 1, -z, z)).mean()
    for trainer in (NetworkTrainer(), StackedTrainer()):
        assert trainer.train(job).loss == pytest.approx(expected, abs=1e-6)


def test_the_number_of_torch_threads_is_given_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        NetworkTrainer().train(jobs(MODEL, sizes=(40,))[0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_missing_torch_is_named_with_its_way_out(monkeypatch):
    real = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError("no torch here")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MissingExtra, match=r'pip install -e "\.\[torch\]"'):
        NetworkTrainer().train(jobs(MODEL, sizes=(40,))[0])
