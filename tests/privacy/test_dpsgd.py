"""Per-record gradients: norms, clipping, sampling and calibration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.privacy.accounting import PoissonGaussian, epsilon_pld, epsilon_rdp
from aegis.privacy.dpsgd import (
    ROUNDING_ROOM,
    DpSgd,
    clip_factors,
    clipped_sum,
    noise_multiplier_for,
    per_sample_norms,
    perceptron_errors,
    poisson_batch,
    poisson_batches,
    refuse_unprivate_layers,
    refuse_unprivate_sampling,
)
from aegis.privacy.noise import SystemNoise


def drawn(rng, widths, batch, stack=(), dtype=np.float64):
    layers = [
        (
            rng.normal(0, 1, (*stack, o, i)).astype(dtype),
            rng.normal(0, 1, (*stack, o)).astype(dtype),
        )
        for i, o in itertools.pairwise(widths)
    ]
    rows = rng.normal(0, 1, (*stack, batch, widths[0])).astype(dtype)
    labels = rng.integers(0, 2, (*stack, batch)).astype(dtype)
    return layers, rows, labels


def each_alone(layers, rows, labels):
    """(batch, parameters): every record's gradient, formed one by one."""
    found = []
    for row, label in zip(rows, labels, strict=True):
        signals, errors = perceptron_errors(layers, row[None], label[None])
        alone = clipped_sum(signals, errors, np.ones(1))
        found.append(np.concatenate([part.ravel() for pair in alone for part in pair]))
    return np.array(found)


def logits_of(layers, rows):
    signal = rows
    for number, (weight, bias) in enumerate(layers):
        signal = signal @ weight.T + bias
        if number < len(layers) - 1:
            signal = np.maximum(signal, 0)
    return signal[..., 0]


@pytest.mark.parametrize("widths", [(5, 1), (4, 6, 3, 1)])
def test_a_record_s_gradient_is_the_slope_of_its_loss(widths):
    layers, rows, labels = drawn(np.random.default_rng(0), widths, 6)

    def losses():
        logits = logits_of(layers, rows)
        return np.logaddexp(0, logits) - labels * logits

    numeric = []
    for part in (part for pair in layers for part in pair):
        for place in np.ndindex(part.shape):
            part[place] += 1e-6
            above = losses()
            part[place] -= 2e-6
            numeric.append((above - losses()) / 2e-6)
            part[place] += 1e-6
    assert pytest.approx(np.array(numeric), abs=1e-6) == each_alone(layers, rows, labels).T


@given(
    st.integers(0, 2**32),
    st.sampled_from([(3, 1), (4, 5, 1), (2, 6, 4, 1)]),
    st.integers(1, 12),
    st.floats(1e-3, 10),
    st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=200, deadline=None)
def test_no_clipped_gradient_is_longer_than_the_clip(seed, widths, batch, clip, dtype):
    layers, rows, labels = drawn(np.random.default_rng(seed), widths, batch, dtype=dtype)
    signals, errors = perceptron_errors(layers, rows, labels)
    norms = per_sample_norms(signals, errors)
    alone = each_alone(layers, rows, labels)
    assert norms == pytest.approx(np.linalg.norm(alone, axis=1), rel=1e-4, abs=1e-6)
    factors = clip_factors(norms, clip)
    assert np.all(np.linalg.norm(alone * factors[:, None], axis=1) <= clip * (1 + 1e-6))
    total = clipped_sum(signals, errors, factors)
    flat = np.concatenate([part.ravel() for pair in total for part in pair])
    assert flat == pytest.approx((alone * factors[:, None]).sum(0), rel=1e-3, abs=1e-4)


def test_ten_thousand_clipped_gradients_are_within_the_clip():
    rng = np.random.default_rng(1)
    layers, rows, labels = drawn(rng, (6, 8, 1), 10_000, dtype=np.float32)
    rows *= rng.exponential(3, (10_000, 1)).astype(np.float32)
    signals, errors = perceptron_errors(layers, rows, labels)
    factors = clip_factors(per_sample_norms(signals, errors), 0.7)
    assert 0.05 < (factors < 1).mean() < 1
    formed = [
        np.einsum("bo,bi->boi", error.astype(float), np.insert(signal.astype(float), 0, 1, axis=1))
        for signal, error in zip(signals, errors, strict=True)
    ]
    flat = np.concatenate([gradient.reshape(10_000, -1) for gradient in formed], axis=1)
    assert np.linalg.norm(flat * factors[:, None], axis=1).max() <= 0.7 * (1 + 1e-6)


def test_short_gradients_are_left_alone():
    norms = np.array([0.0, 0.1, 0.998, 2.0])
    assert clip_factors(norms, 1.0).tolist() == [1, 1, 1, (1 - ROUNDING_ROOM) / 2]


def test_a_stack_of_hospitals_is_the_same_as_each_by_itself():
    rng = np.random.default_rng(3)
    layers, rows, labels = drawn(rng, (4, 5, 1), 7, stack=(3,))
    signals, errors = perceptron_errors(layers, rows, labels)
    factors = clip_factors(per_sample_norms(signals, errors), 0.5)
    stacked = clipped_sum(signals, errors, factors)
    for hospital in range(3):
        own = [(weight[hospital], bias[hospital]) for weight, bias in layers]
        s, e = perceptron_errors(own, rows[hospital], labels[hospital])
        alone = clipped_sum(s, e, clip_factors(per_sample_norms(s, e), 0.5))
        for (weight, bias), (w, b) in zip(stacked, alone, strict=True):
            assert weight[hospital] == pytest.approx(w, rel=1e-12, abs=1e-14)
            assert bias[hospital] == pytest.approx(b, rel=1e-12, abs=1e-14)


def test_places_that_hold_no_record_weigh_nothing():
    rng = np.random.default_rng(4)
    layers, rows, labels = drawn(rng, (3, 4, 1), 5)
    signals, errors = perceptron_errors(layers, rows, labels)
    factors = clip_factors(per_sample_norms(signals, errors), 1.0)
    holds = np.array([True, True, False, True, False])
    some = clipped_sum(signals, errors, factors * holds)
    s, e = perceptron_errors(layers, rows[holds], labels[holds])
    fewer = clipped_sum(s, e, clip_factors(per_sample_norms(s, e), 1.0))
    for (weight, bias), (w, b) in zip(some, fewer, strict=True):
        assert weight == pytest.approx(w, rel=1e-12, abs=1e-14)
        assert bias == pytest.approx(b, rel=1e-12, abs=1e-14)


def test_every_record_tosses_its_own_coin():
    coins = SystemNoise._repeatable_for_tests(bytes(32))
    index, holds = poisson_batches(200, 0.1, 2000, coins)
    sizes = holds.sum(1)
    assert sizes.mean() == pytest.approx(20, rel=0.02)
    assert sizes.var() == pytest.approx(200 * 0.1 * 0.9, rel=0.1)
    joined = np.bincount(index[holds], minlength=200) / 2000
    assert np.all(np.abs(joined - 0.1) < 0.04)
    assert all(len(set(row[h].tolist())) == h.sum() for row, h in zip(index, holds, strict=True))


def test_batches_may_be_empty_and_may_hold_everybody():
    coins = SystemNoise()
    assert poisson_batch(0, 0.5, coins).tolist() == []
    assert poisson_batch(9, 1.0, coins).tolist() == list(range(9))
    index, holds = poisson_batches(3, 1e-9, 4, coins)
    assert index.shape == holds.shape == (4, 1)
    assert not holds.any()


def test_sampling_follows_no_experiment_seed():
    np.random.seed(1)
    first = poisson_batch(1000, 0.5, SystemNoise())
    np.random.seed(1)
    assert poisson_batch(1000, 0.5, SystemNoise()).tolist() != first.tolist()


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(BadInput, match="sampling"):
        poisson_batch(10, rate, SystemNoise())
    with pytest.raises(BadInput):
        DpSgd(1.0, 1.0, rate, 1)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_that_bounds_nothing_is_refused(clip):
    with pytest.raises(BadInput, match="max_grad_norm"):
        DpSgd(clip, 1.0, 0.1, 1)
    with pytest.raises(BadInput, match="max_grad_norm"):
        clip_factors(np.ones(2), clip)


def test_the_mechanism_and_its_charge_are_one_value():
    mechanism = DpSgd(clip=0.5, noise_multiplier=1.2, sampling_rate=0.1, steps=30)
    assert mechanism.event == PoissonGaussian(1.2, 0.1, 30)
    assert mechanism.noise_sd == 0.6
    assert mechanism.expected_batch(455) == 45.5
    assert mechanism.expected_batch(3) == 1.0


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(1.0, 0.1, 100), (8.0, 0.1, 150)])
def test_the_noise_is_the_least_that_fits(epsilon, rate, steps):
    for accountant, cost in (("rdp", epsilon_rdp), ("pld", epsilon_pld)):
        multiplier = noise_multiplier_for(epsilon, 1e-5, rate, steps, accountant)
        found = cost([PoissonGaussian(multiplier, rate, steps)], 1e-5)
        assert epsilon * (1 - 1.1e-4) <= found <= epsilon


def test_full_batches_are_calibrated_like_gaussian_releases():
    assert noise_multiplier_for(1.0, 1e-5, 1.0, 1, "pld") == pytest.approx(3.731, abs=2e-3)


class BatchNorm1d:
    pass


class InstanceNorm2d:
    track_running_stats = True


class GroupNorm:
    pass


class WeightedRandomSampler:
    pass


def test_a_layer_that_mixes_records_is_refused_with_its_way_out():
    refuse_unprivate_layers([("norm", GroupNorm())])
    for layer in (BatchNorm1d(), InstanceNorm2d()):
        with pytest.raises(BadInput, match=r"layer body.1 .* Use GroupNorm"):
            refuse_unprivate_layers([("", GroupNorm()), ("body.1", layer)])


def test_a_weighted_sampler_is_refused():
    with pytest.raises(BadInput, match="WeightedRandomSampler"):
        refuse_unprivate_sampling(WeightedRandomSampler())


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("widths", [(13, 1), (13, 64, 32, 16, 1)])
def test_norms_and_clipped_sums_are_those_of_opacus(widths):
    import torch
    from opacus.grad_sample import GradSampleModule

    torch.manual_seed(0)
    parts = []
    for number, (i, o) in enumerate(itertools.pairwise(widths)):
        parts += [torch.nn.Linear(i, o), *([torch.nn.ReLU()] if number < len(widths) - 2 else [])]
    plain = torch.nn.Sequential(*parts).double()
    linear = [part for part in plain if isinstance(part, torch.nn.Linear)]
    rows = torch.randn(32, widths[0], dtype=torch.float64)
    labels = torch.randint(0, 2, (32,)).double()
    model = GradSampleModule(plain, loss_reduction="sum")
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    loss(model(rows)[:, 0], labels, reduction="sum").backward()
    theirs = torch.cat([p.grad_sample.reshape(32, -1) for p in model.parameters()], dim=1)
    layers = [(part.weight.detach(), part.bias.detach()) for part in linear]
    signals, errors = perceptron_errors(layers, rows, labels)
    norms = per_sample_norms(signals, errors)
    assert torch.allclose(norms, theirs.norm(dim=1), rtol=1e-10)
    clip = float(norms.median())
    factors = clip_factors(norms, clip)
    assert int((factors < 1).sum()) >= 16
    total = clipped_sum(signals, errors, factors)
    flat = torch.cat([part.reshape(-1) for pair in total for part in pair])
    assert torch.allclose(flat, (theirs * factors[:, None]).sum(0), rtol=1e-9, atol=1e-12)
    expected = (clip * (1 - ROUNDING_ROOM) / (theirs.norm(dim=1) + 1e-300)).clamp(max=1.0)
    assert torch.allclose(factors, expected, rtol=1e-9)
    assert math.isfinite(float(flat.norm()))
