"""Every rule against its paper, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aegis.aggregation.conditions import SMALLEST, largest_f, planned_f, smallest, trimmed
from aegis.aggregation.rules import RULES, Context, FedAvg, rule
from aegis.errors import BadInput, RunAborted
from tests.aggregation import laws, references

ROBUST = [name for name in RULES if name not in ("fedavg", "foolsgold")]
matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 20)),
    elements=st.floats(-100, 100),
)


def equal(rows):
    return np.ones(len(rows))


def drawn(n, d=7, seed=0, scale=1.0):
    return np.random.default_rng([seed, n, d]).standard_normal((n, d)) * scale


@given(matrices, st.data())
@settings(max_examples=200)
def test_the_mean_is_weighted_by_examples(updates, data):
    weights = np.array(
        data.draw(st.lists(st.integers(1, 500), min_size=len(updates), max_size=len(updates))),
        float,
    )
    expected = references.mean(list(updates), weights)
    assert np.allclose(FedAvg()(updates, weights).vector, expected, atol=1e-9)


def test_float32_updates_are_added_in_float64():
    updates = np.array([[1e8], [1.0], [-1e8]], dtype=np.float32)
    assert FedAvg()(updates, np.ones(3)).vector[0] == pytest.approx(1 / 3, abs=1e-6)


def test_nobody_and_nothing_make_no_mean():
    with pytest.raises(RunAborted):
        FedAvg()(np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(RunAborted):
        FedAvg()(np.zeros((2, 3)), np.zeros(2))


def test_an_unknown_rule_names_the_known_ones():
    with pytest.raises(BadInput, match="fedavg"):
        rule("average")
    with pytest.raises(BadInput, match="cannot withstand -1"):
        rule("krum", f=-1)


def test_every_rule_names_its_paper_and_its_smallest_number():
    assert set(RULES) == set(SMALLEST)
    for name in RULES:
        made = rule(name, f=0 if name == "fedavg" else 2)
        assert (made.name, made.smallest) == (name, smallest(name, made.f))
        assert made.paper
        assert made.needs == ("sum" if name == "fedavg" else "updates")
        assert made == rule(name, f=made.f)


CASES = [(n, f, seed) for n, f in ((5, 1), (7, 1), (11, 2), (13, 2), (23, 5)) for seed in range(4)]


@pytest.mark.parametrize(("n", "f", "seed"), CASES)
def test_the_rules_are_those_of_the_papers(n, f, seed):
    rows = drawn(n, seed=seed)
    expected = {
        "median": references.median(rows),
        "trimmed_mean": references.trimmed_mean(rows, f),
        "krum": references.krum(rows, f),
        "multi_krum": references.multi_krum(rows, f, n - f),
        "nnm_trimmed_mean": references.trimmed_mean(references.nearest_mixed(rows, f), f),
        "geometric_median": references.geometric_median(rows),
        "centered_clipping": references.centered_clipping(rows, np.zeros(7), f, 3),
    }
    if n >= smallest("bulyan", f):
        expected["bulyan"] = references.bulyan(rows, f)
    for name, wanted in expected.items():
        found = rule(name, f=f)(rows, equal(rows)).vector
        assert found.dtype == np.float64
        assert np.abs(found - wanted).max() <= 1e-9, name


@pytest.mark.parametrize("seed", range(4))
def test_multi_krum_keeps_as_many_as_the_plan_says(seed):
    rows = drawn(11, seed=seed)
    found = rule("multi_krum", f=2, multi_krum_k=4)(rows, equal(rows))
    assert np.abs(found.vector - references.multi_krum(rows, 2, 4)).max() <= 1e-9
    assert np.count_nonzero(found.shares) == 4


def test_the_median_of_an_even_number_lies_between_the_two_in_the_middle():
    rows = np.array([[1.0], [2.0], [4.0], [100.0]])
    assert rule("median", f=1)(rows, equal(rows)).vector.tolist() == [3.0]


def test_no_trim_rounds_to_nothing():
    rows = np.array([[0.0], [0.0], [0.0], [1e6]])
    assert rule("trimmed_mean", trim_ratio=0.1)(rows, equal(rows)).vector.tolist() == [0.0]
    assert trimmed(8, 0, 0.1) == 1
    assert trimmed(8, 2, 0.1) == 2
    assert trimmed(10, 0, 0.2) == 2
    with pytest.raises(RunAborted, match="would trim 2 of 4 updates"):
        rule("trimmed_mean", trim_ratio=0.49)(rows, equal(rows))


def test_buckets_are_pairs_that_follow_from_seed_and_round():
    rows = drawn(9)
    bucketing = rule("bucketing", f=1, seed=3)
    lots = np.random.Generator(np.random.Philox(key=[3, 5])).permutation(9)
    pairs = [rows[lots[at : at + 2]].mean(axis=0) for at in range(0, 9, 2)]
    found = bucketing(rows, equal(rows), Context(round=5)).vector
    assert np.abs(found - references.trimmed_mean(pairs, 1)).max() <= 1e-12
    assert (bucketing(rows, equal(rows), Context(round=6)).vector != found).any()
    assert (
        rule("bucketing", f=1, seed=4)(rows, equal(rows), Context(round=5)).vector != found
    ).any()


def test_the_centre_of_clipping_is_remembered():
    rows, clipping = drawn(5), rule("centered_clipping", f=1)
    first = clipping(rows, equal(rows))
    second = clipping(rows + 1, equal(rows), Context(round=2, memory=first.memory))
    again = references.centered_clipping(list(rows + 1), first.vector, 1, 3)
    assert np.abs(second.vector - again).max() <= 1e-9
    assert clipping(rows[:, :3], equal(rows), Context(memory=first.memory)).vector.shape == (3,)


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("f", [1, 2])
def test_one_too_few_is_an_error_and_never_a_weaker_rule(name, f):
    least = smallest(name, f)
    rule(name, f=f)(drawn(least), np.ones(least))
    with pytest.raises(RunAborted, match=f"{name} with f={f} needs at least {least} updates, got"):
        rule(name, f=f)(drawn(least - 1), np.ones(least - 1))
    assert largest_f(name, least) == f
    assert largest_f(name, least - 1) == f - 1


@pytest.mark.parametrize("name", [name for name in RULES if name != "fedavg"])
def test_a_single_hospital_is_no_federation_for_a_robust_rule(name):
    if smallest(name, 1) > 1:
        with pytest.raises(RunAborted, match="at least"):
            rule(name, f=1)(drawn(1), np.ones(1))


def test_an_open_f_leaves_room_for_silent_hospitals():
    assert planned_f("median", 11, 8, None, False) == 3
    assert planned_f("krum", 5, 4, None, False) == 1
    assert planned_f("krum", 4, 3, None, False) == 0
    assert planned_f("trimmed_mean", 10, 7, 0.25, False) == 3
    assert planned_f("median", 9, 7, None, True) == 1
    assert planned_f("foolsgold", 9, 7, None, False) == 0


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_no_number_is_named(name, bad):
    rows = drawn(11)
    rows[4, 2] = bad
    names = tuple("abcdefghijk")
    with pytest.raises(RunAborted, match="update of e is not finite"):
        rule(name, f=2 if name != "fedavg" else 0)(rows, equal(rows), Context(names))


@pytest.mark.parametrize("name", RULES)
def test_wrong_shapes_types_and_weights_are_refused(name):
    made, rows = rule(name), drawn(5)
    for bad in (rows[0], rows.astype(np.int64), rows.astype(np.float16), rows[None]):
        with pytest.raises(RunAborted, match="float32 or float64"):
            made(bad, np.ones(5))
    for weights in ([1, 2], [1, np.nan, 1, 1, 1], [1, np.inf, 1, 1, 1], [1, -1, 1, 1, 1], [0] * 5):
        with pytest.raises(RunAborted):
            made(rows, np.array(weights, float))
    with pytest.raises(RunAborted, match="4 names"):
        made(rows, np.ones(5), Context(tuple("aabcd")))


@pytest.mark.parametrize("name", ROBUST)
def test_absurd_example_counts_do_not_outweigh_the_others(name):
    rows, claims = drawn(11), np.ones(11)
    claims[0] = 1e15
    honest = rule(name, f=2)(rows, np.ones(11)).vector
    claimed = rule(name, f=2)(rows, claims).vector
    if name == "multi_krum":
        assert np.abs(claimed - honest).max() <= 3 * np.abs(rows).max() * 2 / 11
    else:
        assert (claimed == honest).all()


@pytest.mark.parametrize("name", RULES)
def test_updates_that_are_all_equal_stay_what_they_are(name):
    rows = np.tile(drawn(1), (11, 1))
    made = rule(name, f=2 if name != "fedavg" else 0)
    if name == "foolsgold":
        with pytest.raises(RunAborted, match="copies of one another"):
            made(rows, equal(rows))
        return
    found = made(rows, equal(rows)).vector
    if name == "centered_clipping":
        assert np.allclose(found, rows[0], atol=1e-12)
    assert np.abs(found - rows[0]).max() <= 1e-12
    assert (made(0 * rows, equal(rows)).vector == 0).all()


def test_ties_are_broken_by_name_whatever_the_order_of_the_rows():
    rows = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    names = ("e", "b", "d", "a", "c")
    made = rule("krum", f=1)
    first = made(rows, equal(rows), Context(names)).vector
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        again = made(rows[order], equal(rows), Context(tuple(names[i] for i in order))).vector
        assert again.tolist() == first.tolist()
    # b, d and a are equally near to their two nearest: a is the first name.
    assert first.tolist() == [1.0]


@settings(max_examples=200, deadline=None)
@given(laws.federations())
def test_the_order_of_the_rows_is_of_no_account(case):
    laws.order_does_not_matter(case)


@settings(max_examples=200, deadline=None)
@given(laws.federations())
def test_a_common_shift_moves_the_result_with_it(case):
    laws.shifts_go_along(case)


@settings(max_examples=200, deadline=None)
@given(laws.federations(), st.sampled_from([1e30, -1e30, 1e12, 1.0]))
def test_f_liars_do_not_carry_the_result_away(case, size):
    laws.liars_are_withstood(case, size)
