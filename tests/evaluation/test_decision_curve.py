import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.evaluation.decision_curve import curve, decisions, reaching, useful_range
from aegis.evaluation.histogram import BINS, score


def scored(n: int = 2000, seed: int = 0, signal: float = 1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    logits = rng.normal(0, 1, n) + signal * (2 * labels - 1)
    return logits, labels, score(logits, labels)[0]


def test_net_benefit_is_vickers_and_elkins():
    logits, labels, histogram = scored()
    for threshold in (0.1, 0.25, 0.5, 0.8):
        found = decisions(histogram, threshold)
        assert found.threshold == pytest.approx(threshold, abs=0.005)
        called = 1 / (1 + np.exp(-logits)) >= found.threshold - 1e-12
        true, false = (called & (labels == 1)).sum(), (called & (labels == 0)).sum()
        odds = found.threshold / (1 - found.threshold)
        assert (found.found, found.false_alarms) == (true, false)
        assert found.net_benefit == pytest.approx(true / 2000 - false / 2000 * odds)
        ill = labels.mean()
        assert found.everybody == pytest.approx(ill - (1 - ill) * odds)


def test_one_half_is_exact():
    logits, labels, histogram = scored()
    found = decisions(histogram, 0.5)
    assert found.threshold == 0.5
    assert found.found + found.cleared == ((logits >= 0) == (labels == 1)).sum()


def test_the_interval_of_net_benefit_holds_the_truth_about_95_times_in_100():
    truth = decisions(scored(200_000, seed=99)[2], 0.3).net_benefit
    held = 0
    for seed in range(200):
        low, high = decisions(scored(300, seed=seed)[2], 0.3).net_benefit_interval
        held += low <= truth <= high
    assert 0.90 < held / 200 < 0.99


def test_aims_are_reached_by_the_least_that_reaches_them():
    _, _, histogram = scored(signal=0.5)
    found = reaching(histogram, "sensitivity", 0.95)
    assert found.share("sensitivity")[0] >= 0.95
    spared = reaching(histogram, "specificity", 0.9)
    assert spared.share("specificity")[0] >= 0.9
    assert found.threshold < spared.threshold


def test_useless_scores_are_useful_nowhere_and_perfect_ones_everywhere():
    labels = np.repeat([0, 1], 50)
    constant = score(np.zeros(100), labels)[0]
    thresholds = np.arange(0.02, 1, 0.02)
    assert useful_range(curve(constant, thresholds)) is None
    perfect = score(np.where(labels == 1, 9.0, -9.0), labels)[0]
    low, high = useful_range(curve(perfect, thresholds))
    assert low < 0.03
    assert high > 0.97


def test_nonsense_is_refused():
    _, _, histogram = scored(20)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(BadInput, match="between 0 and 1"):
            decisions(histogram, wrong)
    with pytest.raises(BadInput, match="nobody"):
        decisions(np.zeros((2, BINS), dtype=np.int64), 0.5)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.floats(0.01, 0.99))
def test_counts_per_100_add_up_and_stay_close(seed, n, threshold):
    found = decisions(scored(n, seed=seed)[2], threshold)
    assert found.examples == n
    assert sum(found.per_100) == 100
    exact = [found.found, found.missed, found.false_alarms, found.cleared]
    for shown, count in zip(found.per_100, exact, strict=True):
        assert abs(shown - 100 * count / n) < 1


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True))
def test_a_higher_threshold_calls_nobody_more(seed, thresholds):
    _, _, histogram = scored(200, seed=seed)
    low, high = (decisions(histogram, t) for t in sorted(thresholds))
    assert low.found >= high.found
    assert low.false_alarms >= high.false_alarms
