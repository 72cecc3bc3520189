"""What a mechanism costs: the events that are charged, and what epsilon they add up to.

A mechanism and its event are one value, so they cannot drift apart; this module only knows events.
Neighbours differ in one record, added or removed at one hospital (``LocalUpdate`` says otherwise
where it means otherwise, and puts it into the sensitivity).

    epsilon_gdp   Gaussian releases only, noise fixed beforehand: exact
    epsilon_rdp   every event, by Renyi divergence (Mironov 2017; for Poisson sampling Mironov,
                  Talwar and Zhang 2019): an upper bound 8 to 15 per cent above the truth
    epsilon_pld   every event, by the distribution of the privacy loss (dp-accounting, imported
                  late: its start costs 1.5 s): the figure to show; where it would take long (an
                  epsilon above 1000, many kinds, many steps), the bound by Renyi divergence
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, DataError
from aegis.privacy.gaussian import gdp_epsilon

Curve: TypeAlias = NDArray[np.float64]

ORDERS: Curve = np.array(
    [
        *(1 + tenths / 10 for tenths in range(1, 100)),
        *range(11, 64),
        *(64, 72, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 768, 1024),
    ],
    dtype=np.float64,
)


LEAST_NOISE = 1e-6
MOST = 2**53
"""Releases, steps: a ledger from somebody else may hold any number."""
LEAST_BY_DISTRIBUTION = 0.05
"""Noise: below it a distribution takes minutes or all memory."""
HOPELESS = 1000.0
MOST_WORK = 1.5
"""Seconds, about, that a distribution may take."""


@dataclass(frozen=True)
class GaussianRelease:
    """``count`` vectors with normal noise, ``sigma_over_sensitivity`` times the L2 sensitivity."""

    sigma_over_sensitivity: float
    count: int = 1

    def __post_init__(self) -> None:
        _noise(sigma_over_sensitivity=self.sigma_over_sensitivity)
        _whole(count=self.count)

    @property
    def mu(self) -> float:
        return math.sqrt(self.count) / self.sigma_over_sensitivity


@dataclass(frozen=True)
class PoissonGaussian:
    """``steps`` sums over batches that each record joins with probability ``sampling_rate``,
    independently each time, with noise of ``noise_multiplier`` times the clipping norm."""

    noise_multiplier: float
    sampling_rate: float
    steps: int = 1

    def __post_init__(self) -> None:
        _noise(noise_multiplier=self.noise_multiplier)
        _above_0(sampling_rate=self.sampling_rate)
        _whole(steps=self.steps)
        if self.sampling_rate > 1:
            raise BadInput(f"sampling_rate is a probability, got {self.sampling_rate}")


@dataclass(frozen=True)
class LaplaceRelease:
    """``count`` vectors with Laplace noise, its scale in units of the L1 sensitivity."""

    scale_over_sensitivity: float
    count: int = 1

    def __post_init__(self) -> None:
        _noise(scale_over_sensitivity=self.scale_over_sensitivity)
        _whole(count=self.count)


Event: TypeAlias = GaussianRelease | PoissonGaussian | LaplaceRelease
_KINDS: Mapping[str, type[Event]] = {
    kind.__name__: kind for kind in (GaussianRelease, PoissonGaussian, LaplaceRelease)
}


def epsilon_gdp(events: Iterable[Event], delta: float) -> float:
    """Exact for Gaussian releases whose noise was fixed before the first of them; ``BadInput`` for
    any other event."""
    square = 0.0
    for event, count in _counted(events).items():
        if not isinstance(event, GaussianRelease):
            raise BadInput(
                f"a {type(event).__name__} has no exact Gaussian account",
                "epsilon_gdp counts GaussianRelease only",
                "Use epsilon_rdp or epsilon_pld",
            )
        square += count * event.mu**2
    return gdp_epsilon(math.sqrt(square), delta)


def epsilon_rdp(events: Iterable[Event], delta: float) -> float:
    return epsilon_of_curve(composed(events), delta)


def epsilon_pld(events: Iterable[Event], delta: float) -> float:
    counts = _counted(events)
    if not counts:
        return 0.0
    square = sum(e.mu**2 * n for e, n in counts.items() if isinstance(e, GaussianRelease))
    if all(isinstance(event, GaussianRelease) for event in counts):
        return gdp_epsilon(math.sqrt(square), delta)  # the distribution is Gaussian: no grid needed
    bound = epsilon_of_curve(_sum(counts), delta)
    if bound > HOPELESS:
        return bound
    # Rounded up in any case; a coarse step is ten times faster and invisible in a large epsilon.
    for step in (1e-3,) if bound > 4 else (1e-4, 1e-3):
        if _work(counts, square, bound, step) <= MOST_WORK:
            return min(bound, _by_distribution(counts, square, delta, step))
    return bound


def _work(counts: Mapping[Event, int], square: float, bound: float, step: float) -> float:
    """Seconds, about, for a distribution on a grid with this step: each kind of event is laid out
    as far as its losses reach, and joined to the sum of all. The factors were measured."""
    joined = 0.05 + 1e-6 * bound / step
    seconds = 5e-6 * (10 * math.sqrt(square) + square / 2) / step + joined
    for event, times in counts.items():
        match event:
            case PoissonGaussian(multiplier, rate, steps):
                if multiplier < LEAST_BY_DISTRIBUTION:
                    return math.inf
                whole = 10 / multiplier + 0.5 / multiplier**2
                least = math.log1p(-rate) if rate < 1 else -whole
                reach = float(np.logaddexp(least, math.log(rate) + whole)) - max(least, -whole)
                seconds += 14e-6 * reach / step + 3e-6 * times * steps + joined
            case LaplaceRelease(scale, count):
                seconds += 5e-6 * 2 / scale / step + 3e-6 * times * count + joined
            case GaussianRelease():
                pass  # all of them together are one
    return seconds


def _by_distribution(
    counts: Mapping[Event, int], square: float, delta: float, step: float = 1e-4
) -> float:
    dp_accounting = import_module("dp_accounting")
    accountant = import_module("dp_accounting.pld").PLDAccountant(
        value_discretization_interval=step
    )
    if square:
        accountant.compose(dp_accounting.GaussianDpEvent(1 / math.sqrt(square)))
    for event, count in counts.items():
        match event:
            case PoissonGaussian(multiplier, rate, steps):
                once = dp_accounting.PoissonSampledDpEvent(
                    rate, dp_accounting.GaussianDpEvent(multiplier)
                )
                accountant.compose(once, count * steps)
            case LaplaceRelease(scale, times):
                accountant.compose(dp_accounting.LaplaceDpEvent(scale), count * times)
            case GaussianRelease():
                pass  # all of them together are one
    return float(accountant.get_epsilon(delta))


def composed(events: Iterable[Event]) -> Curve:
    """The Renyi divergence of all events together, at each of ``ORDERS``; not to be written to."""
    return _composed(tuple(_counted(events).items()))


@lru_cache(maxsize=512)  # a history is looked at several times, and many hospitals share it
def _composed(counts: tuple[tuple[Event, int], ...]) -> Curve:
    curve = _sum(dict(counts))
    curve.flags.writeable = False
    return curve


def epsilon_of_curve(curve: Curve, delta: float) -> float:
    """Canonne, Kamath and Steinke 2020, proposition 12, at the best order."""
    return max(0.0, float(np.min(curve + _overhead(delta)))) if curve.any() else 0.0


def allowance(epsilon: float, delta: float) -> Curve:
    """At each order, the divergence that (epsilon, delta) leaves room for."""
    return epsilon - _overhead(delta)


@lru_cache(maxsize=8192)  # a thousand simulated hospitals have a thousand sampling rates
def renyi(event: Event) -> Curve:
    """The Renyi divergence of one event at each of ``ORDERS``; not to be written to."""
    match event:
        case GaussianRelease():
            curve = ORDERS * (event.mu**2 / 2)
        case LaplaceRelease(scale, count):
            a = ORDERS
            up = np.log(a / (2 * a - 1)) + (a - 1) / scale
            down = np.log((a - 1) / (2 * a - 1)) - a / scale
            curve = count * np.logaddexp(up, down) / (a - 1)
        case PoissonGaussian(multiplier, rate, steps):
            if rate == 1 or multiplier < LEAST_BY_DISTRIBUTION:  # sampling cannot make it worse
                curve = ORDERS * (steps / (2 * multiplier**2))
            else:
                curve = steps * _sampled(rate, multiplier)
    curve.flags.writeable = False
    return curve


def event_json(event: Event) -> str:
    """Canonical: equal events give equal text."""
    return json.dumps(
        {"event": type(event).__name__, **asdict(event)}, sort_keys=True, separators=(",", ":")
    )


@lru_cache(maxsize=4096)
def event_from_json(text: str) -> Event:
    try:
        fields: dict[str, Any] = json.loads(text)
        return _KINDS[fields.pop("event")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{text[:80]!r} is no privacy event ({error})") from error


def _counted(events: Iterable[Event]) -> dict[Event, int]:
    counts: dict[Event, int] = {}
    for event in events:
        counts[event] = counts.get(event, 0) + 1
    return counts


def _sum(counts: Mapping[Event, int]) -> Curve:
    total = np.zeros(len(ORDERS))
    for event, count in counts.items():
        total += count * renyi(event)
    return total


@lru_cache(maxsize=128)
def _overhead(delta: float) -> Curve:
    if not 0 < delta < 1:
        raise BadInput(f"delta must be above 0 and below 1, got {delta}", way_out="Try 1e-5")
    curve: Curve = np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    curve.flags.writeable = False
    return curve


def _sampled(rate: float, sigma: float) -> Curve:
    """One step of the Poisson-sampled Gaussian mechanism: log E[(1 - q + q L)^a] / (a - 1), with L
    the likelihood ratio of normals with means 1 and 0. Low orders by the trapezoid rule, which is
    exact to rounding for an analytic integrand with Gaussian tails; high ones by the binomial."""
    low = ORDERS[ORDERS < 11][:, None]
    z = np.arange(-12.0, 12.0 + float(low.max()) / sigma, min(0.1, sigma / 2))
    ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + z / sigma - 0.5 / sigma**2)
    terms = low * ratio - z * z / 2
    top = terms.max(axis=1, keepdims=True)
    mass = np.exp(terms - top).sum(axis=1) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    moments = [*(top[:, 0] + np.log(mass)), *(_whole_moment(rate, sigma, int(a)) for a in _HIGH)]
    curve: Curve = np.maximum(0.0, moments) / (ORDERS - 1)
    return curve


_HIGH = ORDERS[ORDERS >= 11].tolist()


def _whole_moment(rate: float, sigma: float, order: int) -> float:
    k = np.arange(order + 1)
    terms = _log_choose(order) + k * math.log(rate) + (order - k) * math.log1p(-rate)
    terms += k * (k - 1) / (2 * sigma**2)
    top = float(terms.max())
    return top + math.log(float(np.exp(terms - top).sum()))


@lru_cache(maxsize=128)
def _log_choose(order: int) -> Curve:
    factorial = np.array([math.lgamma(k + 1) for k in range(order + 1)])
    chosen: Curve = factorial[-1] - factorial - factorial[::-1]
    return chosen


def _above_0(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < 1e300:
            raise BadInput(
                f"{name} must be finite and above 0, got {value}",
                way_out="To train without noise, set privacy.mechanism: none",
            )


def _noise(**values: float) -> None:
    _above_0(**values)
    for name, value in values.items():
        if value < LEAST_NOISE:
            raise BadInput(
                f"{name} is {value:g}",
                f"noise under {LEAST_NOISE:g} hides nothing that can be counted",
                "To train without noise, set privacy.mechanism: none",
            )


def _whole(**values: int) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
            raise BadInput(
                f"{name} must be a whole number of 1 or more, got {value!r:.60}", "2^53 at most"
            )
