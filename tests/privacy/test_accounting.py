"""What is charged: three accountants against published figures and against each other."""

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
from dp_accounting import (
    GaussianDpEvent,
    LaplaceDpEvent,
    PoissonSampledDpEvent,
    SelfComposedDpEvent,
)
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from aegis.errors import BadInput, DataError
from aegis.privacy.accounting import (
    ORDERS,
    GaussianRelease,
    LaplaceRelease,
    PoissonGaussian,
    _by_distribution,
    _counted,
    composed,
    epsilon_gdp,
    epsilon_of_curve,
    epsilon_pld,
    epsilon_rdp,
    event_from_json,
    event_json,
    renyi,
)
from aegis.privacy.gaussian import gdp_mu

DELTA = 1e-5
# name: event, Opacus RDP, Opacus PRV, dp-accounting PLD
PUBLISHED = {
    "heart": (PoissonGaussian(1.0, 0.10, 400), 15.90, 14.57, 14.56),
    "breast": (PoissonGaussian(2.0, 1 / 7, 280), 6.577, 6.059, 6.048),
    "pneumonia": (PoissonGaussian(0.8, 0.109, 90), 12.74, 11.34, 11.33),
    "twenty epochs": (PoissonGaussian(0.8, 64 / 1569, 500), 10.80, 9.70, 9.69),
    "full batch": (GaussianRelease(10.0, 50), 3.189, 2.953, 2.943),
}
TABLE = [
    *(row[0] for row in PUBLISHED.values()),
    PoissonGaussian(1.0, 0.01, 1000),
    PoissonGaussian(4.0, 0.02, 2000),
    PoissonGaussian(1.041, 0.1, 150),
    PoissonGaussian(4.609, 0.15, 60),
    PoissonGaussian(1.5, 0.3, 50),
    GaussianRelease(37.31, 100),
    GaussianRelease(1.0),
]

events = st.one_of(
    st.builds(GaussianRelease, st.floats(0.3, 100), st.integers(1, 50)),
    st.builds(LaplaceRelease, st.floats(0.5, 100), st.integers(1, 50)),
    st.builds(PoissonGaussian, st.sampled_from([0.8, 2.0]), st.sampled_from([0.05, 1.0])),
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_renyi_and_loss_distribution_agree_with_the_published_figures(name):
    event, rdp, _, pld = PUBLISHED[name]
    assert epsilon_rdp([event], DELTA) == pytest.approx(rdp, rel=1e-3)
    assert epsilon_pld([event], DELTA) == pytest.approx(pld, rel=2e-3)


@pytest.mark.parametrize("event", TABLE, ids=str)
def test_the_renyi_bound_is_above_the_loss_distribution_by_less_than_15_per_cent(event):
    pld, rdp = epsilon_pld([event], DELTA), epsilon_rdp([event], DELTA)
    assert pld <= rdp <= 1.15 * pld


def prv(event, error=0.01):
    """Opacus's accountant, which adds the error it admits to."""
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    match event:
        case PoissonGaussian(multiplier, rate, steps):
            accountant.history = [(multiplier, rate, steps)]
        case GaussianRelease(sigma, count):
            accountant.history = [(sigma, 1.0, count)]
    return accountant.get_epsilon(DELTA, eps_error=error, delta_error=DELTA / 1000)


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["breast", "full batch"])
def test_opacus_agrees_with_the_loss_distribution_within_half_a_per_cent(name):
    event, _, published, _ = PUBLISHED[name]
    found = prv(event)
    assert found == pytest.approx(published, abs=0.01)
    assert found == pytest.approx(epsilon_pld([event], DELTA), rel=5e-3)


@pytest.mark.parametrize(("rate", "sigma"), [(0.1, 1.0), (1 / 7, 2.0), (0.02, 10.0), (0.5, 0.5)])
def test_the_sampled_curve_is_the_integral_it_stands_for(rate, sigma):
    curve = renyi(PoissonGaussian(sigma, rate))
    for place in (0, 9, 14, 63, 98):
        order = ORDERS[place]

        def density(z, order=order):
            ratio = np.logaddexp(np.log1p(-rate), np.log(rate) + z / sigma - 0.5 / sigma**2)
            return np.exp(order * ratio - z * z / 2) / np.sqrt(2 * np.pi)

        top = order / sigma
        moment = quad(density, -12, top + 12, points=[0, top], epsabs=0, epsrel=1e-12, limit=500)[0]
        assert curve[place] == pytest.approx(np.log(moment) / (order - 1), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_curves_agree_with_dp_accounting_at_whole_orders():
    whole = np.floor(ORDERS) == ORDERS
    for mine, theirs in (
        (PoissonGaussian(1.0, 0.1, 3), PoissonSampledDpEvent(0.1, GaussianDpEvent(1.0))),
        (PoissonGaussian(2.0, 0.3, 3), PoissonSampledDpEvent(0.3, GaussianDpEvent(2.0))),
        (GaussianRelease(7.0, 3), GaussianDpEvent(7.0)),
        (LaplaceRelease(3.0, 3), LaplaceDpEvent(3.0)),
    ):
        accountant = RdpAccountant(ORDERS[whole].tolist())
        accountant.compose(SelfComposedDpEvent(theirs, 3))
        assert renyi(mine)[whole] == pytest.approx(accountant._rdp, rel=1e-9)


def test_the_whole_plan_of_private_descent_costs_exactly_its_budget():
    for epsilon, delta in itertools.product((0.1, 1.0, 8.0), (1e-5, 1e-3)):
        mu = gdp_mu(epsilon, delta)
        plan = [GaussianRelease(1 / (mu * 0.1**0.5)), GaussianRelease((28 / 0.9) ** 0.5 / mu, 28)]
        assert epsilon_gdp(plan, delta) == pytest.approx(epsilon, rel=1e-9)
        assert epsilon_pld(plan, delta) == epsilon_gdp(plan, delta)
        by_grid = _by_distribution(_counted(plan), mu**2, delta)  # dp-accounting's, for comparison
        assert epsilon <= by_grid * (1 + 1e-9) <= epsilon * (1 + 1e-4)
    assert epsilon_rdp([GaussianRelease(1 / gdp_mu(1.0, 1e-5))], 1e-5) > 1.05


@given(st.lists(events, max_size=5))
@settings(max_examples=100, deadline=None)
def test_order_and_grouping_of_events_do_not_matter(charged):
    assert composed(charged) == pytest.approx(composed(reversed(charged)), rel=1e-12)
    apart = sum((renyi(event) for event in charged), np.zeros(len(ORDERS)))
    assert composed(charged) == pytest.approx(apart, rel=1e-12)
    together = epsilon_rdp(charged, DELTA)
    assert all(epsilon_rdp([event], DELTA) <= together for event in charged)


@given(events)
@settings(max_examples=100, deadline=None)
def test_an_event_survives_being_written_down(event):
    assert event_from_json(event_json(event)) == event
    assert event_json(event_from_json(event_json(event))) == event_json(event)


def test_counts_are_the_same_as_repetitions():
    for one, many in (
        (GaussianRelease(5.0), GaussianRelease(5.0, 7)),
        (LaplaceRelease(5.0), LaplaceRelease(5.0, 7)),
        (PoissonGaussian(2.0, 0.1), PoissonGaussian(2.0, 0.1, 7)),
    ):
        assert epsilon_rdp([one] * 7, DELTA) == pytest.approx(epsilon_rdp([many], DELTA), rel=1e-12)
        assert epsilon_pld([one] * 7, DELTA) == pytest.approx(epsilon_pld([many], DELTA), rel=1e-3)


def test_laplace_alone_never_costs_more_than_its_pure_epsilon():
    assert epsilon_pld([LaplaceRelease(2.0)], 1e-9) <= 0.5 * (1 + 1e-3)
    assert epsilon_rdp([LaplaceRelease(2.0)], 1e-9) <= 0.5 * (1 + 0.05)


def test_nothing_charged_costs_nothing():
    assert epsilon_rdp([], DELTA) == epsilon_pld([], DELTA) == epsilon_gdp([], DELTA) == 0.0
    assert epsilon_of_curve(np.zeros(len(ORDERS)), DELTA) == 0.0


def test_sampling_has_no_exact_gaussian_account():
    with pytest.raises(BadInput, match="PoissonGaussian has no exact Gaussian account"):
        epsilon_gdp([PoissonGaussian(1.0, 0.1, 5)], DELTA)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (GaussianRelease, (0.0,)),
        (GaussianRelease, (float("nan"),)),
        (GaussianRelease, (1.0, 0)),
        (GaussianRelease, (1.0, 2.5)),
        (LaplaceRelease, (-1.0,)),
        (LaplaceRelease, (float("inf"),)),
        (PoissonGaussian, (0.0, 0.1, 5)),
        (PoissonGaussian, (1e-200, 0.1, 5)),
        (GaussianRelease, (1e-9,)),
        (LaplaceRelease, (5e-324,)),
        (PoissonGaussian, (1.0, 0.0, 5)),
        (PoissonGaussian, (1.0, 1.1, 5)),
        (PoissonGaussian, (1.0, 0.1, -1)),
        (PoissonGaussian, (10**400, 0.1, 5)),
        (GaussianRelease, (1.0, 10**400)),
    ],
)
def test_an_event_that_protects_nothing_cannot_be_made(kind, values):
    with pytest.raises(BadInput):
        kind(*values)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"event":"Exit"}', '{"event":"GaussianRelease","sigma":1}']
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises(DataError, match="is no privacy event"):
        event_from_json(text)


@pytest.mark.parametrize(
    "event",
    [
        PoissonGaussian(1.0, 1e-9, 10**15),
        PoissonGaussian(1e-6, 0.5, 1),
        PoissonGaussian(1e3, 1.0, 10**9),
        LaplaceRelease(1e-6),
        LaplaceRelease(1e6, 10**12),
    ],
)
def test_what_no_grid_holds_costs_its_renyi_bound_at_once(event):
    """A ledger may be anybody's: its figures must take neither hours nor all memory."""
    began = time.process_time()
    assert epsilon_pld([event], 1e-5) == epsilon_rdp([event], 1e-5)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "history",
    [
        [PoissonGaussian(50_000.0 + n, 0.5, 10**7) for n in range(200)],
        [PoissonGaussian(3 + n / 100, 0.1, 10) for n in range(60)],
        [PoissonGaussian(0.1, 1e-6)],
        [PoissonGaussian(1000.0, 0.5, 10**6)],
        [LaplaceRelease(10 + n / 10) for n in range(100)],
        [LaplaceRelease(0.02), GaussianRelease(0.03)],
    ],
)
def test_a_history_that_is_long_to_count_exactly_costs_no_more_than_its_renyi_bound(history):
    epsilon_pld([PoissonGaussian(1.0, 0.1)], 1e-5)  # what it imports takes longer
    began = time.process_time()
    found = epsilon_pld(history, 1e-5)
    assert time.process_time() - began < 2.0
    assert found <= epsilon_rdp(history, 1e-5)


def test_noise_that_rises_a_few_times_is_still_counted_exactly():
    history = [PoissonGaussian(1.1 + n / 10, 0.1, 40) for n in range(5) for _ in range(3)]
    assert epsilon_pld(history, DELTA) < 0.95 * epsilon_rdp(history, DELTA)


@pytest.mark.parametrize("delta", [0.0, 1.0, float("nan")])
def test_an_impossible_delta_is_refused(delta):
    with pytest.raises(BadInput, match="delta"):
        epsilon_rdp([GaussianRelease(1.0)], delta)


def test_the_room_loads_no_heavy_library():
    code = (
        "import sys, aegis.privacy.budget, aegis.privacy.dpgd, aegis.privacy.dpsgd,"
        "aegis.privacy.local_update, aegis.hospital.ledger;"
        "print([m for m in ('scipy','dp_accounting','torch','opacus') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
