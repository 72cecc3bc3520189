"""Signed counts made whole, one hospital's or a sum's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.evaluation.classes import examples_of, from_judged, judged, right_of
from aegis.evaluation.histogram import BINS, score
from aegis.evaluation.whole import adding_up, from_kinds, kinds, together, whole, whole_kinds
from tests.evaluation.test_classes import patients

SIGNED = st.lists(st.integers(-300, 300), min_size=4, max_size=4)


@given(SIGNED)
@settings(max_examples=300, deadline=None)
def test_four_counts_made_whole_keep_their_rows_and_their_accuracy(signed: list[int]) -> None:
    found = from_kinds(np.array(signed))
    shown, rows = whole(found), max(sum(signed), 0)
    assert (shown >= 0).all()
    assert shown.sum() == rows
    assert right_of(shown) == min(max(signed[0] + signed[3], 0), rows)
    if min(signed) >= 0:
        assert np.array_equal(shown, found)


@given(SIGNED, st.floats(-5, 5))
@settings(max_examples=200, deadline=None)
def test_draws_are_made_whole_as_counts_are(signed: list[int], off: float) -> None:
    drawn = np.array(signed) + off
    found = whole_kinds(drawn[None], np.maximum(drawn.sum(keepdims=True), 0))[0]
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(max(drawn.sum(), 0))
    assert found == pytest.approx(whole_kinds(np.array(signed), max(sum(signed), 0)), abs=20)


@given(st.lists(st.lists(st.integers(-40, 60), min_size=3, max_size=3), min_size=3, max_size=9))
@settings(max_examples=200, deadline=None)
def test_classes_made_whole_keep_their_rows_and_their_accuracy(cells: list[list[int]]) -> None:
    signed = np.array(cells)
    shown = judged(whole(from_judged(signed)))
    rows = max(signed.sum(), 0)
    assert (shown >= 0).all()
    assert shown.sum() == rows
    assert shown[:, 0].sum() == min(max(signed[:, 0].sum(), 0), rows)
    if (signed >= 0).all():
        assert np.array_equal(shown, signed)


def test_a_sum_is_made_whole_and_not_its_parts() -> None:
    apart = [from_kinds(np.array(one)) for one in ([60, -20, -5, 5], [-10, 30, 15, 5])]
    assert kinds(together(apart, True)).tolist() == [50, 10, 10, 10]
    exact, _ = score(np.array([-1.0, 2.0]), np.array([0, 1]))
    assert np.array_equal(together([exact, exact], False), 2 * exact)


def test_beside_noisy_counts_exact_ones_lose_their_bins() -> None:
    exact, _ = score(np.array([-3.0, -1.0, 2.0, 4.0]), np.array([0, 1, 1, 1]))
    sum_of = together([exact, from_kinds(np.array([2, 1, -1, 3]))], True)
    assert np.count_nonzero(sum_of.sum(axis=0)) <= 2
    assert kinds(sum_of).tolist() == [3, 1, 0, 5]
    tableau, _ = score(*patients(5, 60))
    mixed = together([tableau, from_judged(judged(tableau) - 1)], True)
    assert examples_of(mixed) == 120 - 15


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60), st.integers(0, 500))
@settings(max_examples=200, deadline=None)
def test_counts_are_brought_to_their_total(values: list[float], total: int) -> None:
    given_values = np.array(values)
    found = adding_up(given_values, total)
    assert found.sum() == total
    assert (found >= 0).all()
    if total >= 1:  # who was larger stays as large
        order = np.argsort(given_values)
        assert (np.diff(found[order]) >= -1).all()


def test_whole_counts_lie_beside_one_half() -> None:
    found = from_kinds(np.array([1, 2, 3, 4]))
    assert found.shape == (2, BINS)
    assert kinds(found).tolist() == [1, 2, 3, 4]
