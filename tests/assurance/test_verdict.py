"""Borders of grades, and which of three verdicts follows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.assurance.canaries import CanaryAudit
from aegis.assurance.intervals import Estimate
from aegis.assurance.verdict import (
    CONTROL,
    WORDS,
    Control,
    Finding,
    decide,
    grade,
    is_vulnerable,
    odds,
)

CAUGHT = Control(Estimate(0.8, 0.75, 0.85))


def _finding(value, half=0.03, name="rmia", **more):
    return Finding(name, 0.5, Estimate(value, value - half, value + half), (), **more)


@pytest.mark.parametrize(
    ("upper", "letter"),
    [
        (0.5, "A"),
        (0.55, "A"),
        (0.5501, "B"),
        (0.60, "B"),
        (0.6001, "C"),
        (0.70, "C"),
        (0.7001, "D"),
        (0.80, "D"),
        (0.8001, "F"),
        (1.0, "F"),
    ],
)
def test_grades_have_their_borders(upper, letter):
    assert grade(upper) == letter
    assert WORDS[letter]


@pytest.mark.parametrize(
    ("auc", "found"), [(0.6, False), (0.6001, True), (0.5, False), (0.4, False), (0.3999, True)]
)
def test_vulnerable_begins_above_sixty_either_way_round(auc, found):
    assert is_vulnerable(auc) == found


@given(st.floats(0, 1), st.floats(0, 0.3))
@settings(deadline=None)
def test_an_attack_that_is_always_wrong_gets_the_grade_of_one_that_is_right(value, half):
    one, other = _finding(value, half), _finding(1 - value, half)
    assert one.bound == pytest.approx(other.bound)
    assert one.bound >= 0.5


def test_an_auc_of_twenty_percent_is_no_excellent_grade():
    assert _finding(0.2).grade == "F"
    assert _finding(0.2).vulnerable


def test_the_grade_follows_the_upper_end():
    assert _finding(0.5, 0.04).grade == "A"
    assert _finding(0.5, 0.08).grade == "B"
    assert _finding(0.5, 0.25).grade == "D"


def test_the_recipe_bounds_the_grade_only_where_it_is_said_so():
    close = Estimate(0.51, 0.50, 0.52)
    assert _finding(0.5, 0.08, recipe=close).grade == "B"
    assert _finding(0.5, 0.08, recipe=close, judged_by="recipe").grade == "A"


def test_a_model_that_nothing_tells_apart_is_safe_once_the_control_was_caught():
    verdict = decide([_finding(0.5), _finding(0.52)], CAUGHT)
    assert verdict.outcome == "safe"
    assert verdict.passed


@pytest.mark.parametrize(
    "control", [None, Control(Estimate(0.64, 0.6, 0.68)), Control(Estimate(0.7, 0.49, 0.9))]
)
def test_without_a_caught_control_nothing_was_shown(control):
    verdict = decide([_finding(0.5)], control)
    assert verdict.outcome == "inconclusive"
    assert "control" in verdict.reason
    assert not verdict.passed


def test_the_control_is_caught_from_sixty_five_on():
    assert CONTROL == 0.65
    assert Control(Estimate(0.65, 0.6, 0.7)).caught
    assert not Control(Estimate(0.6499, 0.6, 0.7)).caught


def test_a_leak_stands_even_where_the_control_was_missed():
    missed = Control(Estimate(0.5, 0.45, 0.55))
    assert decide([_finding(0.7)], missed).outcome == "vulnerable"


def test_one_successful_attack_is_enough():
    verdict = decide([_finding(0.5, name="loss_based"), _finding(0.66, name="lira")], CAUGHT)
    assert verdict.outcome == "vulnerable"
    assert "lira" in verdict.reason
    assert "0.66" in verdict.reason


def test_a_leak_of_the_recipe_counts_though_this_model_was_lucky():
    lucky = _finding(0.55, recipe=Estimate(0.68, 0.66, 0.70))
    assert decide([lucky], CAUGHT).outcome == "vulnerable"


def test_few_patients_make_neither_safe_nor_vulnerable():
    verdict = decide([_finding(0.62, 0.15)], CAUGHT)
    assert verdict.outcome == "inconclusive"
    assert "0.77" in verdict.reason
    assert verdict.way_out


@pytest.mark.parametrize(("bound", "outcome"), [(2.01, "vulnerable"), (2.0, "safe")])
def test_canaries_that_refute_the_epsilon_overrule_all_else(bound, outcome):
    canaries = CanaryAudit(1000, 100, 95, bound, 1e-5, 0.95, declared=2.0)
    assert decide([_finding(0.5)], CAUGHT, canaries).outcome == outcome


def test_the_rarest_of_thirty_three_models_is_odd():
    recipe = [[0.5, 0.52 + i / 1000] for i in range(32)]
    assert odds([0.5, 0.9], recipe) == pytest.approx(1 / 33)
    assert odds([0.1, 0.5], recipe) == pytest.approx(1 / 33)
    assert odds([0.5, 0.5], recipe) == 1.0
    assert odds([0.5, 0.536], recipe) == pytest.approx(17 / 33)
