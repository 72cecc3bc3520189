"""AUC, true-positive rates and their intervals, against other ways to the same number."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.metrics import roc_auc_score

from aegis.assurance.intervals import (
    Estimate,
    auc,
    balanced_accuracy,
    clopper_pearson,
    standard_weights,
    true_positive_rate,
)
from aegis.errors import BadInput

scored = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=4, max_size=60)


def _split(pairs):
    scores, members = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    assume(2 <= members.sum() <= len(members) - 2)
    return scores, members, np.zeros(len(pairs))


@given(scored)
@settings(max_examples=100, deadline=None)
def test_within_one_hospital_it_is_the_usual_auc(pairs):
    scores, members, here = _split(pairs)
    found = auc(scores, members, here)
    assert found.value == pytest.approx(roc_auc_score(members, scores), abs=1e-12)
    turned = auc(-scores, members, here)
    assert turned.value == pytest.approx(1 - found.value)
    assert turned.folded_high == pytest.approx(found.folded_high)
    assert found.low <= found.value <= found.high


@given(scored)
@settings(max_examples=100, deadline=None)
def test_the_interval_is_delongs(pairs):
    scores, members, here = _split(pairs)
    ours, theirs = scores[members], scores[~members]
    wins = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)
    variance = wins.mean(1).var(ddof=1) / len(ours) + wins.mean(0).var(ddof=1) / len(theirs)
    found = auc(scores, members, here)
    half = 1.959963985 * np.sqrt(variance)
    assert found.high == pytest.approx(min(wins.mean() + half, 1), abs=1e-9)
    assert found.low == pytest.approx(max(wins.mean() - half, 0), abs=1e-9)


def test_hospitals_that_differ_are_no_leak():
    """Members of one hospital against everybody's held-out rows would measure the hospitals."""
    rng = np.random.default_rng(0)
    places = np.repeat([0, 1], 1000)
    members = np.concatenate([np.arange(1000) < 900, np.arange(1000) < 100])
    scores = rng.normal(0, 1, 2000) + 2.0 * (places == 0)
    assert roc_auc_score(members, scores) > 0.8
    found = auc(scores, members, places)
    assert found.low < 0.5 < found.high
    rate = true_positive_rate(scores, members, places, 0.05)
    assert rate.found is not None
    assert rate.found.low < 0.05 < rate.found.high


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    truth, covered, draws = 0.7602, 0, 400  # normal scores one standard deviation apart
    for _ in range(draws):
        places = rng.integers(0, 3, 200)
        members = rng.random(200) < 0.7
        found = auc(rng.normal(0, 1, 200) + members + places, members, places)
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / draws <= 0.985


def test_the_same_model_many_times_tells_no_more_than_once():
    rng = np.random.default_rng(2)
    members, places = rng.random(300) < 0.6, rng.integers(0, 2, 300)
    scores = rng.normal(0, 1, 300) + 0.5 * members
    once = auc(scores, members, places)
    often = auc(np.tile(scores, (10, 1)), np.tile(members, (10, 1)), places)
    assert (often.value, often.low, often.high) == pytest.approx(
        (once.value, once.low, once.high), abs=1e-12
    )
    rates = [
        true_positive_rate(s, m, places, 0.1).found
        for s, m in ((scores, members), (np.tile(scores, (10, 1)), np.tile(members, (10, 1))))
    ]
    assert None not in rates
    assert rates[1].high - rates[1].low >= 0.95 * (rates[0].high - rates[0].low)


def test_models_with_new_members_tell_more():
    rng = np.random.default_rng(3)
    members = rng.random((20, 300)) < 0.6
    scores = rng.normal(0, 1, (20, 300)) + 0.2 * members
    here = np.zeros(300)
    once, often = auc(scores[0], members[0], here), auc(scores, members, here)
    assert (often.high - often.low) < 0.5 * (once.high - once.low)


def test_a_hospital_with_one_held_out_patient_still_counts():
    members = np.array([True, True, True, False])
    found = auc(np.array([1.0, 2.0, 3.0, 0.0]), members, np.zeros(4))
    assert found.value == 1.0
    assert found.low < 0.5  # one patient proves nothing


def test_without_anybody_to_compare_there_is_no_auc():
    members = np.array([True, True, False, False])
    with pytest.raises(BadInput, match="no hospital has both"):
        auc(np.arange(4.0), members, np.array([0, 0, 1, 1]))


@given(st.integers(1, 5000), st.data())
@settings(max_examples=200, deadline=None)
def test_clopper_and_pearson_agree_with_scipy(trials, data):
    hits = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(hits, trials)
    assert low == pytest.approx(beta.ppf(0.025, hits, trials - hits + 1) if hits else 0, abs=1e-9)
    expected = beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1
    assert high == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("hits", "trials"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(hits, trials):
    with pytest.raises(BadInput):
        clopper_pearson(hits, trials)


@pytest.mark.parametrize(("nonmembers", "shown"), [(999, False), (1000, True)])
def test_one_percent_needs_a_thousand_held_out_patients(nonmembers, shown):
    rng = np.random.default_rng(4)
    members = np.arange(nonmembers + 500) < 500
    rate = true_positive_rate(rng.random(len(members)), members, np.zeros(len(members)), 0.01)
    assert (rate.found is not None) == shown
    assert (rate.nonmembers, rate.needs) == (nonmembers, 1000)


def test_the_rate_counts_members_above_the_allowed_false_positives():
    nonmembers, members = np.arange(100.0), np.array([89.5, 90.5, 200.0, -1.0])
    scores = np.concatenate([members, nonmembers])
    inside = np.arange(104) < 4
    rate = true_positive_rate(scores, inside, np.zeros(104), 0.1)
    assert rate.found is not None
    assert rate.found.value == pytest.approx(0.75)  # 90 is the 11th largest: ten may be above
    assert (rate.found.low, rate.found.high) == pytest.approx(clopper_pearson(3, 4))


def test_weights_give_each_hospital_its_share_of_the_held_out():
    members = np.array([[True] * 6 + [False] * 2 + [True] * 2 + [False] * 2 + [True] * 3])
    places = np.array([0] * 8 + [1] * 4 + [2] * 3)
    weight = standard_weights(members, places)[0]
    assert weight[members[0]].sum() == pytest.approx(1)
    assert weight[~members[0]].sum() == pytest.approx(1)
    assert weight[members[0] & (places == 0)].sum() == pytest.approx(0.5)
    assert (weight[places == 2] == 0).all()


def test_accuracy_without_a_signal_is_one_half():
    """The best cut of the same patients would flatter the attack by several points."""
    rng = np.random.default_rng(5)
    found = []
    for seed in range(100):
        members = np.arange(150) < 120
        found.append(balanced_accuracy(rng.random(150), members, np.zeros(150), seed))
    assert abs(np.mean(found) - 0.5) < 0.015


def test_accuracy_of_a_perfect_attack_is_one():
    members = np.arange(100) < 60
    assert balanced_accuracy(members * 1.0, members, np.arange(100) % 3) == 1.0


def test_an_estimate_can_be_turned_round():
    assert Estimate(0.3, 0.2, 0.45).folded == 0.7
    assert Estimate(0.3, 0.2, 0.45).folded_high == 0.8
    assert Estimate(0.3, 0.2, 0.45).beyond_chance
    assert not Estimate(0.45, 0.4, 0.52).beyond_chance
