import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.evaluation.rates import difference, gap_by_chance, ratio

shares = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))

# Newcombe (1998), Table II, method 10.
PUBLISHED = [
    ((56, 70), (48, 80), (0.0524, 0.3339)),
    ((9, 10), (3, 10), (0.1705, 0.8090)),
    ((10, 10), (0, 10), (0.6075, 1.0)),
    ((10, 10), (0, 20), (0.6791, 1.0)),
]


@pytest.mark.parametrize(("one", "other", "bounds"), PUBLISHED)
def test_differences_have_the_published_intervals(one, other, bounds):
    assert difference(one, other) == pytest.approx(bounds, abs=6e-5)


@settings(max_examples=200, deadline=None)
@given(shares, shares)
def test_a_difference_turned_round_has_its_interval_turned_round(one, other):
    low, high = difference(one, other)
    assert -1 <= low <= one[0] / one[1] - other[0] / other[1] <= high <= 1
    assert difference(other, one) == pytest.approx((-high, -low), abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(shares, shares)
def test_a_ratio_turned_round_has_its_interval_turned_round(one, other):
    low, high = ratio(one, other)
    assert 0 < low <= high < np.inf
    assert ratio(other, one) == pytest.approx((1 / high, 1 / low), rel=1e-9)


def test_nobody_tried_says_nothing():
    assert difference((0, 0), (3, 4)) == (-1.0, 1.0)
    with pytest.raises(BadInput, match="no share"):
        ratio((0, 0), (3, 4))


def test_the_interval_of_a_ratio_holds_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(500):
        one, other = (int(rng.binomial(80, 0.3)), 80), (int(rng.binomial(60, 0.5)), 60)
        low, high = ratio(one, other)
        held += low <= 0.6 <= high
    assert 0.91 < held / 500 < 0.99


def test_larger_groups_leave_less_to_chance():
    few, many = np.array([20, 20, 20]), np.array([2000, 2000, 2000])
    assert gap_by_chance(few, 0.8) > 5 * gap_by_chance(many, 0.8)
    assert gap_by_chance(few, 1.0) == 0.0
