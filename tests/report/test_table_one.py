from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from aegis.errors import DataError
from aegis.report.suppression import Cell, suppress
from aegis.report.table_one import mean_sd, table_one
from aegis.tasks.preparation import slots, tally
from aegis.tasks.task import Column, Rows, Schema

SCHEMA = Schema(
    (
        Column("age", "number", "age", "years"),
        Column("smoker", "flag", "smoker"),
        Column("pain", "category", "pain", categories=("none", "some", "much")),
    )
)


def some_rows(n: int, seed: int, missing: float = 0.1) -> Rows:
    rng = np.random.default_rng(seed)
    age = rng.normal(54, 9, n).round()
    age[rng.random(n) < missing] = np.nan
    smoker = (rng.random(n) < 0.3).astype(float)
    pain = rng.choice(["none", "some", "much", ""], n, p=[0.5, 0.3, 0.15, 0.05])
    return Rows(
        {"age": age, "smoker": smoker, "pain": pain}, (rng.random(n) < 0.5).astype(np.int64)
    )


def sums(sizes: list[int], seed: int = 1) -> dict[str, NDArray[np.float64]]:
    return {f"hospital {i}": tally(SCHEMA, some_rows(n, seed + i)) for i, n in enumerate(sizes)}


def total(by: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.add.reduce(list(by.values()))


@pytest.fixture
def row():
    def find(table, label):
        return next(row for row in table["rows"] if row["label"] == label)

    return find


def test_figures_are_those_of_the_rows(row):
    rows = some_rows(500, 3)
    table = table_one(SCHEMA, tally(SCHEMA, rows), None)
    age = rows.inputs["age"]
    assert row(table, "Patients")["overall"] == "500"
    assert row(table, "Age, years")["overall"] == f"{np.nanmean(age):.1f} ({np.nanstd(age):.1f})"
    n = int((rows.inputs["pain"] == "much").sum())
    assert row(table, "Pain: much")["overall"] == f"{n} ({n / 5:.1f}\u00a0%)"
    n = int(np.isnan(age).sum())
    assert row(table, "Age, years: missing")["overall"] == f"{n} ({n / 5:.1f}\u00a0%)"
    assert row(table, "Outcome present")["overall"].startswith(f"{int(rows.labels.sum())} (")
    assert table["hospitals"] == []
    assert all(r["by_hospital"] == [] for r in table["rows"])


def test_a_column_without_missing_values_has_no_row_for_them():
    table = table_one(SCHEMA, tally(SCHEMA, some_rows(200, 1, missing=0)), None)
    labels = {row["label"] for row in table["rows"]}
    assert "Age, years: missing" not in labels
    assert "Pain: missing" in labels


def test_a_large_count_is_hidden_when_its_opposite_is_small(row):
    everyone = [tally(SCHEMA, some_rows(100, s)) for s in (1, 2, 3)]
    at = slots(SCHEMA).index(("smoker", "sum"))
    for vector in everyone:
        vector[at] = vector[at + 1] = 50
    everyone[0][at] = everyone[0][at + 1] = 97
    by = dict(zip("abc", everyone, strict=True))
    cells = row(table_one(SCHEMA, total(by), by), "Smoker")["by_hospital"]
    assert cells[0] == "all but fewer than 10"
    assert sorted(cells[1:]) == ["50 (50.0\u00a0%)", "withheld"]


def test_a_small_hospital_has_no_figures_and_neither_has_one_other():
    by = sums([7, 60, 90])
    table = table_one(SCHEMA, total(by), by)
    for row in table["rows"]:
        assert row["by_hospital"][:2] == ["withheld", "withheld"]
    assert table["rows"][0]["by_hospital"][2] == "90"
    assert "2 of 3 hospitals" in table["notes"][-1]


def test_an_unnamed_remainder_counts_as_a_hospital():
    by = sums([60, 90])
    table = table_one(SCHEMA, total(by) + tally(SCHEMA, some_rows(4, 9)), by)
    assert table["rows"][0]["by_hospital"] == ["withheld", "90"]


def test_fewer_than_ten_patients_give_no_table():
    table = table_one(SCHEMA, tally(SCHEMA, some_rows(9, 1)), None)
    assert table["rows"] == []
    assert "fewer than 10" in table["notes"][0]


def test_a_vector_of_another_schema_is_refused():
    with pytest.raises(DataError, match="the sums of there have the shape"):
        table_one(SCHEMA, tally(SCHEMA, some_rows(50, 1)), {"there": np.zeros(3)})


def test_a_mean_that_the_overall_would_give_back_is_withheld(row):
    by = sums([60, 70, 80])
    at = slots(SCHEMA).index(("age", "missing"))
    by["hospital 0"][at : at + 4] = [55, 5, 250, 12600]
    cells = row(table_one(SCHEMA, total(by), by), "Age, years")["by_hospital"]
    assert cells[:2] == ["fewer than 10 values", "withheld"]
    assert "(" in cells[2]


def test_a_thousand_hospitals_take_seconds():
    by = sums([75] * 1000)
    table = table_one(SCHEMA, total(by), by)
    assert len(table["rows"][0]["by_hospital"]) == 1000


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [(54.23, 9.14, "54.2 (9.1)"), (246.3, 51.8, "246 (52)"), (0.0123, 0.0045, "0.0123 (0.0045)"),
     (3.0, 0.0, "3.0 (0.0)"), (12345.6, 2345.6, "12,346 (2,346)")],
)  # fmt: skip
def test_the_spread_decides_the_decimals(mean, sd, text):
    assert mean_sd(mean, sd) == text


def reach(counts: NDArray[np.int64], status: NDArray[np.int8], at: tuple[int, int]):
    """The smallest and largest value that a reader cannot rule out for one cell.

    A linear program over all cells: shown ones are known, small ones lie in 0..9, withheld ones are
    at least 10, each group's patients are known, and the last column is the sum of the others. Such
    a system is totally unimodular, so its ends are whole numbers.
    """
    parts, groups = counts.shape
    index = np.arange(parts * groups).reshape(parts, groups)
    equations, right = [], []
    for p in range(parts):
        line = np.zeros(parts * groups)
        line[index[p, :-1]], line[index[p, -1]] = 1, -1
        equations.append(line)
        right.append(0)
    for g in range(groups):
        line = np.zeros(parts * groups)
        line[index[:, g]] = 1
        equations.append(line)
        right.append(counts[:, g].sum())
    all_withheld = bool((status == Cell.WITHHELD).all())
    bounds = []
    for n, mark in zip(counts.ravel(), status.ravel(), strict=True):
        if mark == Cell.SHOWN:
            bounds.append((n, n))
        elif mark == Cell.SMALL:
            bounds.append((0, 9))
        else:
            bounds.append((0, None) if all_withheld else (10, None))
    found = []
    for sign in (1, -1):
        goal = np.zeros(parts * groups)
        goal[index[at]] = sign
        solved = linprog(goal, A_eq=equations, b_eq=right, bounds=bounds, method="highs")
        assert solved.status == 0
        found.append(round(sign * solved.fun))
    return found


tables = st.integers(2, 4).flatmap(
    lambda parts: st.lists(
        st.lists(
            st.one_of(st.integers(0, 12), st.integers(0, 60)), min_size=parts, max_size=parts
        ).filter(lambda group: sum(group) >= 10),
        min_size=1,
        max_size=4,
    )
)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_no_count_under_ten_is_shown_or_can_be_worked_out(groups):
    parts = np.array(groups, dtype=np.int64).T
    counts = np.concatenate([parts, parts.sum(axis=1, keepdims=True)], axis=1)
    status = suppress(counts, 10)
    for at in np.argwhere(counts < 10):
        cell = int(at[0]), int(at[1])
        assert status[cell] != Cell.SHOWN
        low, high = reach(counts, status, cell)
        assert low < high, f"{counts.tolist()} gives away {cell}"


@settings(max_examples=100, deadline=None)
@given(tables)
def test_a_table_without_small_counts_is_shown_whole(groups):
    parts = np.array(groups, dtype=np.int64).T + 10
    counts = np.concatenate([parts, parts.sum(axis=1, keepdims=True)], axis=1)
    assert not suppress(counts, 10).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 80), min_size=1, max_size=5), st.integers(0, 1000))
def test_no_printed_count_is_under_ten(sizes, seed):
    by = sums(sizes, seed)
    table = table_one(SCHEMA, total(by), by)
    for row in table["rows"]:
        for text in (row["overall"], *row["by_hospital"]):
            if text[0].isdigit() and ("%" in text or row["label"] == "Patients"):
                assert int(text.split()[0].replace(",", "")) >= 10
