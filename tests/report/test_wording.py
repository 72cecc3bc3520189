from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.report import wording
from aegis.report.disclosure import disclosures, right_guesses
from aegis.report.hospital_tables import share_of, specificity
from aegis.report.provenance import origins, repeating
from aegis.report.summary import summary_lines


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "0.8", True, [0.8]])
def test_what_is_no_number_is_said_with_a_reason(value):
    text = wording.measured({"accuracy": value}, "accuracy")
    assert text == "n/a: not measured"


def test_a_recorded_reason_is_repeated():
    metrics = {"auc": None, "accuracy": 0.9, "reasons": {"auc": "too few patients"}}
    assert wording.measured(metrics, "auc") == "n/a: too few patients"


def test_an_undefined_figure_says_why():
    metrics = dict.fromkeys(("auc", "recall", "precision")) | {"accuracy": 0.9, "examples": 20}
    assert wording.measured(metrics, "auc") == "n/a: one class absent"
    assert wording.measured(metrics, "recall") == "n/a: no patient has the condition"
    assert wording.measured(metrics, "precision") == "n/a: no patient was called positive"
    assert (
        wording.measured({"examples": 0, "accuracy": None}, "accuracy") == "n/a: no test patients"
    )


@given(st.floats(-1, 1))
def test_a_difference_always_shows_its_sign_and_zero_never_does(value):
    text = wording.signed(value)
    assert float(text.replace("−", "-")) == pytest.approx(100 * value, abs=0.0501)
    assert (text == "0.0") == (not text.startswith(("+", "−")))


def test_an_interval_without_width_is_not_sold_as_certainty():
    assert wording.points(0.0, (0.0, 0.0)) == "0.0\u00a0points (no one differed)"
    assert wording.points(0.03, (-0.01, 0.07)) == "+3.0\u00a0points (−1.0 to +7.0)"


@pytest.mark.parametrize(
    ("share", "rows", "text"),
    [(0.375, 261, "98 of 261 (37.5\u00a0%)"), (0.935, 123, "all but fewer than 10"),
     (0.02, 123, "fewer than 10"), (None, 50, "n/a: not shown or not recorded"),
     (1.0, 60, "all but fewer than 10")],
)  # fmt: skip
def test_a_share_is_never_said_without_its_count_and_never_under_ten(share, rows, text):
    assert share_of(share, rows) == text


def test_specificity_follows_from_balanced_accuracy():
    assert specificity({"balanced_accuracy": 0.8, "recall": 0.9}) == "70.0\u00a0%"
    one_class = {"balanced_accuracy": None, "recall": 1.0, "auc": None, "accuracy": 1.0}
    assert specificity(one_class) == "n/a: one class absent"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "<\u00a00.001"),
        (0.0004, "<\u00a00.001"),
        (0.05, "0.050"),
        (None, "n/a: not estimable"),
    ],
)
def test_p_values(value, text):
    assert wording.p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.2, "1.2"), (0.98, "0.98"), (1e-5, "1.00e-05"), (12345.0, "12,345"), (123456.0, "1.23e+05")],
)
def test_significant_figures(value, text):
    assert wording.significant(value) == text


@pytest.mark.parametrize(("epsilon", "of_100"), [(0.5, 63), (1, 74), (2, 89), (3, 96), (0, 50)])
def test_the_bound_on_guessing_is_rounded_up(epsilon, of_100):
    assert right_guesses(epsilon) == of_100
    assert of_100 / 100 >= math.exp(epsilon) / (1 + math.exp(epsilon))


def answers(result):
    return dict(disclosures(result))


def test_a_run_without_noise_says_so(a_result):
    text = answers(a_result())["What can somebody do who holds the model?"]
    assert text.startswith(
        "No differential privacy was used in this run. Anyone who holds the model"
    )


def test_an_open_run_says_that_updates_were_seen(a_result):
    text = answers(a_result())["What did the coordinator see?"]
    assert text.startswith("The coordinator saw each hospital’s update.")


def test_a_masked_run_does_not_claim_more_than_the_sum(a_result):
    text = answers(a_result() | {"trust": "masked"})["What did the coordinator see?"]
    assert "only the sum" in text


def noisy(result, epsilon):
    result["privacy"] = {
        "mechanism": "distributed", "epsilon": epsilon, "delta": 1e-5, "accountant": "pld",
        "unit": "patient record at one hospital", "neighbouring": "add or remove one",
    }  # fmt: skip
    return result


def test_epsilon_is_said_with_delta_unit_and_relation(a_result):
    text = answers(noisy(a_result(), 0.98))["What can somebody do who holds the model?"]
    for part in ("Total epsilon 0.98", "delta 1.0e-05", "patient record at one hospital",
                 "add or remove one", "73 of 100"):  # fmt: skip
        assert part in text


def test_a_large_epsilon_promises_little(a_result):
    text = answers(noisy(a_result(), 5.0))["What can somebody do who holds the model?"]
    assert "promises little" in text
    assert "of 100" not in text


def test_the_largest_spend_of_any_hospital_counts(a_result):
    result = noisy(a_result(), 0.5)
    for hospital, spent in zip(result["hospitals"], (0.5, 2.0, 0.5, 0.5), strict=True):
        hospital["epsilon"] = spent
    found = answers(result)
    assert "Total epsilon 2" in found["What can somebody do who holds the model?"]
    assert "hungarian:\u00a02" in found["What did each hospital spend?"]


def test_an_audit_log_that_was_not_verified_is_not_praised(a_result):
    result = a_result() | {"audit_log": {"size": 131, "root": "ab", "verified": False}}
    assert "NOT been verified" in answers(result)["Can the history of this run be checked?"]


def test_a_verified_log_is_told_with_its_witnesses_on_the_page_and_in_the_terminal(a_result):
    log = {"size": 131, "root": "ab", "verified": True, "checkpoints": 20, "witnesses": 4}
    result = a_result() | {"audit_log": {**log, "coordinator": "12ab"}}
    text = answers(result)["Can the history of this run be checked?"]
    assert "131 entries was checked and holds (root ab)" in text
    assert "20\u00a0checkpoints signed; 4\u00a0hospitals cosigned the last" in text
    found = {name: value for name, value, _ in origins(result)}
    assert found["Audit log"].startswith("131 entries, verified; 20\u00a0checkpoints")
    assert (found["Audit log, root"], found["Audit log, coordinator's key"]) == ("ab", "12ab")
    assert f"aegis audit verify {result['run']}" in repeating(result)[0]
    assert "131 entries" in dict(summary_lines(result))["Audit log"]
    bad = a_result() | {"audit_log": {**log, "verified": False, "first_bad": "entry 7: torn"}}
    assert "First bad entry: entry 7: torn" in dict(summary_lines(bad))["Audit log"]


def test_a_mechanism_that_was_not_recorded_is_not_taken_for_none_or_for_some(a_result):
    text = answers(a_result() | {"privacy": None})["What can somebody do who holds the model?"]
    assert text.startswith("This result does not say whether noise was added.")
