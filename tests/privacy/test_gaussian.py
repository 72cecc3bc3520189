"""The exact Gaussian curves against known vectors, against scipy, and against bad input."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr

from aegis.errors import BadInput
from aegis.privacy.gaussian import (
    _log_phi,
    check_target,
    gaussian_sigma,
    gdp_delta,
    gdp_epsilon,
    gdp_mu,
)

EPSILONS = (0.1, 0.25, 0.5, 1, 2, 4, 8)
MU = {
    1e-5: (0.032521, 0.075270, 0.142211, 0.268051, 0.501552, 0.924931, 1.666031),
    1e-3: (0.057457, 0.121520, 0.216914, 0.388401, 0.691927, 1.214952, 2.083274),
}
SIGMA = {0.1: 30.75, 0.5: 7.032, 1: 3.731, 2: 1.994, 4: 1.081, 8: 0.600}


@pytest.mark.parametrize("delta", MU)
def test_mu_agrees_with_the_known_vectors(delta):
    for epsilon, mu in zip(EPSILONS, MU[delta], strict=True):
        assert gdp_mu(epsilon, delta) == pytest.approx(mu, abs=1e-6)


def test_sigma_agrees_with_the_known_vectors():
    for epsilon, sigma in SIGMA.items():
        assert gaussian_sigma(epsilon, 1e-5) == pytest.approx(sigma, abs=1e-3)


def test_the_classical_formula_is_unsafe_at_large_epsilon():
    # sigma = sqrt(2 ln(1.25 / delta)) / epsilon is proved below epsilon 1 only.
    classical = math.sqrt(2 * math.log(1.25e5))
    assert gdp_epsilon(10 / classical, 1e-5) == pytest.approx(10.39, abs=0.01)
    assert gdp_epsilon(20 / classical, 1e-5) == pytest.approx(25.4, abs=0.05)


@given(st.floats(0.001, 50), st.floats(1e-12, 0.5))
@settings(max_examples=200)
def test_the_three_functions_invert_each_other_on_the_private_side(epsilon, delta):
    mu = gdp_mu(epsilon, delta)
    assert gdp_delta(mu, epsilon) <= delta
    assert gdp_delta(mu * (1 + 1e-9), epsilon) > delta * (1 - 1e-6)
    assert gdp_epsilon(mu, delta) == pytest.approx(epsilon, rel=1e-6, abs=1e-9)
    assert 1 / gaussian_sigma(epsilon, delta) <= mu


@given(st.floats(-60, 8))
@settings(max_examples=200)
def test_the_normal_distribution_function_has_a_tail(x):
    assert _log_phi(x) == pytest.approx(float(log_ndtr(x)), rel=1e-9, abs=1e-15)


def test_little_noise_costs_a_finite_epsilon_and_no_release_costs_none():
    assert gdp_epsilon(50, 1e-5) == pytest.approx(1462.285, abs=0.01)
    assert gdp_epsilon(0.0, 1e-5) == 0.0
    assert gdp_delta(0.0, 1.0) == 0.0


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_epsilon_is_refused(epsilon):
    for ask in (gdp_mu, gaussian_sigma, lambda e, d: check_target(e, d, 100)):
        with pytest.raises(BadInput, match="epsilon must be finite and above 0"):
            ask(epsilon, 1e-5)


@pytest.mark.parametrize("delta", [0.0, -1e-5, 1.0, 2.0, float("nan"), float("inf")])
def test_an_impossible_delta_is_refused(delta):
    for ask in (gdp_mu, gaussian_sigma, gdp_epsilon, lambda e, d: check_target(e, d, 100)):
        with pytest.raises(BadInput, match="delta must be above 0 and below 1"):
            ask(1.0, delta)


@pytest.mark.parametrize("mu", [-1.0, float("nan"), float("inf")])
def test_an_impossible_mu_is_refused(mu):
    with pytest.raises(BadInput, match="mu"):
        gdp_epsilon(mu, 1e-5)


def test_a_delta_too_large_for_the_patients_names_the_way_out():
    check_target(1.0, 1e-5, 455)
    check_target(1.0, 3.3e-6, 30_000)
    with pytest.raises(BadInput, match=r"for 30000 patients .*Set privacy.delta: 3.3e-06"):
        check_target(1.0, 1e-5, 30_000)
    with pytest.raises(BadInput, match=r"Set privacy.delta: 1e-05"):
        check_target(1.0, 1e-3, 486)
    with pytest.raises(BadInput, match="at least one"):
        check_target(1.0, 1e-5, 0)


@given(st.integers(1, 10**8))
@settings(max_examples=200)
def test_the_way_out_is_itself_accepted(examples):
    with pytest.raises(BadInput) as refusal:
        check_target(1.0, 0.5, examples)
    check_target(1.0, float(refusal.value.way_out.split(": ")[1]), examples)
