import numpy as np
import pytest

from aegis.errors import BadInput
from aegis.privacy import per_sample
from aegis.privacy.dpsgd import ROUNDING_ROOM

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.engine


def small_net():
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def forward(rows, module):
    return module(rows.reshape(len(rows), 1, 6, 6))


def losses(labels):
    def lost(outputs, here):
        return torch.nn.functional.cross_entropy(outputs, labels[here], reduction="sum")

    return lost


def one_by_one(net, rows, labels, clip):
    """The clipped sum as the book has it: a backward pass for each record."""
    total = 0.0
    for n in range(len(rows)):
        net.zero_grad()
        losses(labels)(forward(rows[n : n + 1], net), slice(n, n + 1)).backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters()]).double()
        norm = float(gradient.norm())
        total = total + gradient * min(1.0, clip * (1 - ROUNDING_ROOM) / norm) / clip
    return total.numpy()


@pytest.fixture
def problem():
    torch.manual_seed(1)
    return torch.randn(23, 36), torch.randint(0, 2, (23,))


@pytest.mark.parametrize("clip", [0.05, 1.0, 100.0])
@pytest.mark.parametrize("room", [1, 1 << 29])
def test_the_sum_is_that_of_one_record_after_the_other(problem, monkeypatch, clip, room):
    rows, labels = problem
    net = small_net()
    expected = one_by_one(net, rows, labels, clip)
    monkeypatch.setattr(per_sample, "MOST_BYTES", room)  # all at once, and each alone
    singly = per_sample.PerSample(net, forward)
    found = singly.clipped_sum(rows, losses(labels), clip, list(net.parameters()))
    singly.close()
    assert np.abs(found - expected).max() < 1e-5
    assert not any(hasattr(p, "grad_sample") for p in net.parameters())


def test_one_record_moves_the_sum_by_one_clip_at_most(problem):
    rows, labels = problem
    net = small_net()
    singly = per_sample.PerSample(net, forward)
    every = singly.clipped_sum(rows, losses(labels), 0.01, list(net.parameters()))
    fewer = singly.clipped_sum(rows[1:], losses(labels[1:]), 0.01, list(net.parameters()))
    singly.close()
    moved = np.linalg.norm(every - fewer)
    assert 0.99 < moved <= 1.0


def test_a_record_that_no_bound_holds_for_counts_as_absent(problem):
    rows, labels = problem
    net = small_net()
    singly = per_sample.PerSample(net, forward)
    parameters = list(net.parameters())
    without = singly.clipped_sum(rows[1:], losses(labels[1:]), 1.0, parameters)
    rows[0, 3] = float("nan")
    found = singly.clipped_sum(rows, losses(labels), 1.0, parameters)
    singly.close()
    assert np.abs(found - without).max() < 1e-6


def test_no_record_at_all_has_the_sum_nought(problem):
    rows, labels = problem
    net = small_net()
    singly = per_sample.PerSample(net, forward)
    found = singly.clipped_sum(rows[:0], losses(labels[:0]), 1.0, list(net.parameters()))
    singly.close()
    assert found.shape == (sum(p.numel() for p in net.parameters()),)
    assert not found.any()


def test_a_layer_that_mixes_the_batch_is_refused():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    with pytest.raises(BadInput, match="GroupNorm"):
        per_sample.PerSample(net, forward)
