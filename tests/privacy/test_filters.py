"""A cap is never exceeded, whatever comes, in whatever order, chosen however cleverly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, DataError, RunAborted
from aegis.privacy.accounting import (
    ORDERS,
    GaussianRelease,
    LaplaceRelease,
    PoissonGaussian,
    epsilon_gdp,
    epsilon_rdp,
)
from aegis.privacy.filters import Cap, RdpFilter, enforced_epsilon
from aegis.privacy.gaussian import gaussian_sigma, gdp_epsilon, gdp_mu

DELTA = 1e-5
sampled = [PoissonGaussian(s, q, n) for s in (0.8, 1.5) for q in (0.05, 0.2) for n in (1, 10)]
events = st.one_of(
    st.builds(GaussianRelease, st.floats(0.3, 60)),
    st.builds(LaplaceRelease, st.floats(0.3, 60)),
    st.sampled_from(sampled),
)


@given(st.floats(0.1, 20), st.lists(events, max_size=30))
@settings(max_examples=200, deadline=None)
def test_what_a_filter_admits_stays_within_the_cap(epsilon, offered):
    account, taken = RdpFilter(epsilon, DELTA), []
    for event in offered:
        before = account.sums.copy()
        if account.admits(event):
            account.spend(event)
            taken.append(event)
        else:
            with pytest.raises(RunAborted, match="does not fit"):
                account.spend(event)
            assert np.array_equal(account.sums, before)
    assert account.epsilon() <= epsilon * (1 + 1e-6)
    assert account.epsilon() == pytest.approx(epsilon_rdp(taken, DELTA), rel=1e-9, abs=1e-12)


@given(st.floats(0.1, 10), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_exact_cost_of_adaptive_gaussian_noise_stays_within_the_cap(epsilon, seed):
    """Noise follows from earlier answers; the oracle is the exact Gaussian curve."""
    rng, account, square, answer = np.random.default_rng(seed), RdpFilter(epsilon, DELTA), 0.0, 0.0
    for _ in range(60):
        sigma = gaussian_sigma(epsilon, DELTA) * math.exp(2 * math.tanh(answer) + rng.uniform(0, 2))
        if account.admits(GaussianRelease(sigma)):
            account.spend(GaussianRelease(sigma))
            square += sigma**-2
            answer = rng.normal(0, sigma)
    assert gdp_epsilon(math.sqrt(square), DELTA) <= epsilon
    assert account.epsilon() <= epsilon * (1 + 1e-9)


def test_a_filter_uses_nearly_all_of_its_cap():
    account = RdpFilter(4.0, DELTA)
    while account.admits(GaussianRelease(20.0)):
        account.spend(GaussianRelease(20.0))
    assert account.epsilon() > 3.95


@given(st.lists(events, max_size=6), st.sampled_from([None, 8.0]))
@settings(max_examples=50, deadline=None)
def test_a_filter_survives_being_written_down(charged, order):
    account = RdpFilter(5.0, DELTA, order)
    for event in charged:
        if account.admits(event):
            account.spend(event)
    back = RdpFilter.from_json(account.to_json())
    assert (back.cap, back.epsilon()) == (account.cap, account.epsilon())
    assert all(back.admits(event) == account.admits(event) for event in charged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"epsilon":1,"delta":1e-5,"order":null,"sums":[1]}',
        RdpFilter(1, 0.1).to_json()[:-9],
    ],
)
def test_sums_that_are_not_a_filter_are_refused(text):
    with pytest.raises(DataError):
        RdpFilter.from_json(text)


def test_refunds_are_refused():
    text = RdpFilter(1.0, DELTA).to_json().replace("[0.0,", "[-1.0,")
    with pytest.raises(DataError, match="not negative"):
        RdpFilter.from_json(text)


def test_an_order_fixed_beforehand_admits_what_its_plan_needs_and_no_more_than_the_free_choice():
    plan = [PoissonGaussian(1.0, 0.1, 1)] * 100
    free = Cap(8.0, DELTA)
    fixed = free.fixed_for(plan)
    assert fixed.order in ORDERS
    counts = []
    for cap in (free, fixed):
        account = RdpFilter(cap.epsilon, cap.delta, cap.order)
        count = 0
        while account.admits(plan[0]):
            account.spend(plan[0])
            count += 1
        counts.append(count)
        assert account.epsilon() <= 8.0 * (1 + 1e-9)
    assert counts[0] == counts[1] > 90
    assert free.fixed_for([GaussianRelease(4.0)]).order > fixed.order


@pytest.mark.parametrize(
    "values", [(0.0, DELTA), (float("nan"), DELTA), (1.0, 0.0), (1.0, 1.0), (1.0, DELTA, 2.55)]
)
def test_a_cap_that_bounds_nothing_cannot_be_made(values):
    with pytest.raises(BadInput):
        Cap(*values)


def test_a_gaussian_plan_is_enforced_exactly_and_any_other_by_renyi():
    plan = [GaussianRelease(math.sqrt(10) / gdp_mu(1.0, DELTA))] * 10
    assert enforced_epsilon(plan, DELTA) == epsilon_gdp(plan, DELTA) == pytest.approx(1.0)
    mixed = [*plan, LaplaceRelease(50.0)]
    assert enforced_epsilon(mixed, DELTA) == epsilon_rdp(mixed, DELTA)
    assert enforced_epsilon([], DELTA) == 0.0
