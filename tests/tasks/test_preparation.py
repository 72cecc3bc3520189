from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.tasks.preparation import (
    Feature,
    Preparation,
    slots,
    tally,
    vocabulary,
    with_vocabulary,
)
from aegis.tasks.task import Column, Rows, Schema

SCHEMA = Schema(
    (
        Column("age", "number", "age"),
        Column("smoker", "flag", "smokes"),
        Column("pain", "category", "pain", categories=("none", "mild", "strong")),
    )
)


def table(age: list[float], smoker: list[float], pain: list[str]) -> Rows:
    return Rows(
        {"age": np.array(age), "smoker": np.array(smoker), "pain": np.array(pain, dtype="<U8")},
        np.arange(len(age), dtype=np.int64) % 2,
    )


values = st.one_of(st.floats(-1e4, 1e4, allow_subnormal=False), st.just(np.nan))
patients = st.lists(
    st.tuples(
        values,
        st.sampled_from([0.0, 1.0, np.nan]),
        st.sampled_from(["", "none", "mild", "strong"]),
    ),
    min_size=1,
    max_size=40,
)


def rows_of(found: list[tuple[float, float, str]]) -> Rows:
    age, smoker, pain = zip(*found, strict=True)
    return table(list(age), list(smoker), list(pain))


def prepared(rows: Rows, schema: Schema = SCHEMA) -> Preparation:
    return Preparation.from_tally(schema, tally(schema, rows))


@given(patients, st.lists(st.integers(0, 4), min_size=40, max_size=40))
@settings(max_examples=200, deadline=None)
def test_summed_tallies_prepare_as_the_pooled_rows_would(
    found: list[tuple[float, float, str]], owner: list[int]
) -> None:
    rows = rows_of(found)
    owners = np.array(owner[: len(rows)])
    summed = sum(tally(SCHEMA, rows.take(owners == who)) for who in range(5))
    apart, pooled = Preparation.from_tally(SCHEMA, summed), prepared(rows)
    assert apart.names == pooled.names
    np.testing.assert_allclose(apart.apply(rows), pooled.apply(rows), rtol=1e-6, atol=1e-6)


@given(patients)
@settings(max_examples=200, deadline=None)
def test_a_preparation_survives_its_json(found: list[tuple[float, float, str]]) -> None:
    preparation = prepared(rows_of(found))
    again = Preparation.from_json(preparation.to_json())
    assert again == preparation
    assert again.sha256 == preparation.sha256


@given(patients)
@settings(max_examples=200, deadline=None)
def test_no_missing_value_reaches_the_design_matrix(
    found: list[tuple[float, float, str]],
) -> None:
    rows = rows_of(found)
    preparation = prepared(rows)
    design = preparation.apply(rows)
    assert design.shape == (len(rows), len(preparation.names))
    assert np.isfinite(design).all()


def test_numbers_come_out_with_mean_0_and_spread_1() -> None:
    rng = np.random.default_rng(0)
    rows = table(
        list(rng.normal(50, 9, 300)), list(rng.integers(0, 2, 300).astype(float)), ["none"] * 300
    )
    design = prepared(rows).apply(rows)[:, :2]
    np.testing.assert_allclose(design.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(design.std(axis=0), 1, atol=1e-12)


def test_a_missing_value_becomes_the_mean_and_is_flagged() -> None:
    rows = table([40, 60, np.nan], [0, 1, 1], ["none", "", "strong"])
    preparation = prepared(rows)
    assert preparation.names == (
        "age", "age missing", "smoker", "pain=mild", "pain=strong", "pain missing",
    )  # fmt: skip
    np.testing.assert_allclose(preparation.apply(rows)[:, 0], [-1, 1, 0])
    np.testing.assert_array_equal(preparation.apply(rows)[:, 1], [0, 0, 1])
    np.testing.assert_array_equal(preparation.apply(rows)[:, 3:], [[0, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_a_column_missing_everywhere_carries_nothing() -> None:
    rows = table([np.nan] * 3, [0, 1, 0], ["none"] * 3)
    preparation = prepared(rows)
    assert preparation.features[0] == Feature("age", "age", centre=0.0, scale=1.0)
    np.testing.assert_array_equal(preparation.apply(rows)[:, 0], 0)
    np.testing.assert_array_equal(preparation.apply(rows)[:, 1], 1)


@pytest.mark.parametrize("constant", [0.0, 0.1, -0.1, 36.6, 37.0, 1e-12, 1e9])
def test_a_constant_column_carries_nothing_and_magnifies_no_other_value(constant: float) -> None:
    """Rounding leaves a spread of 1e-9 where there is none; nobody may be divided by it."""
    hospital = table([constant] * 7, [1.0] * 7, ["mild"] * 7)
    preparation = Preparation.from_tally(SCHEMA, sum(tally(SCHEMA, hospital) for _ in range(4)))
    np.testing.assert_allclose(preparation.apply(hospital)[:, :2], 0, atol=1e-6)
    newcomer = table([constant + 1], [0.0], ["mild"])
    np.testing.assert_allclose(preparation.apply(newcomer)[0, :2], [1, -1], atol=1e-6)


def test_a_column_of_tiny_numbers_is_standardised_like_any_other() -> None:
    tiny = table([1e-11, 3e-11], [0, 1], ["none", "none"])
    np.testing.assert_allclose(prepared(tiny).apply(tiny)[:, 0], [-1, 1])


def test_a_column_that_one_hospital_never_filled_in_is_flagged_for_all() -> None:
    here = table([40, 50], [0, 1], ["none", "mild"])
    there = table([np.nan, np.nan], [0, 1], ["none", "mild"])
    preparation = Preparation.from_tally(SCHEMA, tally(SCHEMA, here) + tally(SCHEMA, there))
    assert "age missing" in preparation.names
    np.testing.assert_array_equal(preparation.apply(here)[:, 1], 0)
    np.testing.assert_array_equal(preparation.apply(there)[:, 0], 0)


def test_a_tally_is_laid_out_as_its_slots_say() -> None:
    sums = dict(
        zip(
            slots(SCHEMA),
            tally(SCHEMA, table([1, 2, np.nan], [1, 1, 0], ["", "mild", "mild"])),
            strict=True,
        )
    )
    assert sums == {
        ("", "rows"): 3,
        ("", "positive"): 1,
        ("age", "missing"): 1,
        ("age", "count"): 2,
        ("age", "sum"): 3,
        ("age", "squares"): 5,
        ("smoker", "missing"): 0,
        ("smoker", "count"): 3,
        ("smoker", "sum"): 2,
        ("smoker", "squares"): 2,
        ("pain", "missing"): 1,
        ("pain", "=none"): 0,
        ("pain", "=mild"): 2,
        ("pain", "=strong"): 0,
    }


def test_rare_words_stay_out_of_the_vocabulary() -> None:
    schema = Schema((Column("ward", "category", "ward"),))
    rows = Rows(
        {"ward": np.array(["A"] * 12 + ["B"] * 9 + [""] * 20)}, np.zeros(41, dtype=np.int64)
    )
    found = vocabulary(schema, rows, minimum=10)
    assert found == {"ward": ("A",)}
    assert with_vocabulary(schema, found)["ward"].categories == ("A",)
    assert vocabulary(SCHEMA, table([1], [0], ["mild"])) == {}


def test_sums_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        Preparation.from_tally(SCHEMA, np.ones(3))
    with pytest.raises(DataError, match="no row"):
        Preparation.from_tally(SCHEMA, np.zeros(len(slots(SCHEMA))))


@pytest.mark.parametrize("text", ["", "{", "[1]", "[[1]]", '{"a": 1}', "null"])
def test_a_preparation_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        Preparation.from_json(text)


def test_images_pass_through_and_have_no_tally() -> None:
    rows = Rows(np.ones((2, 5), dtype=np.float32), np.array([0, 1]))
    assert Preparation(()).apply(rows).shape == (2, 5)
    with pytest.raises(DataError, match="images"):
        tally(SCHEMA, rows)
