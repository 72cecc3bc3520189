from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aegis.errors import BadInput, RunAborted
from aegis.evaluation.histogram import BINS, HALF, WIDEST, edges, score, score_many

logits = st.floats(-60, 60) | st.floats(-1e-300, 1e-300) | st.sampled_from([0.0, -0.0, 1e300])
scored = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=logits), arrays(np.int64, n, elements=st.integers(0, 1))
    )
)


@given(scored)
@settings(max_examples=200, deadline=None)
def test_every_row_is_counted_once_on_its_own_side(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    z, y = found
    histogram, _ = score(z, y)
    assert histogram.shape == (2, BINS)
    assert histogram.dtype == np.int64
    for label in (0, 1):
        assert histogram[label].sum() == (y == label).sum()
        assert histogram[label, HALF:].sum() == ((z >= 0) & (y == label)).sum()


@given(scored, st.data())
@settings(max_examples=100, deadline=None)
def test_a_stack_scores_as_each_hospital_alone(
    found: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    z, y = found
    owner = data.draw(arrays(np.intp, len(z), elements=st.integers(0, 3)))
    histograms, losses = score_many(z, y, owner, 5)
    assert histograms.shape == (5, 2, BINS)
    for who in range(5):
        alone, loss = score(z[owner == who], y[owner == who])
        np.testing.assert_array_equal(histograms[who], alone)
        assert losses[who] == pytest.approx(loss, rel=1e-12, abs=1e-300)


@given(scored)
@settings(max_examples=100, deadline=None)
def test_a_higher_score_never_lies_in_a_lower_bin(
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    z, _ = found
    bins = [int(score(np.array([one]), np.array([1]))[0][1].argmax()) for one in np.sort(z)]
    assert bins == sorted(bins)


def test_a_probability_of_one_half_is_a_positive_prediction() -> None:
    histogram, loss = score(np.array([0.0]), np.array([1]))
    assert histogram[1, HALF] == 1
    assert loss == pytest.approx(np.log(2))
    assert score(np.array([-5e-324]), np.array([1]))[0][1, HALF - 1] == 1


def test_the_edges_are_where_the_counts_change() -> None:
    found = edges()
    assert len(found) == BINS + 1
    assert found[HALF] == 0
    assert found[-1] == pytest.approx(100)
    middles = (found[1:] + found[:-1]) / 2
    np.testing.assert_array_equal(score(middles, np.ones(BINS, dtype=np.int64))[0][1], 1)


def test_scores_in_float32_count_like_the_same_numbers_in_float64() -> None:
    z = np.random.default_rng(0).normal(0, 3, 500).astype(np.float32)
    y = np.arange(500) % 2
    np.testing.assert_array_equal(score(z, y)[0], score(z.astype(np.float64), y)[0])


def test_a_confident_mistake_costs_its_logit_up_to_the_widest() -> None:
    _, loss = score(np.array([-60.0, 1e4]), np.array([1, 1]))
    assert loss == pytest.approx(60)
    for far in (-1e4, -1e300):
        _, loss = score(np.array([far, 1e4]), np.array([1, 1]))
        assert loss == WIDEST


def test_nobody_scores_nothing() -> None:
    histogram, loss = score(np.zeros(0), np.zeros(0, dtype=np.int64))
    assert histogram.sum() == 0
    assert loss == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_model_that_went_to_infinity_ends_the_run(bad: float) -> None:
    with pytest.raises(RunAborted, match="1 of 2"):
        score(np.array([0.0, bad]), np.array([0, 1]))


@pytest.mark.parametrize("bad", [2, -1])
def test_a_third_class_is_refused(bad: int) -> None:
    with pytest.raises(BadInput, match="neither 0 nor 1"):
        score(np.array([0.0, 1.0]), np.array([0, bad]))
