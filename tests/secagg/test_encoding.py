"""Numbers become integers of the ring and back, exactly, or are refused by their slot's name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, DataError
from aegis.secagg import Encoding, Slot

UPDATE = Slot("update", 3, 8.0, 24)
COUNT = Slot("count", 1, 2.0**20, 0)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(3, 20),
    st.sampled_from([(8.0, 24, 64), (2.0**20, 0, 64), (2.0**-10, 50, 64), (16.0, 16, 32)]),
    st.sampled_from([np.float64, np.float32]),
    st.integers(0, 2**32),
)
def test_sums_of_encoded_numbers_are_the_sums_of_their_grid_points(hospitals, form, kind, seed):
    bound, scale, bits = form
    encoding = Encoding((Slot("x", 7, bound, scale),), hospitals, bits)
    rng = np.random.default_rng(seed)
    values = (rng.uniform(-bound, bound, (hospitals, 7))).astype(kind)
    values = np.clip(values, -bound, bound)
    on_grid = np.rint(values.astype(np.float64) * 2.0**scale)
    total = sum(encoding.encode({"x": row}) for row in values)
    assert np.array_equal(encoding.integers(total)["x"], on_grid.sum(0).astype(np.int64))
    assert np.array_equal(encoding.decode(total)["x"], on_grid.sum(0) * 2.0**-scale)


def test_numbers_on_the_grid_come_back_to_the_last_bit():
    encoding = Encoding((UPDATE, COUNT), 8)
    values = {"update": np.array([-8.0, 2.0**-24, 7.5]), "count": np.array([2.0**20])}
    back = encoding.decode(encoding.encode(values))
    assert all(np.array_equal(back[name], values[name]) for name in values)


def test_integers_are_taken_as_they_are_even_above_two_to_the_53():
    encoding = Encoding((Slot("big", 2, 2.0**57, 0),), 8)
    odd = np.array([2**56 + 1, -(2**56) - 1])
    assert np.array_equal(encoding.integers(encoding.encode({"big": odd}))["big"], odd)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 8.01, -8.01, 1e30])
@pytest.mark.parametrize("where", [0, 40_000, 99_999])
def test_a_number_that_is_not_finite_or_beyond_its_bound_is_refused_by_name(kind, wrong, where):
    encoding = Encoding((COUNT, Slot("update", 100_000, 8.0, 24)), 8)
    update = np.zeros(100_000, kind)
    update[where] = wrong
    with pytest.raises(DataError, match=r"a number of update is (not finite|beyond)"):
        encoding.encode({"count": np.ones(1), "update": update})


def test_a_float32_just_above_a_bound_between_two_of_them_is_refused():
    encoding = Encoding((Slot("x", 1, 0.1, 24),), 3)
    with pytest.raises(DataError):
        encoding.encode({"x": np.array([0.1], np.float32)})  # 0.100000001
    encoding.encode({"x": np.array([np.nextafter(np.float32(0.1), np.float32(0))])})


@pytest.mark.parametrize(
    ("slot", "hospitals", "bits"),
    [
        (Slot("wide", 1, 2.0**40, 24), 2, 64),  # 2^65
        (Slot("wide", 1, 2.0**39, 23), 2, 64),  # 2^63 exactly
        (Slot("wide", 1, 2.0**4, 16), 2**11, 32),
    ],
)
def test_a_sum_that_could_wrap_around_is_refused_when_the_plan_is_made(slot, hospitals, bits):
    with pytest.raises(BadInput, match=r"reach 2\^.*ring holds less than"):
        Encoding((slot,), hospitals, bits)


def test_the_widest_sum_that_fits_is_accepted_and_exact():
    encoding = Encoding((Slot("wide", 1, 2.0**38, 23),), 3)  # 3 * 2^61 < 2^63
    total = sum(encoding.encode({"wide": np.array([2.0**38])}) for _ in range(3))
    assert encoding.decode(total)["wide"] == 3 * 2.0**38


@pytest.mark.parametrize(
    "make",
    [
        lambda: Slot("x", 0, 1.0, 8),
        lambda: Slot("x", 1, 0.0, 8),
        lambda: Slot("x", 1, np.nan, 8),
        lambda: Slot("x", 1, np.inf, 8),
        lambda: Slot("x", 1, 1.0, -1),
        lambda: Slot("x", 1, 1.0, 63),
        lambda: Encoding((), 3),
        lambda: Encoding((COUNT, COUNT), 3),
        lambda: Encoding((COUNT,), 3, 16),
    ],
)
def test_an_impossible_slot_or_encoding_is_refused(make):
    with pytest.raises(BadInput):
        make()


@pytest.mark.parametrize(
    "values",
    [
        {"update": np.zeros(3)},
        {"update": np.zeros(3), "count": np.zeros(1), "more": np.zeros(1)},
        {"update": np.zeros(4), "count": np.zeros(1)},
        {"update": np.array(["a", "b", "c"]), "count": np.zeros(1)},
        {"update": np.zeros(3, complex), "count": np.zeros(1)},
    ],
)
def test_values_of_other_slots_sizes_or_kinds_are_refused(values):
    with pytest.raises(DataError):
        Encoding((UPDATE, COUNT), 8).encode(values)


def test_a_sum_that_no_honest_federation_reaches_is_refused():
    encoding = Encoding((UPDATE, COUNT), 8)
    total = np.zeros(4, np.uint64)
    total[1] = 8 * 8 * 2**24 + 1
    with pytest.raises(DataError, match="the sum of update"):
        encoding.decode(total)
    with pytest.raises(DataError):
        encoding.decode(np.zeros(5, np.uint64))
    with pytest.raises(DataError):
        encoding.decode(np.zeros(4, np.uint32))


def test_what_the_slots_are_is_one_digest():
    encodings = [
        Encoding((UPDATE,), 8),
        Encoding((UPDATE,), 9),
        Encoding((Slot("update", 3, 8.0, 23),), 8),
        Encoding((Slot("update", 3, 4.0, 24),), 8),
        Encoding((Slot("updates", 3, 8.0, 24),), 8),
        Encoding((UPDATE, COUNT), 8),
        Encoding((Slot("update", 3, 8.0, 16),), 8, 32),
    ]
    assert len({encoding.sha256 for encoding in encodings}) == len(encodings)
    assert Encoding((UPDATE,), 8).sha256 == encodings[0].sha256


def test_ten_million_parameters_are_encoded_with_little_memory_beside_the_result():
    import tracemalloc

    size = 10_000_000
    encoding = Encoding((Slot("update", size, 8.0, 24),), 8)
    update = np.zeros(size, np.float32)
    tracemalloc.start()
    ring = encoding.encode({"update": update})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ring.nbytes + 2**20
