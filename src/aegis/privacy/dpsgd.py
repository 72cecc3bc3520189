"""DP-SGD for networks of linear layers, with per-record norms that no gradient is formed for.

A record's gradient at a linear layer is the outer product of what went in (a) and the error that
came back (e), so its norm is |a| |e|, and 1 + |a|^2 in place of |a|^2 counts the bias (Goodfellow
2015). One forward pass, one backward pass of errors, a factor per record, and one product per layer
give the clipped sum: about the price of ordinary training. The functions take NumPy arrays and
PyTorch tensors alike, with any leading axes, so that many hospitals are one stack.

What makes the account true and is easily lost: every record joins each batch by a coin of its own
(Poisson sampling), so that batches vary in size and may be empty; an empty batch is a noisy step
like any other; the sum is divided by the EXPECTED size; nothing normalises over the batch; coins
and noise come from the operating system, never from the experiment's seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.privacy.accounting import PoissonGaussian
from aegis.privacy.budget import Accountant, least_noise
from aegis.privacy.noise import SystemNoise

Tensor: TypeAlias = Any
"""``numpy.ndarray`` or ``torch.Tensor``; only what both can do is asked of it."""

ROUNDING_ROOM = 1e-3
"""The share of the clip that is left for rounding: of float32 sums, and onto the grid."""


@dataclass(frozen=True)
class DpSgd:
    """What one hospital does in ``steps`` steps, and what that is charged.

    ``noise_multiplier`` is in units of ``clip``, the largest L2 norm of one record's gradient.
    """

    clip: float
    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        _positive(self.clip)
        _ = self.event

    @property
    def event(self) -> PoissonGaussian:
        return PoissonGaussian(self.noise_multiplier, self.sampling_rate, self.steps)

    @property
    def noise_sd(self) -> float:
        """Of the noise that one step's summed gradient needs, in each coordinate."""
        return self.noise_multiplier * self.clip

    def expected_batch(self, rows: int) -> float:
        """What a noisy sum is divided by, whatever the batch was."""
        return max(1.0, self.sampling_rate * rows)


def noise_multiplier_for(
    epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    accountant: Accountant = "rdp",
) -> float:
    """The least noise with which so many steps cost at most (epsilon, delta)."""
    return least_noise(
        lambda multiplier: [PoissonGaussian(multiplier, sampling_rate, steps)],
        epsilon,
        delta,
        accountant=accountant,
    )


def poisson_batch(rows: int, rate: float, coins: SystemNoise) -> NDArray[np.intp]:
    """The rows of one batch, each in it with probability ``rate`` by itself; maybe none."""
    if not 0 < rate <= 1:
        raise BadInput(f"the sampling rate is a probability above 0, got {rate}")
    return np.flatnonzero(coins.uniforms(rows) < rate)


def poisson_batches(
    rows: int, rate: float, steps: int, coins: SystemNoise
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The batches of ``steps`` steps as one (steps, longest) array of rows, and which of its places
    hold one; the others are filled with row 0 and must weigh nothing."""
    index, holds = poisson_stack([rows], [rate], steps, coins)
    return index[:, 0], holds[:, 0]


def poisson_stack(
    rows: Sequence[int],
    rates: Sequence[float],
    steps: int,
    coins: SystemNoise,
    multiple: int = 1,
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """As ``poisson_batches``, for several hospitals at once: (steps, hospitals, longest), the last
    rounded up to a multiple. All coins come from one draw, 64 bits each."""
    for rate in rates:
        if not 0 < rate <= 1:
            raise BadInput(f"the sampling rate is a probability above 0, got {rate}")
    most = max(1, *rows)
    least_lost = [min(int(rate * 2.0**64), 2**64 - 1) for rate in rates]
    drawn = coins.bits(steps * len(rows) * most).reshape(steps, len(rows), most)
    joins = drawn < np.array(least_lost, np.uint64)[:, None]
    joins &= np.arange(most) < np.asarray(rows)[:, None]
    batch, row = np.divmod(np.flatnonzero(joins), most)
    sizes = np.bincount(batch, minlength=steps * len(rows))
    first = np.cumsum(sizes) - sizes
    longest = multiple * -(-max(1, int(sizes.max(initial=0))) // multiple)
    holds = np.arange(longest) < sizes.reshape(steps, -1, 1)
    index = np.zeros(holds.shape, np.intp)
    index.reshape(steps * len(rows), -1)[batch, np.arange(len(row)) - first[batch]] = row
    return index, holds


def perceptron_errors(
    layers: Sequence[tuple[Tensor, Tensor]], rows: Tensor, labels: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Signals and errors of a ReLU network with one logit and log-loss, as ``per_sample_norms``
    wants them. ``layers[l]`` is a weight (..., out, in) with its bias (..., out); ``rows``
    (..., batch, in); ``labels`` (..., batch) of 0 and 1. One layer is logistic regression."""
    signals = [rows]
    for weight, bias in layers[:-1]:
        raised = signals[-1] @ weight.swapaxes(-1, -2) + bias[..., None, :]
        signals.append(raised.clip(min=0))
    weight, bias = layers[-1]
    logit = signals[-1] @ weight.swapaxes(-1, -2) + bias[..., None, :]
    chance = 1 / (1 + math.e ** (-logit).clip(min=-80, max=80))
    errors = [chance - labels[..., None]]
    for (weight, _), signal in zip(layers[:0:-1], signals[:0:-1], strict=True):
        errors.append((errors[-1] @ weight) * (signal > 0))
    return signals, errors[::-1]


def per_sample_norms(signals: Sequence[Tensor], errors: Sequence[Tensor]) -> Tensor:
    """The L2 norm (..., batch) of each record's gradient over all layers.

    ``signals[l]`` (..., batch, in) went into layer l, without a column of ones; ``errors[l]``
    (..., batch, out) is the derivative of that record's OWN loss by what the layer put out, not
    divided by any batch size.
    """
    square: Tensor = 0
    for signal, error in zip(signals, errors, strict=True):
        square = square + (_squared(signal) + 1) * _squared(error)
    return square**0.5


def clip_factors(norms: Tensor, clip: float) -> Tensor:
    """What each record's gradient is multiplied with: 1, or less where its norm exceeds ``clip``
    (less ``ROUNDING_ROOM``)."""
    _positive(clip)
    return (clip * (1 - ROUNDING_ROOM) / norms.clip(min=1e-9 * clip)).clip(max=1)


def clipped_sum(
    signals: Sequence[Tensor], errors: Sequence[Tensor], factors: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """The sum of the clipped gradients: for each layer its weight's (..., out, in) and its bias's
    (..., out). ``factors`` (..., batch) are those of ``clip_factors``, and 0 at places that hold
    no record."""
    found = []
    for signal, error in zip(signals, errors, strict=True):
        share = error * factors[..., None]
        found.append((share.swapaxes(-1, -2) @ signal, share.sum(-2)))
    return found


def refuse_unprivate_layers(modules: Iterable[tuple[str, object]]) -> None:
    """``modules`` are a network's (name, layer), as ``named_modules()`` gives them. A layer that
    normalises over the batch mixes records, so that no bound on one record's gradient holds:
    ``BadInput``, with GroupNorm as the way out."""
    for name, module in modules:
        kind = type(module).__name__
        tracks = bool(getattr(module, "track_running_stats", False))
        if "BatchNorm" in kind or tracks:
            raise BadInput(
                f"layer {name or kind} is a {kind}, which mixes the records of a batch",
                "DP-SGD needs layers that treat each record by itself",
                "Use GroupNorm in its place",
            )


def refuse_unprivate_sampling(sampler: object) -> None:
    """Only Poisson sampling has the account that is charged; a weighted or shuffling sampler, or
    batches of a fixed size, are a ``BadInput``."""
    kind = type(sampler).__name__
    if kind not in ("PoissonSampler", "UniformWithReplacementSampler"):
        raise BadInput(
            f"batches are drawn by {kind}",
            "DP-SGD is charged for batches that every record joins by its own coin",
            "Draw them with aegis.privacy.dpsgd.poisson_batch",
        )


def _squared(vectors: Tensor) -> Tensor:
    if isinstance(vectors, np.ndarray):
        return np.einsum("...i,...i->...", vectors, vectors)  # four times as fast here
    return (vectors * vectors).sum(-1)


def _positive(clip: float) -> None:
    if not (math.isfinite(clip) and clip > 0):
        raise BadInput(f"privacy.max_grad_norm must be finite and above 0, got {clip}")
