import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.evaluation.calibration import (
    Recalibration,
    brier,
    classes,
    expected_and_observed,
    recalibrate,
)
from aegis.evaluation.histogram import BINS, score


def sample(n: int, seed: int = 0, intercept: float = 0.0, slope: float = 1.0):
    """Patients whose true logit is ``intercept + slope * predicted``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, n)
    truth = 1 / (1 + np.exp(-(intercept + slope * logits)))
    labels = (rng.random(n) < truth).astype(np.int64)
    return logits, labels, score(logits, labels)[0]


def test_a_perfect_model_is_found_perfect():
    _, _, histogram = sample(20_000)
    found = recalibrate(histogram)
    assert isinstance(found, Recalibration)
    assert found.intercept_interval[0] < 0 < found.intercept_interval[1]
    assert found.slope_interval[0] < 1 < found.slope_interval[1]
    assert abs(found.gain) < 5e-4
    for one in classes(histogram):
        assert one.interval[0] - 0.01 <= one.expected <= one.interval[1] + 0.01


def test_intercept_and_slope_are_those_of_the_exact_fit():
    from sklearn.linear_model import LogisticRegression

    logits, labels, histogram = sample(3000, seed=2, intercept=-0.7, slope=0.6)
    exact = LogisticRegression(C=1e10, tol=1e-10).fit(logits[:, None], labels)
    found = recalibrate(histogram)
    assert isinstance(found, Recalibration)
    assert found.intercept == pytest.approx(exact.intercept_[0], abs=2e-3)
    assert found.slope == pytest.approx(exact.coef_[0, 0], abs=2e-3)
    assert found.at_large < 0
    assert found.gain_interval[0] > 0, "a bad calibration is worth mending"


def test_a_gain_is_measured_on_patients_not_fitted_on():
    """Two numbers fitted to sixty patients of a perfect model make it worse by about 1/60 of a
    log-loss; cross-fitting must say so."""
    found = [recalibrate(sample(60, seed=seed)[2]) for seed in range(150)]
    gains = [one.gain for one in found if isinstance(one, Recalibration) and one.gain is not None]
    assert len(gains) > 140
    assert -0.035 < np.mean(gains) < -0.008


def test_patients_beyond_counting_one_by_one_are_dealt_by_their_bins():
    histogram = sample(3000, seed=5, slope=0.6)[2]
    few, many = recalibrate(histogram), recalibrate(histogram * 2**21)
    assert many.gain == pytest.approx(few.gain, abs=0.003)
    assert many.gain_interval[1] - many.gain_interval[0] < 1e-4


def test_expected_observed_and_brier_equal_those_of_the_scores():
    logits, labels, histogram = sample(2000, seed=3)
    chance = 1 / (1 + np.exp(-logits))
    expected, observed = expected_and_observed(histogram)
    assert expected == pytest.approx(chance.mean(), abs=1e-4)
    assert observed == labels.mean()
    assert brier(histogram) == pytest.approx(((chance - labels) ** 2).mean(), abs=1e-4)


def test_what_cannot_be_judged_says_why():
    few = score(np.array([1.0, -1.0]), np.array([1, 0]))[0]
    assert "fewer than 10" in recalibrate(few)
    apart = score(np.r_[np.full(20, 3.0), np.full(20, -3.0)], np.repeat([1, 0], 20))[0]
    assert "without a mistake" in recalibrate(apart)
    almost = np.r_[np.full(20, 3.0), np.full(20, -3.0)]
    one_off = score(almost, np.r_[np.repeat([1, 0], 20)[:-1], 1])[0]
    assert isinstance(recalibrate(one_off), str)
    empty = np.zeros((2, BINS), dtype=np.int64)
    assert classes(empty) == ()
    assert expected_and_observed(empty) is None
    assert brier(empty) is None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 400))
def test_classes_hold_each_patient_once_in_rising_order(seed, n):
    _, _, histogram = sample(n, seed=seed)
    found = classes(histogram)
    assert len(found) <= 10
    assert all(one.examples >= 20 for one in found)
    assert sum(one.examples for one in found) <= n
    expected = [one.expected for one in found]
    assert expected == sorted(expected)
    for one in found:
        assert 0 <= one.interval[0] <= one.observed <= one.interval[1] <= 1


def test_classes_leave_at_most_a_rest_out():
    _, _, histogram = sample(1000)
    assert sum(one.examples for one in classes(histogram)) == 1000
