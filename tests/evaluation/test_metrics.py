from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as theirs

from aegis.evaluation.histogram import BINS, score, score_many
from aegis.evaluation.metrics import DECIDED, RANKED, metrics, values

scored = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.floats(-20, 20)),
        arrays(np.int64, n, elements=st.integers(0, 1)),
    )
)


def or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


@given(scored)
@settings(max_examples=200, deadline=None)
def test_decisions_are_measured_exactly_as_scikit_learn_does(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    z, y = found
    ours, called = metrics(*score(z, y)), (z >= 0).astype(int)
    undefined = {"zero_division": np.nan}
    expected = {
        "accuracy": theirs.accuracy_score(y, called),
        "precision": or_none(theirs.precision_score(y, called, **undefined)),
        "recall": or_none(theirs.recall_score(y, called, **undefined)),
        "f1": or_none(theirs.f1_score(y, called, **undefined)),
        "balanced_accuracy": theirs.balanced_accuracy_score(y, called)
        if 0 < y.sum() < len(y)
        else None,
        "log_loss": theirs.log_loss(y, 1 / (1 + np.exp(-z)), labels=[0, 1]),
        "examples": len(y),
    }
    for name, value in expected.items():
        assert ours[name] == (value if value is None else pytest.approx(value, rel=1e-6)), name


@given(scored)
@settings(max_examples=200, deadline=None)
def test_ranks_are_off_by_no_more_than_the_ties_within_bins(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    z, y = found
    histogram, loss = score(z, y)
    auc = metrics(histogram, loss)["auc"]
    if not 0 < y.sum() < len(y):
        assert auc is None
        return
    tied = (histogram[0] * histogram[1]).sum() / (histogram[0].sum() * histogram[1].sum())
    assert auc == pytest.approx(theirs.roc_auc_score(y, z), abs=tied / 2 + 1e-12)


@given(
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([0.02, 0.1, 0.5, 2.0, 10.0, 20.0]),
    centre=st.floats(-2, 2),
    gap=st.floats(0, 4),
    ill=st.floats(0.05, 0.95),
)
@settings(max_examples=100, deadline=None)
def test_auc_lies_within_a_thousandth_of_scikit_learns_for_weak_and_strong_models(
    seed: int, spread: float, centre: float, gap: float, ill: float
) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(2000) < ill).astype(np.int64)
    z = spread * (rng.normal(size=2000) + gap * (y - 0.5) + centre)
    ours = metrics(*score(z, y))
    assert ours["auc"] == pytest.approx(theirs.roc_auc_score(y, z), abs=0.001)
    assert ours["average_precision"] == pytest.approx(
        theirs.average_precision_score(y, z), abs=0.015
    )


@given(scored)
@settings(max_examples=100, deadline=None)
def test_average_precision_takes_each_bin_as_one_threshold(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    z, y = found
    ours = metrics(*score(z, y))["average_precision"]
    if not 0 < y.sum() < len(y):
        assert ours is None
        return
    bins = [int(score(z[i : i + 1], y[i : i + 1])[0].sum(axis=0).argmax()) for i in range(len(z))]
    assert ours == pytest.approx(theirs.average_precision_score(y, bins), abs=1e-12)


@given(scored)
@settings(max_examples=50, deadline=None)
def test_hospitals_together_are_the_metrics_of_their_sum(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    z, y = found
    histograms, losses = score_many(z, y, np.arange(len(z)) % 3, 3)
    assert metrics(histograms.sum(axis=0), float(losses.sum())) == pytest.approx(
        metrics(*score(z, y)), nan_ok=False
    )


def test_what_does_not_exist_is_none_and_never_nan() -> None:
    nobody = metrics(np.zeros((2, BINS), dtype=np.int64), 0.0)
    assert nobody.pop("examples") == 0
    assert set(nobody.values()) == {None}
    all_ill = metrics(*score(np.array([1.0, 2.0]), np.array([1, 1])))
    assert all_ill["accuracy"] == 1
    assert all_ill["recall"] == 1
    assert [all_ill[n] for n in ("auc", "balanced_accuracy", "average_precision")] == [None] * 3
    nobody_called = metrics(*score(np.array([-1.0, -2.0]), np.array([0, 1])))
    assert nobody_called["precision"] is None
    assert nobody_called["recall"] == 0
    assert nobody_called["f1"] == 0


def test_without_a_loss_there_is_no_log_loss() -> None:
    histogram, _ = score(np.array([1.0]), np.array([1]))
    assert metrics(histogram, None)["log_loss"] is None
    assert metrics(histogram, float("inf"))["log_loss"] is None


def test_a_model_that_knows_nothing_yet_has_an_auc_of_one_half() -> None:
    ours = metrics(*score(np.zeros(10), np.arange(10) % 2))
    assert ours["auc"] == 0.5
    assert ours["average_precision"] == 0.5


@pytest.mark.parametrize("name", DECIDED + RANKED)
def test_many_histograms_are_measured_like_one(name: str) -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 400)
    histograms, _ = score_many(rng.normal(size=400) + y, y, rng.integers(0, 6, 400), 6)
    alone = [values(one, name) for one in histograms]
    np.testing.assert_allclose(values(histograms.reshape(2, 3, 2, BINS), name).reshape(-1), alone)
