import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.assurance.groups import (
    PER_GROUP,
    PER_HOSPITAL,
    STEP,
    Group,
    group_counts,
    groups_from_counts,
    hospital_counts,
    layout,
    size,
    spread_from_counts,
    spread_of,
)
from aegis.errors import DataError
from aegis.tasks.groups import groupings
from aegis.tasks.task import Schema

ASKED = groupings(Schema(()), ["sex", "age"])


def hospital(seed: int, n: int):
    rng = np.random.default_rng(seed)
    places = [rng.integers(0, len(g.labels), n) for g in ASKED]
    return places, rng.normal(0, 2, n), rng.integers(0, 2, n)


def test_the_layout_is_public_and_names_every_number():
    found = layout(ASKED)
    assert len(found) == size(ASKED) == PER_GROUP * (3 + 5) + PER_HOSPITAL
    assert found[0] == ("sex", "female", "called well, is well")
    assert found[4] == ("sex", "female", "sum of chances")
    assert found[-3:] == [("", "", w) for w in ("hospitals", "accuracies", "squared accuracies")]


def test_a_hand_counted_hospital():
    (sex,) = groupings(Schema(()), ["sex"])
    logits = np.array([2.0, -1.0, 0.0, -3.0, 1.0])
    labels = np.array([1, 1, 0, 0, 1])
    places = np.array([0, 0, 1, 1, 1])
    counts = group_counts([places], [sex], logits, labels, minimum=1)
    female, male, unknown = groups_from_counts([sex], counts)["sex"]
    # A logit of exactly 0 is called ill, as everywhere.
    assert (female.true_negatives, female.false_positives) == (0, 0)
    assert (female.false_negatives, female.true_positives) == (1, 1)
    assert (male.true_negatives, male.false_positives, male.true_positives) == (1, 1, 1)
    assert unknown.examples == 0
    chances = 1 / (1 + np.exp(-logits))
    assert female.chances == pytest.approx(chances[:2].sum(), abs=2 * STEP)
    assert male.chances == pytest.approx(chances[2:].sum(), abs=3 * STEP)
    assert counts[-3:].tolist() == [1, round(0.6 / STEP), round(0.36 / STEP)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 60)), min_size=1, max_size=5))
def test_the_sum_of_hospitals_is_what_one_hospital_of_all_rows_would_count(hospitals):
    parts = [hospital(seed, n) for seed, n in hospitals]
    total = np.add.reduce([group_counts(p, ASKED, z, y) for p, z, y in parts])
    together = group_counts(
        [np.concatenate([p[i] for p, _, _ in parts]) for i in range(len(ASKED))],
        ASKED,
        np.concatenate([z for _, z, _ in parts]),
        np.concatenate([y for _, _, y in parts]),
    )
    assert total.dtype == np.int64
    assert (total[:-PER_HOSPITAL] == together[:-PER_HOSPITAL]).all()
    rows = sum(n for _, n in hospitals)
    for groups in groups_from_counts(ASKED, total).values():
        assert sum(group.examples for group in groups) == rows


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(10, 500), st.floats(0, 1)), min_size=2, max_size=20))
def test_the_spread_of_hospitals_follows_from_the_sum_alone(hospitals):
    counted = [(round(share * n), n) for n, share in hospitals]
    vector = np.zeros(size(()), dtype=np.int64)
    for right, n in counted:
        vector += hospital_counts(right, n)
    found = spread_from_counts((), vector)
    accuracies = np.array([right / n for right, n in counted])
    assert found is not None
    assert found.hospitals == len(counted)
    assert found.mean == pytest.approx(accuracies.mean(), abs=1e-6)
    assert found.variance == pytest.approx(accuracies.var(), abs=1e-5)
    own = spread_of([Group("x", right, n - right, 0, 0) for right, n in counted])
    assert own is not None
    assert own.variance == pytest.approx(accuracies.var(), abs=1e-12)


def test_a_hospital_with_few_patients_is_in_no_spread():
    assert hospital_counts(9, 9).tolist() == [0, 0, 0]
    assert spread_from_counts((), hospital_counts(10, 12)) is None


def test_a_vector_of_another_layout_is_refused():
    with pytest.raises(DataError, match="lays out"):
        groups_from_counts(ASKED, np.zeros(7, dtype=np.int64))


def test_noise_below_nobody_is_nobody():
    counts = np.full(size(ASKED), -5, dtype=np.int64)
    for groups in groups_from_counts(ASKED, counts).values():
        assert all(group.examples == 0 and group.chances == 0 for group in groups)
