"""Private descent: the rule, the bounds that the account rests on, and what it learns."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aegis.errors import BadInput
from aegis.privacy.accounting import epsilon_gdp, epsilon_pld
from aegis.privacy.dpgd import (
    CLIP,
    Standardisation,
    average_after,
    dpgd,
    gradient_sum,
    noise_multiplicity,
    plan_rounds,
    scaled_records,
    statistics_bound,
    statistics_sum,
    step,
)
from aegis.privacy.gaussian import gdp_mu
from aegis.privacy.noise import SystemNoise, off_grid

DELTA = 1e-5


def quiet(sd, size):
    return np.zeros(size, np.int64)


def matrices(least=1):
    shapes = st.tuples(st.integers(least, 12), st.integers(1, 9))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(-1, 1)))


@pytest.mark.parametrize(
    ("epsilon", "distributed", "local"),
    [
        (0.1, 10, 7),
        (0.25, 15, 10),
        (0.5, 20, 14),
        (1, 27, 18),
        (2, 37, 25),
        (4, 51, 34),
        (8, 68, 46),
    ],
)
def test_the_rule_gives_the_known_numbers_of_rounds(epsilon, distributed, local):
    assert plan_rounds(455, 30, 1, epsilon, DELTA).rounds == distributed
    assert plan_rounds(455, 30, 5, epsilon, DELTA).rounds == local


def test_the_rule_for_heart_gives_the_known_numbers_of_rounds():
    assert plan_rounds(486, 21, 1, 1.0, 1e-3).rounds == 37
    assert plan_rounds(486, 21, 1, 1.0, 1e-5).rounds == 31


def test_the_statistics_round_is_taken_from_a_ratio_of_eight():
    assert plan_rounds(455, 30, 1, 0.5, DELTA).statistics
    assert not plan_rounds(455, 30, 1, 0.25, DELTA).statistics
    assert not plan_rounds(455, 30, 5, 0.5, DELTA).statistics
    assert plan_rounds(455, 30, 5, 0.5, DELTA, statistics=True).statistics


@given(
    st.integers(1, 10**6),
    st.integers(1, 500),
    st.floats(1, 50),
    st.floats(0.01, 20),
    st.floats(1e-9, 1e-3),
    st.sampled_from([None, True, False]),
)
@settings(max_examples=200, deadline=None)
def test_every_schedule_costs_its_budget_and_not_more(
    examples, features, multiplicity, epsilon, delta, statistics
):
    schedule = plan_rounds(examples, features, multiplicity, epsilon, delta, statistics)
    squares = sum(event.mu**2 for event in schedule.events)
    assert squares == pytest.approx(gdp_mu(epsilon, delta) ** 2, rel=1e-12)
    assert epsilon_gdp(schedule.events, delta) == pytest.approx(epsilon, rel=1e-6)
    assert len(schedule.events) == schedule.rounds + schedule.statistics
    assert 5 <= schedule.rounds <= 80
    travel = schedule.learning_rate * schedule.clip * schedule.rounds
    assert travel == pytest.approx(min(1500, max(4, 10 * schedule.snr)))


def test_the_loss_distribution_agrees_with_the_schedule():
    for epsilon in (0.5, 8.0):
        schedule = plan_rounds(455, 30, 1, epsilon, DELTA)
        assert epsilon_pld(schedule.events, DELTA) <= epsilon * (1 + 1e-4)


def test_shares_add_up_to_the_needed_noise_among_the_survivors():
    multiplicity = noise_multiplicity(5, survivors=4, colluding=1)
    assert multiplicity == pytest.approx(5 / 3)
    schedule = plan_rounds(455, 30, multiplicity, 1.0, DELTA)
    share = schedule.noise_sd * schedule.share(5)
    assert math.sqrt(3) * share == pytest.approx(schedule.noise_sd)
    assert plan_rounds(455, 30, 5, 1.0, DELTA).share(5) == 1.0  # local: everybody adds all of it


@pytest.mark.parametrize("case", [(5, 1, 1), (5, 6, 1), (5, 4, -1), (3, 2, 2)])
def test_noise_that_nobody_honest_would_add_is_refused(case):
    with pytest.raises(BadInput, match="colluding"):
        noise_multiplicity(*case)


@given(matrices(), st.integers(0, 2**32), st.floats(0.01, 3))
@settings(max_examples=200, deadline=None)
def test_no_record_weighs_more_than_the_clip(mapped, seed, clip):
    rng = np.random.default_rng(seed)
    records = scaled_records(mapped)
    labels = rng.integers(0, 2, len(records))
    weights = rng.normal(0, 10, records.shape[1])
    whole = gradient_sum(records, labels, weights, clip)
    without = gradient_sum(records[1:], labels[1:], weights, clip)
    assert np.linalg.norm(off_grid(whole - without)) <= clip * (1 + 1e-9)
    assert np.all(np.linalg.norm(records[:, :-1], axis=1) <= 1 + 1e-12)


def test_ten_thousand_records_are_within_the_clip():
    rng = np.random.default_rng(6)
    records = scaled_records(rng.uniform(-1, 1, (10_000, 30)) * rng.uniform(0, 1, (10_000, 1)))
    labels, weights = rng.integers(0, 2, 10_000), rng.normal(0, 4, 31)
    alone = [
        gradient_sum(records[n : n + 1], labels[n : n + 1], weights, CLIP) for n in range(10_000)
    ]
    norms = np.linalg.norm(off_grid(np.array(alone)), axis=1)
    assert 0.9 * CLIP < norms.max() <= CLIP * (1 + 1e-9)
    assert np.array_equal(np.sum(alone, axis=0), gradient_sum(records, labels, weights, CLIP))


@given(matrices())
@settings(max_examples=200)
def test_no_record_weighs_more_than_the_bound_in_the_statistics(mapped):
    difference = off_grid(statistics_sum(mapped) - statistics_sum(mapped[1:]))
    assert np.linalg.norm(difference) <= statistics_bound(mapped.shape[1])


def test_without_a_clip_the_sum_is_the_gradient_of_the_log_loss():
    rng = np.random.default_rng(0)
    records = scaled_records(rng.uniform(-1, 1, (40, 6)))
    labels, weights = rng.integers(0, 2, 40), rng.normal(0, 3, 7)

    def loss(w):
        logits = records @ w
        return np.logaddexp(0, logits).sum() - (labels * logits).sum()

    near = 1e-6 * np.eye(7)
    numeric = [(loss(weights + e) - loss(weights - e)) / 2e-6 for e in near]
    found = off_grid(gradient_sum(records, labels, weights, 1e6))
    assert found == pytest.approx(numeric, abs=1e-5)


@given(matrices(least=4), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_who_holds_which_record_does_not_change_the_model(mapped, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, len(mapped))
    schedule = plan_rounds(len(mapped), mapped.shape[1], 1, 8.0, DELTA, statistics=True)
    order, cut = rng.permutation(len(mapped)), int(rng.integers(1, len(mapped)))
    parts = [order[:cut], order[cut:]]
    together = dpgd([mapped], [labels], schedule, quiet)
    apart = dpgd([mapped[p] for p in parts], [labels[p] for p in parts], schedule, quiet)
    assert np.array_equal(together.weights, apart.weights)


def test_noise_is_asked_for_once_per_hospital_and_release_at_its_share():
    asked = []

    def recording(sd, size):
        asked.append((sd, size))
        return np.zeros(size, np.int64)

    rng = np.random.default_rng(1)
    mapped = [rng.uniform(-1, 1, (30, 4)) for _ in range(3)]
    labels = [rng.integers(0, 2, 30) for _ in range(3)]
    schedule = plan_rounds(90, 4, 1.5, 2.0, DELTA, statistics=True)
    dpgd(mapped, labels, schedule, recording)
    share = math.sqrt(1.5 / 3)
    first = [(pytest.approx(schedule.statistics_sd * share), 8)] * 3
    rest = [(pytest.approx(schedule.noise_sd * share), 5)] * 3 * schedule.rounds
    assert asked == first + rest


def test_the_noise_in_the_mean_gradient_has_the_planned_deviation():
    schedule = plan_rounds(455, 30, 1, 1.0, DELTA)
    source = SystemNoise()
    drawn = off_grid(source.gaussian_on_grid(schedule.noise_sd, 100_000)) / schedule.examples
    assert drawn.std() == pytest.approx(schedule.noise_sd / schedule.examples, rel=0.01)
    assert schedule.noise_sd == pytest.approx(CLIP * schedule.round_event.sigma_over_sensitivity)


def test_two_runs_of_one_plan_give_different_models():
    rng = np.random.default_rng(2)
    mapped, labels = [rng.uniform(-1, 1, (50, 3))], [rng.integers(0, 2, 50)]
    schedule = plan_rounds(50, 3, 1, 1.0, DELTA)
    first, second = (
        dpgd(mapped, labels, schedule, SystemNoise().gaussian_on_grid) for _ in range(2)
    )
    assert not np.any(first.weights == second.weights)


def test_the_average_weighs_later_rounds_more():
    rng = np.random.default_rng(3)
    iterates = rng.normal(size=(9, 4))
    average = np.zeros(4)
    for number, weights in enumerate(iterates, 1):
        average = average_after(average, weights, number)
    expected = np.average(iterates, axis=0, weights=np.arange(1, 10))
    assert average == pytest.approx(expected, rel=1e-12)


def test_means_and_deviations_are_found_where_noise_is_small_and_guessed_where_it_is_large():
    rng = np.random.default_rng(4)
    mapped = np.clip(rng.normal([0.3, -0.5], [0.1, 0.2], (5000, 2)), -1, 1)
    sums = np.concatenate([mapped.sum(0), (mapped**2).sum(0)])
    clear = Standardisation.from_sums(sums, 5000, noise_sd=0.1)
    assert clear.mean == pytest.approx(mapped.mean(0), abs=1e-3)
    assert clear.sd == pytest.approx(mapped.std(0), rel=1e-2)
    drowned = Standardisation.from_sums(sums, 5000, noise_sd=1e6)
    assert drowned.mean == pytest.approx([0, 0], abs=1e-3)
    assert drowned.sd == pytest.approx([0.4, 0.4], rel=1e-3)
    worthless = Standardisation.from_sums(np.array([0.0, 0.0, -500.0, 9e9]), 5000, noise_sd=1e4)
    assert np.all(np.isfinite(worthless.sd))
    assert np.all(worthless.sd > 0)


def test_a_step_divides_by_the_public_number_of_examples():
    schedule = replace(plan_rounds(100, 1, 1, 1.0, DELTA), learning_rate=2.0)
    moved = step(np.zeros(2), np.array([2**24, 0]), schedule)
    assert moved.tolist() == [-0.02, 0.0]


def test_it_learns_what_can_be_learned_and_follows_the_budget():
    rng = np.random.default_rng(5)
    mapped = rng.uniform(-1, 1, (2000, 8))
    labels = (mapped @ np.linspace(-3, 3, 8) + rng.logistic(0, 0.3, 2000) > 0).astype(np.int64)
    right = {}
    for epsilon in (0.05, 8.0):
        schedule = plan_rounds(2000, 8, 1, epsilon, DELTA)
        model = dpgd([mapped], [labels], schedule, SystemNoise().gaussian_on_grid)
        right[epsilon] = ((model.logits(mapped) > 0) == labels).mean()
    assert right[8.0] > 0.88
    assert right[8.0] > right[0.05]


def test_values_that_are_not_finite_are_refused():
    records = scaled_records(np.array([[np.nan, 0.0]]))
    with pytest.raises(BadInput, match="not finite"):
        gradient_sum(records, np.array([1]), np.zeros(3), CLIP)


@pytest.mark.parametrize("bad", [(0, 3, 1), (3, 0, 1), (3, 3, 0.5), (3, 3, float("nan"))])
def test_a_plan_for_nobody_is_refused(bad):
    with pytest.raises(BadInput):
        plan_rounds(*bad, 1.0, DELTA)
