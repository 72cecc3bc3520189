"""Golden: two groups of 100 counted by hand. Laws: names do not matter, and equal groups have no
gap."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.assurance.fairness import ALARMS, fairness_gaps, miscalibration, violations
from aegis.assurance.groups import Group, Spread

# 50 ill and 50 well women, 60 ill and 40 well men.
WOMEN = Group("women", 45, 5, 10, 40, chances=48.0)
MEN = Group("men", 28, 12, 15, 45, chances=61.0)


@dataclass(frozen=True)
class Limits:
    accuracy_parity: float = 0.15
    hospital_variance: float = 0.05


def test_the_two_by_two_counted_by_hand():
    gaps = fairness_gaps([WOMEN, MEN])
    # right: 85 of 100 and 73 of 100
    accuracy = gaps["accuracy_parity"]
    assert accuracy.value == pytest.approx(0.12)
    assert (accuracy.high, accuracy.low) == ("women", "men")
    # called ill: 45 of 100 and 57 of 100
    assert gaps["demographic_parity"].value == pytest.approx(0.12)
    assert gaps["disparate_impact"].value == pytest.approx(45 / 57)
    # found: 40 of 50 and 45 of 60; false alarms: 5 of 50 and 12 of 40, the wider gap
    odds = gaps["equalised_odds"]
    assert odds.value == pytest.approx(0.30 - 0.10)
    assert (odds.high, odds.low, odds.of) == ("men", "women", ALARMS)
    # observed minus expected: 50 - 48 of 100 and 60 - 61 of 100
    assert miscalibration(WOMEN) == pytest.approx(0.02)
    assert miscalibration(MEN) == pytest.approx(-0.01)
    assert gaps["calibration"].value == pytest.approx(0.03)


def test_newcombes_interval_of_the_gap_is_the_published_one():
    # Newcombe (1998), example: 56 of 70 and 48 of 80, method 10: 0.0524 to 0.3339.
    one = Group("a", 56, 14, 0, 0)
    other = Group("b", 48, 32, 0, 0)
    gap = fairness_gaps([one, other])["accuracy_parity"]
    assert gap.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("limit", "broken"), [(0.11, True), (0.13, False)])
def test_the_threshold_of_accuracy_parity_flips_the_verdict(limit, broken):
    gaps = {"sex": fairness_gaps([WOMEN, MEN])}
    found = violations(gaps, None, Limits(accuracy_parity=limit))
    assert bool(found) is broken
    if broken:
        assert (found[0].attribute, found[0].measure) == ("sex", "accuracy_parity")
        assert found[0].value == pytest.approx(0.12)


@pytest.mark.parametrize(("limit", "broken"), [(0.05, False), (0.003, True)])
def test_the_threshold_of_hospital_variance_flips_the_verdict(limit, broken):
    spread = Spread(4, 0.84, 0.0039)
    found = violations({}, spread, Limits(hospital_variance=limit))
    assert [one.measure for one in found] == (["hospital_variance"] if broken else [])


def test_a_gap_that_chance_may_open_is_called_so():
    small = [Group("a", 6, 4, 0, 0), Group("b", 9, 1, 0, 0)]
    large = [Group("a", 600, 400, 0, 0), Group("b", 900, 100, 0, 0)]
    for groups, chance in ((small, True), (large, False)):
        (found,) = violations({"x": fairness_gaps(groups)}, None, Limits())
        assert found.may_be_chance is chance


def test_chance_opens_the_gap_it_says_in_one_of_twenty():
    rng = np.random.default_rng(3)
    wide, tries = 0, 400
    for _ in range(tries):
        right = rng.binomial(60, 0.8, 3)
        groups = [Group(str(i), int(r), 60 - int(r), 0, 0) for i, r in enumerate(right)]
        gap = fairness_gaps(groups)["accuracy_parity"]
        wide += gap.value > gap.by_chance
    assert 0.01 < wide / tries < 0.10


def test_small_groups_and_single_groups_are_not_compared():
    few = Group("few", 5, 1, 1, 2)
    assert set(fairness_gaps([WOMEN, few]).values()) == {None}
    assert fairness_gaps([WOMEN])["accuracy_parity"] is None


def test_rates_that_may_not_be_told_are_in_no_gap():
    told = {"women": (True, True), "men": (True, False)}
    gaps = fairness_gaps([WOMEN, MEN], told=told)
    assert gaps["equalised_odds"].value == pytest.approx(0.05)  # among the ill only
    assert gaps["calibration"] is None
    assert gaps["accuracy_parity"].value == pytest.approx(0.12)


counts = st.integers(10, 400)
people = st.builds(Group, st.just(""), counts, counts, counts, counts, st.floats(20, 800))


@settings(max_examples=200, deadline=None)
@given(st.lists(people, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_naming_and_ordering_groups_otherwise_changes_no_value(groups, random):
    named = [replace(group, name=f"g{number}") for number, group in enumerate(groups)]
    shuffled = [replace(group, name=f"h{group.name}") for group in named]
    random.shuffle(shuffled)
    before, after = fairness_gaps(named), fairness_gaps(shuffled)
    for measure, gap in before.items():
        other = after[measure]
        assert gap is not None
        assert other is not None
        assert other.value == pytest.approx(gap.value, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(people, st.integers(2, 4))
def test_equal_groups_have_no_gap(group, number):
    alike = [replace(group, name=str(place)) for place in range(number)]
    gaps = fairness_gaps(alike)
    for measure, gap in gaps.items():
        assert gap is not None
        assert gap.value == pytest.approx(1.0 if measure == "disparate_impact" else 0.0, abs=1e-12)
        low, high = gap.interval
        assert low <= gap.value <= high
