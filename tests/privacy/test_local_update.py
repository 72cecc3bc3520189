"""A whole update: clipped, noised for replace-one, and never the weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aegis.errors import BadInput
from aegis.privacy.accounting import (
    GaussianRelease,
    LaplaceRelease,
    epsilon_gdp,
    epsilon_pld,
    epsilon_rdp,
)
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.local_update import LocalUpdate
from aegis.privacy.noise import SystemNoise, off_grid

updates = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6))


@given(updates, updates, st.floats(0.01, 100), st.sampled_from(["gaussian", "laplace"]))
@settings(max_examples=200)
def test_any_two_data_sets_give_updates_within_the_sensitivity(one, other, clip, noise):
    size = min(len(one), len(other))
    mechanism = LocalUpdate(clip, 1.0, noise)
    kind = 2 if noise == "gaussian" else 1
    apart = mechanism.clipped(one[:size]) - mechanism.clipped(other[:size])
    assert np.linalg.norm(apart, kind) <= mechanism.sensitivity * (1 + 1e-12)
    assert np.linalg.norm(mechanism.clipped(one), kind) <= clip * (1 + 1e-12)


def test_a_short_update_is_not_stretched():
    assert LocalUpdate(10.0, 1.0).clipped(np.array([3.0, 4.0])).tolist() == [3.0, 4.0]


def test_gaussian_noise_is_calibrated_exactly():
    mechanism = LocalUpdate.calibrated(1.0, "gaussian", 2.0, 1e-5, releases=10)
    assert epsilon_gdp([mechanism.event] * 10, 1e-5) == pytest.approx(2.0, rel=1e-9)
    once = LocalUpdate.calibrated(1.0, "gaussian", 1.0, 1e-5, releases=1)
    assert once.multiplier == pytest.approx(gaussian_sigma(1.0, 1e-5))


def test_laplace_noise_is_calibrated_to_the_whole_run():
    mechanism = LocalUpdate.calibrated(1.0, "laplace", 2.0, 1e-5, releases=10)
    assert epsilon_rdp([mechanism.event] * 10, 1e-5) == pytest.approx(2.0, rel=1e-4)
    assert epsilon_pld([mechanism.event] * 10, 1e-5) <= 2.0


@pytest.mark.parametrize("noise", ["gaussian", "laplace"])
def test_what_is_released_is_the_update_with_noise_for_twice_the_clip(noise):
    mechanism = LocalUpdate(0.5, 2.0, noise)
    source = SystemNoise._repeatable_for_tests(bytes(32))
    update = np.zeros(200_000)
    update[0] = 1e9
    out = off_grid(mechanism.released(update, source))
    wanted = 2.0 if noise == "gaussian" else 2.0 * 2**0.5  # a Laplace deviates by root 2 scales
    assert out[1:].std() == pytest.approx(wanted, rel=0.01)
    assert abs(out[0]) < 0.5 + 20 * wanted


def test_two_releases_of_one_update_differ():
    mechanism, update = LocalUpdate(1.0, 1.0), np.zeros(50)
    first, second = (mechanism.released(update, SystemNoise()) for _ in range(2))
    assert np.count_nonzero(first == second) < 5


def test_the_charge_is_that_of_the_noise():
    assert LocalUpdate(3.0, 1.5).event == GaussianRelease(1.5)
    assert LocalUpdate(3.0, 1.5, "laplace").event == LaplaceRelease(1.5)


def test_clipping_in_l2_and_noising_for_l1_would_understate_the_cost():
    """What the first version of this feature did: nominal 1, true 12.95 for thirty weights and an
    intercept."""
    assert pytest.approx(12.95, abs=0.01) == 2 * 30**0.5 + 2
    clipped = LocalUpdate(1.0, 1.0, "laplace").clipped(np.ones(30))
    assert np.abs(clipped).sum() <= 1.0


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_that_bounds_nothing_is_refused(clip):
    with pytest.raises(BadInput, match="max_grad_norm"):
        LocalUpdate(clip, 1.0)


@pytest.mark.parametrize("multiplier", [0.0, -1.0, float("nan")])
def test_no_noise_is_refused(multiplier):
    with pytest.raises(BadInput, match="mechanism: none"):
        LocalUpdate(1.0, multiplier)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_is_refused(value):
    with pytest.raises(BadInput, match="not finite"):
        LocalUpdate(1.0, 1.0).released(np.array([value]), SystemNoise())
