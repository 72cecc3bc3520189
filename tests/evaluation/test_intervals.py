from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.evaluation import intervals
from aegis.evaluation.classes import class_interval, from_judged
from aegis.evaluation.histogram import BINS, HALF, score, score_many
from aegis.evaluation.intervals import interval, paired_difference, wilson
from aegis.evaluation.metrics import DECIDED, RANKED, metrics
from aegis.evaluation.whole import from_kinds, kinds, together

NAMES = DECIDED + RANKED


def hospitals(count: int, rows: int, seed: int = 0, gap: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count * rows)
    z = rng.normal(size=count * rows) + gap * (y - 0.5)
    return score_many(z, y, np.repeat(np.arange(count), rows), count)[0]


@pytest.mark.parametrize("over", ["pooled", "hospitals"])
@pytest.mark.parametrize("name", NAMES)
def test_an_interval_holds_what_was_measured(name: str, over: str) -> None:
    stack = hospitals(4, 80)
    bounds = interval(stack, name, over=over)  # type: ignore[arg-type]
    assert bounds is not None
    pooled = metrics(stack.sum(axis=0), None)[name]
    mean = np.mean([metrics(one, None)[name] for one in stack])
    assert bounds[0] < (pooled if over == "pooled" else mean) < bounds[1]
    assert bounds[1] - bounds[0] < 0.2


def test_the_interval_of_one_hospitals_accuracy_is_near_wilsons() -> None:
    stack = hospitals(1, 500)
    found = metrics(stack[0], None)["accuracy"]
    assert found is not None
    bounds = interval(stack, "accuracy", draws=4000)
    assert bounds == pytest.approx(wilson(round(500 * found), 500), abs=0.008)


def test_the_interval_of_an_auc_is_that_of_drawing_patients_anew() -> None:
    rng = np.random.default_rng(3)
    y = np.concatenate([rng.integers(0, 2, 60), rng.integers(0, 2, 100)])
    z = rng.normal(size=160) + 1.2 * (y - 0.5)
    stack, _ = score_many(z, y, np.repeat([0, 1], [60, 100]), 2)
    drawn = []
    for _ in range(1500):
        some = np.concatenate([rng.integers(0, 60, 60), rng.integers(60, 160, 100)])
        drawn.append(metrics(*score(z[some], y[some]))["auc"])
    expected = np.quantile(np.array(drawn, dtype=float), [0.025, 0.975])
    assert interval(stack, "auc", draws=4000) == pytest.approx(tuple(expected), abs=0.012)


def test_nine_of_ten_intervals_at_90_percent_hold_the_truth() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for trial in range(400):
        right = rng.random(120) < 0.8
        histogram, _ = score(np.where(right, 1.0, -1.0), np.ones(120, dtype=np.int64))
        low, high = interval([histogram], "accuracy", level=0.9, draws=400, seed=trial) or (0, 0)
        held += low <= 0.8 <= high
    assert 0.85 < held / 400 < 0.95


def test_nine_of_ten_intervals_at_90_percent_hold_the_truth_of_noised_counts() -> None:
    rng, held, sd = np.random.default_rng(1), 0, 12.0
    for _ in range(200):
        kinds = rng.multinomial(300, [0.45, 0.1, 0.05, 0.4], size=2).astype(float)
        added = rng.normal(0, sd, kinds.shape)
        kinds = np.maximum(np.rint(kinds + added - added.mean(axis=1, keepdims=True)), 0)
        stack = np.zeros((2, 2, BINS), dtype=np.int64)
        stack[:, :, HALF - 1 : HALF + 1] = kinds.reshape(2, 2, 2)
        found = interval(stack, "accuracy", level=0.9, draws=300, noise=[sd, sd])
        alone = interval(stack, "accuracy", level=0.9, draws=300)
        assert found is not None
        assert alone is not None
        assert found[1] - found[0] > 1.2 * (alone[1] - alone[0])
        held += found[0] <= 0.85 <= found[1]
    assert 0.84 <= held / 200 <= 0.96


def released(rng: np.random.Generator, sizes: list[int], chances: list[float], sd: float):
    """Noisy counts as hospitals send them: signed, moved to add up to their rows."""
    found = []
    for rows in sizes:
        noisy = rng.multinomial(rows, chances) + rng.normal(0, sd, 4)
        whole = np.floor(noisy - (noisy.sum() - rows) / 4).astype(np.int64)
        whole[rng.permutation(4)[: rows - whole.sum()]] += 1
        found.append(from_kinds(whole))
    return found


@pytest.mark.parametrize(
    ("sizes", "accuracy", "ill", "sd"),
    [
        ([40] * 8, 0.85, 0.4, 30.7),  # what the strict policy asks for, of an epsilon of 0.1
        ([300] * 5, 0.85, 0.4, 30.7),
        ([40] * 20, 0.9, 0.3, 30.7),
        ([100] * 20, 0.9, 0.3, 30.7),
        ([100] * 5, 0.85, 0.4, 7.0),
    ],
)
def test_noise_far_above_a_hospitals_rows_leaves_intervals_that_hold_the_truth(
    sizes: list[int], accuracy: float, ill: float, sd: float
) -> None:
    rng, trials = np.random.default_rng(4), 200
    chances = [(1 - ill) * accuracy, (1 - ill) * (1 - accuracy), ill * (1 - accuracy)]
    chances.append(ill * accuracy)
    held, mean_held, figures, widths = 0, 0, [], []
    for seed in range(trials):
        stack = released(rng, sizes, chances, sd)
        noise = [sd] * len(sizes)
        low, high = interval(stack, "accuracy", draws=300, noise=noise, seed=seed) or (2, 2)
        of = interval(stack, "accuracy", over="hospitals", draws=300, noise=noise) or (2, 2)
        held += low <= accuracy <= high
        mean_held += of[0] <= accuracy <= of[1]
        figures.append(metrics(together(stack, True), None)["accuracy"])
        widths.append(high - low)
        assert low <= figures[-1] <= high
    assert held / trials >= 0.9
    assert mean_held / trials >= 0.9
    if np.mean(widths) < 0.3:
        assert np.mean(figures) == pytest.approx(accuracy, abs=4 * np.std(figures) / trials**0.5)


@pytest.mark.parametrize("name", NAMES)
def test_of_noisy_and_exact_counts_figure_and_interval_are_of_the_same_bins(name: str) -> None:
    """One hospital's two bins among others' thousand: figures from ranks would lie outside."""
    stack = hospitals(5, 400)
    stack[4] = from_kinds(kinds(stack[4]) + np.array([-3, 2, 4, -3]))
    bounds = interval(stack, name, noise=[0, 0, 0, 0, 3.0])
    shown = metrics(together(list(stack), True), None)
    assert bounds is not None
    assert bounds[0] < shown[name] < bounds[1]
    assert shown["auc"] == pytest.approx(shown["balanced_accuracy"])


def test_over_noisy_hospitals_only_accuracy_has_a_mean() -> None:
    stack = released(np.random.default_rng(0), [300] * 3, [0.4, 0.1, 0.1, 0.4], 5.0)
    assert interval(stack, "accuracy", over="hospitals", noise=[5.0] * 3) is not None
    assert interval(stack, "recall", over="hospitals", noise=[5.0] * 3) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_of_very_many_patients_takes_no_memory_for_each(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = hospitals(2, 300)
    many = interval(stack * 2**24, name, draws=100)
    assert many is not None
    assert many[0] < metrics(stack.sum(axis=0), None)[name] < many[1] < many[0] + 1e-3
    by_patients = interval(stack, name, draws=2000)
    monkeypatch.setattr(intervals, "DRAWN_AT_ONCE", 100)
    assert interval(stack, name, draws=2000) == pytest.approx(by_patients, abs=0.01)


def test_the_mean_over_hospitals_gives_a_small_one_the_same_weight() -> None:
    """A hospital with 16 test rows weighs a quarter, so the interval is wide."""
    stack = np.concatenate([hospitals(3, 400), hospitals(1, 16, seed=2)])
    pooled, mean = (interval(stack, "accuracy", over=over) for over in ("pooled", "hospitals"))  # type: ignore[arg-type]
    assert pooled is not None
    assert mean is not None
    assert mean[1] - mean[0] > 1.3 * (pooled[1] - pooled[0])


def test_a_hospital_without_a_class_is_left_out_of_the_mean_of_aucs() -> None:
    one_class, _ = score(np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=np.int64))
    stack = hospitals(2, 200)
    with_it = interval(np.concatenate([stack, one_class[None]]), "auc", over="hospitals")
    without = interval(stack, "auc", over="hospitals")
    assert with_it == pytest.approx(without)


def test_what_does_not_exist_has_no_interval() -> None:
    only_ill, _ = score(np.array([1.0, -1.0]), np.ones(2, dtype=np.int64))
    assert interval([only_ill], "auc") is None
    assert interval([only_ill], "auc", over="hospitals") is None
    assert interval([only_ill], "accuracy") is not None
    assert interval([np.zeros((2, BINS), dtype=np.int64)], "accuracy") is None


@pytest.mark.parametrize("name", NAMES)
def test_hospitals_of_a_patient_each_have_the_interval_of_their_patients_together(
    name: str,
) -> None:
    alone = hospitals(70, 1)
    together = alone.sum(axis=0, keepdims=True)
    assert interval(alone, name) == pytest.approx(interval(together, name), abs=0.02)
    bounds = interval(alone, name)
    assert bounds is not None
    assert bounds[1] - bounds[0] > 0.05
    assert interval(alone, name, over="hospitals") is None
    large = hospitals(4, 80)
    mixed = np.concatenate([large, alone[:3]])
    assert interval(mixed, name, over="hospitals") is not None


def test_classes_of_hospitals_of_a_patient_each_have_an_interval_too() -> None:
    tableaus = []
    for number in range(60):
        cells = np.zeros((3, 3), dtype=np.int64)
        cells[number % 3, 0 if number % 4 else 1] = 1
        tableaus.append(from_judged(cells))
    bounds = class_interval(tableaus, "accuracy")
    assert bounds is not None
    assert bounds[0] < 0.75 < bounds[1]
    assert bounds[1] - bounds[0] > 0.1
    assert class_interval(tableaus, "accuracy", "hospitals") is None


def test_an_interval_of_the_log_loss_is_refused() -> None:
    with pytest.raises(BadInput, match="accuracy"):
        interval(hospitals(1, 10), "log_loss")


def test_a_seed_gives_the_same_interval_again() -> None:
    stack = hospitals(3, 50)
    assert interval(stack, "auc", seed=1) == interval(stack, "auc", seed=1)
    assert interval(stack, "auc", seed=1) != interval(stack, "auc", seed=2)


def test_intervals_of_eight_hospitals_take_less_than_three_tenths_of_a_second() -> None:
    stack = hospitals(8, 120)
    began = time.perf_counter()
    interval(stack, "accuracy")
    interval(stack, "auc")
    assert time.perf_counter() - began < 0.3


def test_a_paired_difference_knows_that_both_judged_the_same_patients() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(300) < 0.8
    ours = theirs | (rng.random(300) < 0.2)
    difference, low, high = paired_difference(ours, theirs)
    assert difference == pytest.approx(ours.mean() - theirs.mean())
    assert 0 < low < difference < high
    alone = wilson(int(ours.sum()), 300)
    assert high - low < alone[1] - alone[0]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_paired_difference_turns_its_sign_with_its_sides(
    found: list[tuple[bool, bool]],
) -> None:
    ours, theirs = (np.array(side) for side in zip(*found, strict=True))
    difference, low, high = paired_difference(ours, theirs, draws=200)
    assert low <= high
    assert paired_difference(theirs, ours, draws=200)[0] == -difference
    if (ours == theirs).all():
        assert (difference, low, high) == (0, 0, 0)


def test_models_that_judged_other_patients_cannot_be_paired() -> None:
    with pytest.raises(BadInput, match="paired"):
        paired_difference(np.ones(3, dtype=np.bool_), np.ones(4, dtype=np.bool_))


def test_wilsons_interval_is_the_published_one() -> None:
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(BadInput):
        wilson(3, 2)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=200, deadline=None)
def test_wilsons_interval_holds_its_share_and_mirrors(found: tuple[int, int]) -> None:
    hits, trials = found
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1
    assert wilson(trials - hits, trials) == pytest.approx((1 - high, 1 - low))
