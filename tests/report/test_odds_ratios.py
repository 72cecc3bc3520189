from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from aegis.errors import BadInput
from aegis.report.odds_ratios import odds_ratios, per
from aegis.tasks.task import Column, Schema

EXPOSED, UNEXPOSED = (30, 10), (20, 40)  # (ill, well)


def two_by_two():
    """A saturated model: its maximum likelihood and its curvature have closed forms."""
    design = np.repeat([[1.0, 1.0], [0.0, 1.0]], [sum(EXPOSED), sum(UNEXPOSED)], axis=0)
    intercept = math.log(UNEXPOSED[0] / UNEXPOSED[1])
    weights = np.array([math.log(EXPOSED[0] / EXPOSED[1]) - intercept, intercept])
    p = 1 / (1 + np.exp(-design @ weights))
    return weights, (design * (p * (1 - p))[:, None]).T @ design


def test_a_two_by_two_table_gives_woolfs_interval():
    entry = odds_ratios(["exposed=yes"], *two_by_two())[0]
    expected = 30 * 40 / (10 * 20)
    error = math.sqrt(1 / 30 + 1 / 10 + 1 / 20 + 1 / 40)
    assert entry["odds_ratio"] == pytest.approx(expected, rel=1e-12)
    assert entry["low"] == pytest.approx(expected * math.exp(-1.959963984540054 * error), rel=1e-9)
    assert entry["high"] == pytest.approx(expected * math.exp(1.959963984540054 * error), rel=1e-9)
    assert entry["p"] == pytest.approx(2 * norm.sf(math.log(expected) / error), rel=1e-9)
    assert entry["per"] == "present against absent"


def test_many_features_agree_with_the_textbook_inverse():
    rng = np.random.default_rng(5)
    design = np.c_[rng.normal(size=(400, 4)) * [1, 10, 0.01, 3], np.ones(400)]
    weights = np.array([0.3, -0.05, 20.0, 0.0, -0.2])
    p = 1 / (1 + np.exp(-design @ weights))
    hessian = (design * (p * (1 - p))[:, None]).T @ design
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    found = odds_ratios(["a", "b", "c", "d"], weights, hessian)
    for entry, beta, error in zip(found, weights, errors, strict=False):
        assert math.log(entry["high"] / entry["low"]) == pytest.approx(2 * 1.96 * error, rel=1e-4)
        assert entry["p"] == pytest.approx(2 * norm.sf(abs(beta) / error), rel=1e-7)
        assert entry["per"] == "1 sd"
    assert found[3]["odds_ratio"] == 1.0
    assert found[3]["p"] == 1.0


def test_features_that_say_the_same_are_named_in_the_reason():
    x = np.random.default_rng(1).normal(size=200)
    design = np.c_[x, x, np.random.default_rng(2).normal(size=200), np.ones(200)]
    reason = odds_ratios(["left", "right", "other"], np.zeros(4), design.T @ design / 4)
    assert isinstance(reason, str)
    assert "left, right cannot be told apart" in reason
    assert "other" not in reason


def test_a_feature_that_never_varies_is_named_in_the_reason():
    hessian = np.diag([0.0, 5.0, 9.0])
    assert odds_ratios(["constant", "age"], np.zeros(3), hessian) == (
        "the curvature says nothing about constant"
    )


def test_a_model_at_infinity_gives_a_reason():
    assert "not finite" in odds_ratios(["a"], np.array([np.inf, 0.0]), np.eye(2))


def test_an_estimate_beyond_floats_is_none_and_never_infinite():
    entry = odds_ratios(["a"], np.array([30.0, 0.0]), np.diag([1e-6, 1.0]))[0]
    assert entry["odds_ratio"] == pytest.approx(math.exp(30.0))
    assert entry["low"] is None
    assert entry["high"] is None
    assert 0.9 < entry["p"] <= 1.0


def test_a_certain_effect_has_a_p_value_of_zero_and_no_error():
    assert odds_ratios(["a"], np.array([50.0, 0.0]), np.diag([1e4, 1.0]))[0]["p"] == 0.0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="the intercept last"):
        odds_ratios(["a", "b"], np.zeros(2), np.eye(3))


def test_labels_say_what_a_column_is():
    schema = Schema((
        Column("thal", "category", "thallium scan", categories=("normal", "fixed")),
        Column("age", "number", "age", "years"),
    ))  # fmt: skip
    names = ["thal=fixed", "thal missing", "age", "unheard"]
    found = odds_ratios(names, np.zeros(5), np.eye(5), schema)
    labels = ["Thallium scan: fixed", "Thallium scan: missing", "Age", "unheard"]
    assert [entry["label"] for entry in found] == labels


@pytest.mark.parametrize(
    ("feature", "step"),
    [
        ("age", "1 sd"),
        ("thal=normal", "present against absent"),
        ("ca missing", "present against absent"),
    ],
)
def test_one_step_of_a_feature(feature, step):
    assert per(feature) == step
