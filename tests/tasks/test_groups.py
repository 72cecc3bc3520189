import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.tasks.groups import UNKNOWN, groupings
from aegis.tasks.task import Column, Rows, Schema, find_task

SCHEMA = Schema(
    (
        Column("age", "number", "age", "years", 30, 80),
        Column("dose", "number", "daily dose", "mg", 0, 4),
        Column("smoker", "flag", "smokes", low=0, high=1),
        Column("ward", "category", "ward", categories=("surgery", "medicine")),
        Column("free", "number", "no public range"),
        Column("open", "category", "no public words"),
    )
)


def rows(n: int = 5, **columns) -> Rows:
    attributes = {name: columns.pop(name) for name in list(columns) if name == "sex"}
    return Rows(columns, np.zeros(n, dtype=np.int64), attributes)


def group_of(name: str, values, **more) -> list[str]:
    (grouping,) = groupings(SCHEMA, [name])
    held = rows(len(values), **{name: np.asarray(values)}, **more)
    return [grouping.labels[place] for place in grouping.places(held)]


def test_ages_fall_into_bands_that_touch():
    ages = [18.0, 44.9, 45.0, 54.9, 55.0, 64.0, 65.0, 101.0, np.nan]
    assert group_of("age", ages) == [
        *["under 45"] * 2, *["45 to 54"] * 2, *["55 to 64"] * 2, *["65 and over"] * 2, UNKNOWN
    ]  # fmt: skip


def test_sexes_come_from_the_words_of_the_attribute():
    assert group_of("sex", ["male", "female", "", "x"]) == ["male", "female", UNKNOWN, UNKNOWN]


def test_flags_and_categories_have_their_public_values():
    assert group_of("smoker", [1.0, 0.0, np.nan]) == ["yes", "no", UNKNOWN]
    assert group_of("ward", ["medicine", "surgery", "elsewhere", ""]) == [
        "medicine", "surgery", UNKNOWN, UNKNOWN
    ]  # fmt: skip


def test_another_number_is_cut_at_the_quarters_of_its_public_range():
    (grouping,) = groupings(SCHEMA, ["dose"])
    assert grouping.title == "Daily dose, mg"
    assert grouping.labels == ("under 1", "1 to under 2", "2 to under 3", "3 and over", UNKNOWN)
    assert group_of("dose", [0.5, 1.0, 2.99, 3.0, 99.0]) == [
        "under 1", "1 to under 2", "2 to under 3", "3 and over", "3 and over"
    ]  # fmt: skip


def test_rows_without_the_attribute_are_not_recorded():
    (sex,) = groupings(Schema(()), ["sex"])
    images = Rows(np.zeros((3, 4)), np.zeros(3, dtype=np.int64))
    assert [sex.labels[p] for p in sex.places(images)] == [UNKNOWN] * 3


@pytest.mark.parametrize(
    ("name", "said"),
    [("rage", "Did you mean age"), ("free", "no public values"), ("open", "no public values")],
)
def test_what_has_no_public_groups_is_refused_with_a_way_out(name, said):
    with pytest.raises(BadInput, match=said):
        groupings(SCHEMA, ["sex", name])


def test_the_heart_task_asks_for_sex_and_age():
    task = find_task("heart")
    asked = groupings(task.schema, task.preset["fairness"]["attributes"])
    assert [grouping.attribute for grouping in asked] == ["sex", "age"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), max_size=30))
def test_every_row_falls_into_exactly_one_group(values):
    for grouping in groupings(SCHEMA, ["age", "dose"]):
        column = {grouping.attribute: np.array(values, dtype=np.float64)}
        place = grouping.places(rows(len(values), **column))
        assert place.shape == (len(values),)
        assert ((place >= 0) & (place < len(grouping.labels))).all()
        assert (np.isnan(values) == (place == len(grouping.labels) - 1)).all()
