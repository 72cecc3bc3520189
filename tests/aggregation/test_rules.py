"""FedAvg and the server optimizers, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aegis.aggregation.rules import FedAvg, rule
from aegis.aggregation.server import server_optimizer
from aegis.errors import BadInput, RunAborted

matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 20)),
    elements=st.floats(-100, 100),
)


@given(matrices, st.data())
@settings(max_examples=200)
def test_the_mean_is_weighted_by_examples(updates, data):
    weights = np.array(
        data.draw(st.lists(st.integers(1, 500), min_size=len(updates), max_size=len(updates))),
        float,
    )
    expected = sum(n * u for n, u in zip(weights, updates, strict=True)) / weights.sum()
    assert np.allclose(FedAvg()(updates, weights), expected, atol=1e-9)


def test_float32_updates_are_added_in_float64():
    updates = np.array([[1e8], [1.0], [-1e8]], dtype=np.float32)
    assert FedAvg()(updates, np.ones(3))[0] == pytest.approx(1 / 3, abs=1e-6)


def test_nobody_and_nothing_make_no_mean():
    with pytest.raises(RunAborted):
        FedAvg()(np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(RunAborted):
        FedAvg()(np.zeros((2, 3)), np.zeros(2))


def test_an_unknown_rule_names_the_known_ones():
    with pytest.raises(BadInput, match="fedavg"):
        rule("average")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fedavg", [0.5 * 2, 0.5 * 2 * 2]),
        ("fedavgm", [0.5 * 2, 0.5 * 2 + 0.5 * (0.9 * 2 + 2)]),
        ("fedadagrad", [0.5 * 0.2 / 2, 0.5 * 0.2 / 2 + 0.5 * 0.38 / np.sqrt(8)]),
        (
            "fedadam",
            [
                0.5 * 0.2 / np.sqrt(0.004),
                0.5 * 0.2 / np.sqrt(0.004) + 0.5 * 0.38 / np.sqrt(0.999 * 0.004 + 0.004),
            ],
        ),
        (
            "fedyogi",
            [
                0.5 * 0.2 / np.sqrt(0.004),
                0.5 * 0.2 / np.sqrt(0.004) + 0.5 * 0.38 / np.sqrt(0.004 + 0.004),
            ],
        ),
    ],
)
def test_server_optimizers_take_the_published_steps(name, expected):
    optimizer = server_optimizer(name, learning_rate=0.5)
    weights, memory = np.zeros(1), {}
    for value in expected:
        weights, memory = optimizer.step(weights, np.array([2.0]), memory)
        assert weights[0] == pytest.approx(value, rel=1e-6)


def test_a_step_keeps_the_type_of_the_weights():
    weights, _ = server_optimizer("fedadam").step(np.zeros(3, np.float32), np.ones(3), {})
    assert weights.dtype == np.float32
