from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.simulation.holdings import HospitalRows, describe, label_skew
from aegis.simulation.partition import Kind, partition
from aegis.tasks.breast_cancer import breast_cancer
from aegis.tasks.heart import heart
from aegis.tasks.task import DataOptions, Dataset, Rows, below

KINDS: tuple[Kind, ...] = ("site", "dirichlet", "age", "demographic", "iid")
DEALT: tuple[Kind, ...] = KINDS[1:]


def made(rows: int, seed: int = 0, ill: float = 0.4) -> Dataset:
    """Rows that know their own number, at three sites."""
    rng = np.random.default_rng(seed)
    ages = np.round(rng.normal(55, 9, rows))
    ages[rng.random(rows) < 0.05] = np.nan
    people = {
        "age": ages,
        "sex": np.where(rng.random(rows) < 0.3, "female", "male"),
    }
    labels = (rng.random(rows) < ill).astype(np.int64)
    number = {"number": np.arange(rows, dtype=np.float64)}
    sites = np.array(["north", "south", "east"])[np.minimum(np.arange(rows) % 4, 2)]
    return Dataset(Rows(number, labels, people), "made", sites)


def numbers(rows: Rows) -> list[int]:
    assert isinstance(rows.inputs, dict)
    return [int(value) for value in rows.inputs["number"]]


def everybody(part: HospitalRows) -> list[int]:
    return numbers(part.train) + numbers(part.validation) + numbers(part.test)


def look_alike(rows: str = "all") -> Dataset:
    return heart.load(DataOptions(synthetic=True, rows=rows))  # type: ignore[arg-type]


@given(
    rows=st.integers(3, 80),
    share=st.floats(0, 1),
    by=st.sampled_from(KINDS),
    alpha=st.sampled_from([0.01, 0.5, 100.0]),
    seed=st.integers(0, 2**63 - 1),
    ill=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    test_fraction=st.sampled_from([0.0, 0.2, 0.5]),
    validation_fraction=st.sampled_from([0.0, 0.1, 0.4]),
)
@settings(max_examples=200, deadline=None)
def test_every_row_goes_to_exactly_one_place(
    rows: int,
    share: float,
    by: Kind,
    alpha: float,
    seed: int,
    ill: float,
    test_fraction: float,
    validation_fraction: float,
) -> None:
    hospitals = 3 + round(share * (rows - 3))
    data = made(rows, ill=ill)
    parts = partition(data, hospitals, by, alpha, seed, test_fraction, validation_fraction)
    assert len(parts) == hospitals
    dealt = [number for part in parts.values() for number in everybody(part)]
    assert sorted(dealt) == list(range(rows))
    for part in parts.values():
        assert len(part.train) >= 1
        if len(part) >= 2 and test_fraction > 0:
            assert len(part.test) >= 1
        if by != "site":
            assert len(part) >= min(2, rows // hospitals)


@given(by=st.sampled_from(KINDS), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_a_seed_gives_the_same_hospitals_again_and_leaves_chance_alone(by: Kind, seed: int) -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    first, again = (partition(made(60), 4, by, seed=seed) for _ in range(2))
    assert list(first) == list(again)
    for name in first:
        assert everybody(first[name]) == everybody(again[name])
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]


@pytest.mark.parametrize("by", KINDS)
def test_another_seed_gives_another_draw(by: Kind) -> None:
    one, other = (partition(made(200), 4, by, seed=seed) for seed in (1, 2))
    assert any(everybody(one[name]) != everybody(other[name]) for name in one)


def test_a_smaller_alpha_skews_the_labels_more() -> None:
    data = breast_cancer.load(DataOptions())
    skews = [
        np.mean([label_skew(partition(data, 5, "dirichlet", alpha, seed)) for seed in range(30)])
        for alpha in (0.05, 0.2, 0.5, 1.0, 5.0, 50.0)
    ]
    assert skews == sorted(skews, reverse=True)
    assert skews[0] > 0.3
    assert skews[-1] < 0.05


def test_label_skew_is_nothing_where_all_are_alike_and_most_where_none_is() -> None:
    def hospital(labels: list[int]) -> HospitalRows:
        rows = Rows({}, np.array(labels, dtype=np.int64))
        nobody = rows.take(np.zeros(len(rows), dtype=np.bool_))
        return HospitalRows(rows, nobody, nobody)

    assert label_skew({"a": hospital([0, 1]), "b": hospital([0, 0, 1, 1])}) == 0
    assert label_skew({"a": hospital([0, 0]), "b": hospital([1, 1])}) == 0.5


def test_sites_are_the_real_centres_with_the_published_test_rows() -> None:
    data = look_alike("complete")
    parts = partition(data)
    assert list(parts) == ["cleveland", "hungarian", "switzerland", "va"]
    assert data.held_out is not None
    assert data.sites is not None
    for name, part in parts.items():
        assert len(part.test) == int(data.held_out[data.sites == name].sum())
        assert len(part) == int((data.sites == name).sum())


def test_published_test_rows_serve_sites_only() -> None:
    data = look_alike("complete")
    parts = partition(data, 5, "iid", test_fraction=0.1)
    assert sum(len(part.test) for part in parts.values()) == pytest.approx(
        0.1 * len(data.rows), abs=5
    )


def test_more_hospitals_than_sites_cut_the_largest_by_age() -> None:
    data = look_alike("complete")
    parts = partition(data, 8)
    assert list(parts) == [
        "cleveland_1", "cleveland_2", "cleveland_3",
        "hungarian_1", "hungarian_2", "hungarian_3",
        "switzerland", "va",
    ]  # fmt: skip
    ages = {row["hospital"]: row for row in describe(parts)}
    assert ages["cleveland_1"]["age_max"] <= ages["cleveland_2"]["age_min"]  # type: ignore[operator]
    assert ages["cleveland_2"]["age_max"] <= ages["cleveland_3"]["age_min"]  # type: ignore[operator]
    assert data.held_out is not None
    assert sum(len(part.test) for part in parts.values()) == int(data.held_out.sum())


def test_a_site_with_one_patient_keeps_it_and_gets_no_other() -> None:
    data = made(40)
    assert data.sites is not None
    lonely = Dataset(data.rows, "made", np.where(np.arange(40) == 7, "island", data.sites))
    island = partition(lonely)["island"]
    assert everybody(island) == [7]
    assert len(island.train) == 1


def test_blocks_of_age_follow_one_another() -> None:
    parts = partition(look_alike(), 8, "age")
    rows = describe(parts)
    for younger, older in pairwise(rows):
        assert younger["age_max"] <= older["age_min"]  # type: ignore[operator]
    sizes = [len(part) for part in parts.values()]
    assert max(sizes) - min(sizes) <= 1


def test_the_first_serves_the_elderly_and_the_second_the_young() -> None:
    data = look_alike()
    elderly, young, women, men = describe(partition(data, 4, "demographic"))
    everyone = float(data.rows.attributes["age"].mean())
    assert elderly["age_mean"] > everyone + 5  # type: ignore[operator]
    assert young["age_mean"] < everyone - 5  # type: ignore[operator]
    share = float((data.rows.attributes["sex"] == "female").mean())
    assert women["female_share"] > 1.5 * share  # type: ignore[operator]
    assert men["female_share"] < 0.7 * share  # type: ignore[operator]


@pytest.mark.parametrize("hospitals", [1, 2, 3, 5, 8])
def test_profiles_work_for_any_number_of_hospitals(hospitals: int) -> None:
    parts = partition(look_alike(), hospitals, "demographic")
    sizes = [len(part) for part in parts.values()]
    assert sum(sizes) == 920
    assert max(sizes) - min(sizes) <= 2


def test_ages_that_nobody_knows_do_not_stop_anything() -> None:
    data = made(30)
    unknown = {"age": np.full(30, np.nan), "sex": data.rows.attributes["sex"]}
    blind = Dataset(Rows(data.rows.inputs, data.rows.labels, unknown), "made")
    for by in ("age", "demographic"):
        parts = partition(blind, 3, by)  # type: ignore[arg-type]
        assert sum(len(part) for part in parts.values()) == 30
        assert describe(parts)[0]["age_mean"] is None


def test_test_rows_keep_the_share_of_ill_patients() -> None:
    data = made(1000, ill=0.1)
    for part in partition(data, 2, "iid", test_fraction=0.3).values():
        assert part.test.labels.mean() == pytest.approx(
            np.concatenate([part.train.labels, part.test.labels]).mean(), abs=0.01
        )


def test_validation_rows_come_out_of_training() -> None:
    data = look_alike("complete")
    without, having = partition(data), partition(data, validation_fraction=0.1)
    for name in without:
        assert len(having[name].test) == len(without[name].test)
        assert len(having[name].validation) == round(0.1 * len(without[name]))
        assert len(having[name].train) + len(having[name].validation) == len(without[name].train)


@pytest.mark.parametrize("by", ["site", "age", "demographic"])
def test_data_without_sites_or_ages_say_what_works(by: Kind) -> None:
    with pytest.raises(BadInput) as caught:
        partition(breast_cancer.load(DataOptions()), 5, by)
    assert caught.value.way_out.endswith("dirichlet, iid")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hospitals": 41, "by": "iid"}, "41 hospitals cannot share 40 rows"),
        ({"hospitals": 0, "by": "iid"}, "1 to 1000"),
        ({"hospitals": 1001, "by": "iid"}, "1 to 1000"),
        ({"hospitals": 2}, "data.sites"),
        ({"hospitals": 3, "by": "dirichlet", "alpha": 0.0}, "alpha must be above 0"),
        ({"hospitals": 3, "by": "dirichlet", "alpha": float("nan")}, "alpha must be above 0"),
        ({"test_fraction": 0.6, "validation_fraction": 0.4}, "nothing to train on"),
        ({"test_fraction": -0.1}, "nothing to train on"),
    ],
)
def test_impossible_wishes_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        partition(made(40), **wrong)  # type: ignore[arg-type]


def test_without_sites_the_number_of_hospitals_is_needed() -> None:
    with pytest.raises(BadInput, match="num_clients"):
        partition(breast_cancer.load(DataOptions()), by="iid")


@pytest.mark.parametrize("by", DEALT)
def test_a_thousand_hospitals_are_made_within_a_second(by: Kind) -> None:
    rows = look_alike().rows
    data = Dataset(below([rows] * 20), "made")
    began = time.perf_counter()
    parts = partition(data, 1000, by)
    assert time.perf_counter() - began < 1
    assert len(parts) == 1000
    assert sum(len(part) for part in parts.values()) == len(data.rows)


def test_images_are_dealt_like_tables() -> None:
    data = Dataset(Rows(np.zeros((50, 8, 8), dtype=np.float32), np.arange(50) % 2), "made")
    parts = partition(data, 3, "dirichlet")
    assert sum(part.train.inputs.shape[0] + len(part.test) for part in parts.values()) == 50  # type: ignore[union-attr]


def test_the_table_of_holdings_counts_what_is_there() -> None:
    people = {
        "age": np.array([40.0, 50, 60, 70]),
        "sex": np.array(["female", "male", "male", "male"]),
    }
    rows = Rows({}, np.array([0, 0, 0, 1]), people)
    part = HospitalRows(
        rows.take(np.array([0, 1])), rows.take(np.array([2])), rows.take(np.array([3]))
    )
    assert describe({"a": part}) == [
        {
            "hospital": "a",
            "rows": 4,
            "train": 2,
            "validation": 1,
            "test": 1,
            "positives": 1,
            "positive_share": 0.25,
            "age_mean": 55.0,
            "age_sd": float(np.std([40, 50, 60, 70])),
            "age_min": 40.0,
            "age_max": 70.0,
            "women": 1,
            "female_share": 0.25,
        }
    ]


def test_a_table_that_leaves_the_house_hides_small_cells_and_what_gives_them_back() -> None:
    labels = np.array([0] * 3 + [1] * 27)
    people = {"age": np.full(30, 60.0), "sex": np.array(["female"] * 4 + ["male"] * 26)}
    rows = Rows({}, labels, people)
    part = HospitalRows(
        rows.take(np.arange(24)), rows.take(np.arange(0)), rows.take(np.arange(24, 30))
    )
    (row,) = describe({"a": part}, below=10)
    assert row == {
        "hospital": "a",
        "rows": 30,
        "train": None,
        "validation": None,
        "test": None,
        "positives": None,
        "positive_share": None,
        "age_mean": 60.0,
        "age_sd": 0.0,
        "age_min": None,
        "age_max": None,
        "women": "fewer than 10",
        "female_share": None,
    }


@given(
    seed=st.integers(0, 2**31),
    who=st.integers(0, 59),
    by_patient=st.booleans(),
    text=st.booleans(),
    fractions=st.sampled_from([(0.2, 0.0), (0.3, 0.2)]),
)
@settings(max_examples=100, deadline=None)
def test_by_coin_no_row_moves_another(seed, who, by_patient, text, fractions) -> None:
    """One more record, or one other diagnosis, changes that record's side and no one else's."""
    data = made(60)
    data = replace(data, sites=np.full(60, "here"))
    if text:
        words = np.array([f"w{n % 7}" for n in range(60)])
        data = replace(data, rows=replace(data.rows, inputs={**data.rows.inputs, "word": words}))
    if by_patient:
        data = replace(data, groups=np.array([f"p{n // 2}" for n in range(60)]))

    def sides(dataset):
        part = partition(dataset, 1, "site", 0.5, seed, *fractions, by_coin=True)["here"]
        held = (part.train, part.validation, part.test)
        return {number: side for side, rows in enumerate(held) for number in numbers(rows)}

    whole = sides(data)
    labels = data.rows.labels.copy()
    labels[who] = 1 - labels[who]
    ill = sides(replace(data, rows=replace(data.rows, labels=labels)))
    others = np.arange(60) != who
    without = sides(
        replace(
            data,
            rows=data.rows.take(others),
            sites=data.sites[others],
            groups=None if data.groups is None else data.groups[others],
        )
    )
    assert len(whole) == 60
    assert {n: side for n, side in whole.items() if n != who} == without
    assert {n: side for n, side in ill.items() if n != who} == without
    if by_patient:
        assert all(whole[n] == whole[n ^ 1] for n in whole)


def test_by_coin_the_shares_are_about_what_was_asked_for() -> None:
    data = replace(made(4000), sites=np.full(4000, "here"))
    part = partition(data, 1, "site", 0.5, 3, 0.2, 0.1, by_coin=True)["here"]
    assert abs(len(part.test) - 800) < 5 * 25.3  # five standard deviations
    assert abs(len(part.validation) - 400) < 5 * 19
    other = partition(data, 1, "site", 0.5, 4, 0.2, 0.1, by_coin=True)["here"]
    both = set(numbers(part.test)) & set(numbers(other.test))
    assert abs(len(both) - 160) < 5 * 12.4  # another seed is another, independent draw


def test_quotas_move_others_which_is_why_private_plans_toss() -> None:
    data = replace(made(60), sites=np.full(60, "here"))
    labels = data.rows.labels.copy()
    labels[0] = 1 - labels[0]
    one = partition(data, 1, "site")["here"]
    other = partition(replace(data, rows=replace(data.rows, labels=labels)), 1, "site")["here"]
    assert len(set(numbers(one.test)) ^ set(numbers(other.test)) - {0}) > 1
