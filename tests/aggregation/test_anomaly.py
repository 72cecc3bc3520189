"""Who is flagged, who is not, and what is said about it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.aggregation.anomaly import Flag, detect, robust_z

LETTERS = tuple("abcdefghijklmnopqrst")


def honest(n, seed=0, d=200, spread=0.6):
    """One direction in common, each hospital's own beside it, and lengths that differ."""
    rng = np.random.default_rng([seed, n, d])
    common = rng.standard_normal(d)
    lengths = np.exp(spread * rng.standard_normal((n, 1)))
    return lengths * (common + rng.standard_normal((n, d)))


def flagged(rows, z=3.0):
    return {flag.hospital: flag for flag in detect(rows, LETTERS[: len(rows)], z_threshold=z)}


@pytest.mark.parametrize("n", [4, 5, 8, 11, 20])
@pytest.mark.parametrize("seed", range(5))
def test_an_update_ten_times_as_long_is_flagged_from_four_hospitals_on(n, seed):
    rows = honest(n, seed, spread=0.2)
    rows[n // 2] *= 10 / np.linalg.norm(rows[n // 2]) * np.median(np.linalg.norm(rows, axis=1))
    found = flagged(rows)
    assert list(found) == [LETTERS[n // 2]]
    flag = found[LETTERS[n // 2]]
    assert flag.detector == "length"
    assert flag.score > 3
    assert flag.reason.endswith("times as long as the others' median")


def test_the_z_of_a_lone_outlier_is_not_bounded_by_its_own_spread():
    """By mean and deviation the z of one among four never exceeds the square root of three."""
    values = np.array([0.0, 0.1, -0.1, 1e6])
    assert (values[3] - values.mean()) / values.std() < np.sqrt(3)
    assert robust_z(values, 0.5)[3] == 1e6
    assert (np.abs(robust_z(values, 0.5)[:3]) < 1).all()


def test_a_hundred_honest_rounds_of_unlike_hospitals_flag_few():
    count = 0
    for seed in range(100):
        n = (4, 5, 8, 11)[seed % 4]
        count += len(flagged(honest(n, seed))) / n
    assert count / 100 <= 0.05


@pytest.mark.parametrize("n", [8, 11, 20])
def test_an_update_turned_round_is_flagged_by_its_direction(n):
    rows = honest(n)
    rows[2] *= -1
    found = flagged(rows)
    assert list(found) == ["c"]
    assert found["c"].detector == "direction"
    assert "points against the median update" in found["c"].reason


def test_pushing_everything_one_way_is_flagged_by_its_signs():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((8, 400))
    rows[1] = np.abs(rows[1])
    found = flagged(rows)
    assert list(found) == ["b"]
    assert (found["b"].detector, found["b"].reason) == ("signs", "raises 100 % of the coordinates")


@pytest.mark.parametrize("n", [4, 8, 20])
def test_two_that_send_nearly_the_same_are_flagged_as_copies(n):
    rows = honest(n)
    rows[0] = 1.7 * rows[3] * (1 + 1e-4 * np.random.default_rng(1).standard_normal(200))
    found = flagged(rows)
    assert set(found) == {"a", "d"}
    assert found["a"].detector == "copies"
    assert found["a"].reason == "goes the same way as d"


def test_a_few_sybils_are_all_named():
    rows = honest(11)
    rows[[2, 5, 9]] = rows[2]
    assert set(flagged(rows)) == {"c", "f", "j"}


def test_hospitals_that_are_all_alike_are_not_copies():
    rows = np.random.default_rng(0).standard_normal(300) + 1e-3 * honest(8, d=300)
    assert not flagged(rows)
    assert not flagged(np.ones((5, 3)))
    assert not flagged(np.zeros((5, 3)))


def test_the_plan_s_threshold_decides():
    rows = honest(8)
    rows[0] *= 10
    assert "a" in flagged(rows, 3.0)
    assert not flagged(rows, 1e7)
    assert len(flagged(rows, 0.1)) > 1


def test_fewer_than_three_cannot_be_compared():
    assert detect(honest(2) * [[1], [1e6]], ("a", "b")) == ()
    assert detect(honest(1), ("a",)) == ()


def test_groups_are_looked_at_like_hospitals():
    rows = honest(4)
    rows[1] *= 100
    [flag] = detect(rows, ("a + b + c", "d + e + f", "g + h + i", "j + k + l"))
    assert isinstance(flag, Flag)
    assert flag.hospital == "d + e + f"


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]))
def test_neither_the_order_nor_the_scale_of_the_rows_changes_who_is_flagged(n, seed, kind):
    rng = np.random.default_rng(seed)
    rows = honest(n, seed % 1000, d=20).astype(kind)
    rows[0] *= rng.choice([1, 10, -1, 100])
    names, order = LETTERS[:n], rng.permutation(n)
    before = detect(rows, names)
    after = detect(rows[order] * kind(4), tuple(names[i] for i in order))
    assert [flag.hospital for flag in before] == [flag.hospital for flag in after]
    for one, other in zip(before, after, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4)
