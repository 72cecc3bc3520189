"""One training run, a thousand made-up patients, and a bound on epsilon from below."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from aegis.assurance.canaries import (
    CanaryAudit,
    audit_canaries,
    epsilon_lower_bound,
    guess,
    p_value,
    plant,
    traces,
)
from aegis.assurance.patients import Patients
from aegis.errors import BadInput
from tests.assurance.recipes import held_out, noised_gradient, scaled, wisconsin


@pytest.fixture(scope="module")
def members():
    return held_out(scaled(wisconsin()))[0]


@pytest.mark.parametrize(
    ("guesses", "ceiling"),
    [(10, 1.05), (50, 2.78), (100, 3.49), (250, 4.42), (500, 5.11), (1000, 5.81)],
)
def test_what_an_audit_can_show_at_most(guesses, ceiling):
    assert epsilon_lower_bound(guesses, guesses) == pytest.approx(ceiling, abs=0.006)
    audit = CanaryAudit(guesses, guesses, guesses, 0.0, 0.0, 0.95, None)
    assert audit.ceiling == epsilon_lower_bound(guesses, guesses)


@given(st.integers(1, 120), st.floats(0, 6), st.floats(0, 1e-3), st.data())
@settings(max_examples=100, deadline=None)
def test_the_p_value_is_the_theorems(guesses, epsilon, delta, data):
    correct = data.draw(st.integers(0, guesses))
    canaries = data.draw(st.integers(guesses, 2000))
    right = binom(guesses, 1 / (1 + np.exp(-epsilon)))
    tail = right.sf(correct - 1)
    most = max(
        [(right.cdf(correct - 1) - right.cdf(correct - i - 1)) / i for i in range(1, correct + 1)],
        default=0.0,
    )
    expected = min(tail + 2 * canaries * delta * most, 1.0)
    assert p_value(epsilon, correct, guesses, delta, canaries) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 200), st.data())
@settings(max_examples=100, deadline=None)
def test_the_bound_grows_with_right_guesses_and_falls_with_delta(guesses, data):
    correct = data.draw(st.integers(1, guesses))
    bound = epsilon_lower_bound(correct, guesses)
    assert bound >= epsilon_lower_bound(correct - 1, guesses)
    assert bound >= epsilon_lower_bound(correct, guesses, delta=1e-4)
    assert bound >= epsilon_lower_bound(correct, guesses, confidence=0.99)
    if bound > 0:
        assert p_value(bound, correct, guesses, 0.0, guesses) == pytest.approx(0.05, abs=1e-6)


def test_guessing_like_a_coin_shows_nothing():
    assert epsilon_lower_bound(50, 100) == 0.0
    assert epsilon_lower_bound(0, 100) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"correct": 11, "guesses": 10},
        {"correct": -1, "guesses": 10},
        {"correct": 0, "guesses": 0},
        {"correct": 5, "guesses": 10, "canaries": 9},
        {"correct": 5, "guesses": 10, "delta": -0.1},
        {"correct": 5, "guesses": 10, "confidence": 1.0},
        {"correct": 5, "guesses": 10, "delta": float("nan")},
    ],
)
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(BadInput):
        epsilon_lower_bound(**wrong)


def test_canaries_are_tossed_in_beside_the_patients(members):
    planted = plant(members, 200, seed=3)
    came = int(planted.included.sum())
    assert 70 < came < 130
    assert len(planted.patients) == len(members) + came
    rows, columns = members.design.shape
    assert np.array_equal(planted.patients.design[:rows, :columns], members.design)
    assert not planted.patients.design[:rows, columns:].any()
    assert np.array_equal(planted.canaries.design[:, columns:], np.eye(200))
    assert not planted.canaries.design[:, :columns].any()
    assert np.bincount(planted.canaries.labels).tolist() == [100, 100]


def test_a_canary_is_traced_in_its_own_column_only(members):
    planted = plant(members, 10, seed=0)
    columns = members.design.shape[1]
    weights = np.concatenate([np.full(columns, 5.0), np.arange(10.0)])
    moved = traces(planted, lambda design: design @ weights + 3.0)
    assert np.allclose(moved, (2 * planted.canaries.labels - 1) * np.arange(10))
    two = traces(planted, lambda design: np.stack([-design @ weights, design @ weights], 1))
    assert np.allclose(two, 2 * moved)


def test_the_auditor_guesses_about_the_ends_only():
    included = np.array([False, False, True, False, True, True])
    assert guess(np.arange(6.0), included, 4) == 4
    assert guess(np.arange(6.0), included, 6) == 4
    assert guess(-np.arange(6.0), included, 4) == 0
    for guesses in (1, 7):
        with pytest.raises(BadInput):
            guess(np.arange(6.0), included, guesses)


@pytest.mark.parametrize("declared", [1.0, 2.0, 8.0])
def test_training_that_keeps_its_epsilon_is_not_refuted(members, declared):
    fit = noised_gradient(declared)
    found = [
        audit_canaries(fit, members, declared=declared, delta=1e-5, seed=seed) for seed in range(3)
    ]
    assert not any(one.refuted for one in found)
    if declared > 1:
        assert min(one.lower_bound for one in found) > 0.1  # it does look


@pytest.mark.parametrize(("canaries", "guesses"), [(200, 50), (1000, 100)])
def test_noise_that_was_forgotten_is_found(members, canaries, guesses):
    found = audit_canaries(
        noised_gradient(2.0, noise=0.0),
        members,
        declared=2.0,
        delta=1e-5,
        canaries=canaries,
        guesses=guesses,
    )
    assert found.lower_bound > 2.0
    assert found.refuted
    assert found.lower_bound == pytest.approx(found.ceiling)


def test_a_clip_that_was_forgotten_shows_more(members):
    """Noise for a clip of .30 on gradients that reach 1, with canaries of twice the usual size."""
    honest, unclipped = (
        np.mean(
            [
                audit_canaries(fit, members, declared=2.0, delta=1e-5, size=2.0, seed=s).lower_bound
                for s in range(3)
            ]
        )
        for fit in (noised_gradient(2.0), noised_gradient(2.0, clip=1e9))
    )
    assert unclipped > honest + 0.5


def test_sampled_batches_are_audited_in_the_same_way(members):
    """DP-SGD: each record is in a step with chance q; without noise it gives itself away."""

    def sampled(noise):
        def fit(patients, seed):
            rng = np.random.default_rng([seed, 5])
            weights = np.zeros(patients.design.shape[1])
            for _ in range(60):
                batch = rng.random(len(patients)) < 0.2
                table = patients.design[batch]
                wrong = 1 / (1 + np.exp(-table @ weights)) - patients.labels[batch]
                lengths = np.abs(wrong) * np.linalg.norm(table, axis=1)
                wrong *= np.minimum(1, 1 / np.maximum(lengths, 1e-12))
                drawn = noise * rng.normal(0, 1, len(weights))
                weights -= 0.02 * (table.T @ wrong + drawn)
            return lambda design: design @ weights

        return fit

    # q .2, sigma 2, 60 steps: epsilon 3.84 at 1e-5 by Opacus' PRV accountant
    kept = audit_canaries(sampled(2.0), members, declared=4.0, delta=1e-5)
    broken = audit_canaries(sampled(0.0), members, declared=3.0, delta=1e-5)
    assert not kept.refuted
    assert broken.refuted


def test_training_that_declares_nothing_is_measured_all_the_same(members):
    found = audit_canaries(noised_gradient(2.0, noise=0.0), members, declared=None, delta=0.0)
    assert not found.refuted
    assert found.lower_bound > 3


def test_images_and_no_canaries_are_refused(members):
    pictures = Patients(np.zeros((5, 2, 2)), np.zeros(5, np.int64), np.zeros(5))
    with pytest.raises(BadInput, match="table"):
        plant(pictures, 10)
    with pytest.raises(BadInput, match="0 canaries"):
        plant(members, 0)
