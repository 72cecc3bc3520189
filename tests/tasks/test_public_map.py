"""Public ranges bring columns to -1..1 without looking at anybody."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aegis.errors import BadInput
from aegis.tasks.public_map import indicator, is_amount, one_hot, public_map

columns = hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(allow_nan=True))


@given(columns, st.floats(-1e3, 1e3), st.floats(0.01, 1e4), st.booleans())
@settings(max_examples=200)
def test_every_value_lands_between_minus_one_and_one(values, low, width, flag):
    mapped = public_map(values, low, low + width, flag)
    assert np.all(np.abs(mapped) <= 1)
    assert np.all(mapped[np.isnan(values)] == 0)


@given(columns, columns)
@settings(max_examples=200)
def test_no_row_changes_another_row(mine, others):
    alone = public_map(mine, 0.0, 30.0)
    beside = public_map(np.concatenate([mine, others]), 0.0, 30.0)
    assert np.array_equal(alone, beside[: len(mine)])


def test_amounts_are_drawn_apart_and_others_are_not():
    assert is_amount(0, 3)
    assert is_amount(5, 30)
    assert not is_amount(10, 50)
    assert not is_amount(-1, 30)
    assert public_map(np.array([0.75]), 0, 3)[0] == 0.0  # sqrt(1/4) is the middle
    assert public_map(np.array([30.0]), 10, 50)[0] == 0.0
    assert public_map(np.array([0.0, 1.0]), 0, 1, flag=True).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_range_that_is_none_is_refused(ends):
    with pytest.raises(BadInput, match="public range"):
        public_map(np.zeros(1), *ends)


def test_missing_numbers_and_words_are_marked():
    assert indicator(np.array([1.0, np.nan])).tolist() == [0, 1]
    assert indicator(np.array(["a", ""])).tolist() == [0, 1]


def test_the_first_category_is_the_reference():
    words = np.array(["b", "a", "c", ""])
    assert one_hot(words, ("a", "b", "c")).tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
