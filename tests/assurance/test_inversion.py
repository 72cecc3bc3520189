"""Gradients give patients away; clip alone does not help, noise does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.assurance.inversion import Network, demonstrate, invert, relative_error
from aegis.errors import BadInput
from tests.assurance.recipes import wisconsin


@given(st.integers(1, 40), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_one_patients_gradient_is_the_patient(inputs, seed):
    rng = np.random.default_rng(seed)
    patient = rng.normal(0, 5, (1, inputs))
    weight, bias, _ = Network.drawn(inputs, 16, rng).gradient(patient, np.array([1]))
    for suggested in invert(weight, bias):
        assert np.allclose(suggested, patient[0], atol=1e-9)


def test_logistic_regression_gives_its_patient_away_too():
    patient, wrong = np.array([[1.0, -2.0, 3.0]]), 0.37
    assert np.allclose(invert(wrong * patient, np.array([wrong])), patient)


def test_a_clip_alone_hides_nothing():
    rng = np.random.default_rng(0)
    patient = rng.normal(0, 1, (1, 30))
    weight, bias, _ = Network.drawn(30, 64, rng).gradient(patient, np.array([0]))
    assert relative_error(patient, invert(weight * 0.01, bias * 0.01)) < 1e-9


def test_the_gradient_is_the_slope_of_the_loss():
    rng = np.random.default_rng(1)
    network = Network.drawn(5, 7, rng)
    design, labels = rng.normal(size=(9, 5)), rng.integers(0, 2, 9)

    def loss(first, bias):
        logits = np.maximum(design @ first.T + bias, 0) @ network.last + network.last_bias
        return np.mean(np.logaddexp(0, logits) - labels * logits)

    weight, bias, _ = network.gradient(design, labels)
    for unit, column in ((0, 0), (3, 4), (6, 2)):
        step = np.zeros((7, 5))
        step[unit, column] = 1e-6
        up = loss(network.first + step, network.first_bias)
        down = loss(network.first - step, network.first_bias)
        assert weight[unit, column] == pytest.approx((up - down) / 2e-6, abs=1e-8)
    nudge = np.eye(7)[3] * 1e-6
    up, down = (loss(network.first, network.first_bias + sign * nudge) for sign in (1, -1))
    assert bias[3] == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_the_demonstration_shows_one_patient_a_batch_and_noise():
    patients = wisconsin()
    found = demonstrate(patients.design, patients.labels)
    assert found.one_patient < 1e-9
    assert 0.1 < found.batch < 0.6
    assert found.one_patient_with_noise > 0.9


def test_a_unit_that_heard_nothing_suggests_nobody():
    assert len(invert(np.zeros((3, 2)), np.zeros(3))) == 0
    assert relative_error(np.ones((1, 2)), np.empty((0, 2))) == 1.0


def test_what_is_no_layer_is_refused():
    with pytest.raises(BadInput, match="one bias"):
        invert(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(BadInput, match="at least 32"):
        demonstrate(np.zeros((31, 2)), np.zeros(31, np.int64))
