"""The Gaussian mechanism, exactly: no bound that is proved for small epsilon only.

A Gaussian release with noise sigma and sensitivity 1 is mu-GDP with mu = 1 / sigma (Dong, Roth and
Su 2022), and the squares of mu add up over releases whose noise was fixed beforehand, whatever the
earlier answers were. One curve then ties everything together (Balle and Wang 2018):

    delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)

Where a result must be rounded, it is rounded to the private side: mu down, sigma and epsilon up.
Both searches are remembered, as hospitals with one history ask for one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from aegis.errors import BadInput

_ROOT_2 = math.sqrt(2.0)


def gdp_delta(mu: float, epsilon: float) -> float:
    """The smallest delta with which a mu-GDP mechanism is (epsilon, delta)-private."""
    if mu <= 0:
        return 0.0
    near, far = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
    return max(0.0, math.exp(_log_phi(near)) - math.exp(epsilon + _log_phi(far)))


@lru_cache(maxsize=4096)
def gdp_mu(epsilon: float, delta: float) -> float:
    """The largest mu whose mechanism is (epsilon, delta)-private."""
    _check(epsilon, delta)
    return _edge(lambda mu: gdp_delta(mu, epsilon) <= delta)[0]


@lru_cache(maxsize=4096)
def gdp_epsilon(mu: float, delta: float) -> float:
    """The smallest epsilon that a mu-GDP mechanism guarantees with this delta."""
    _check(1.0, delta)
    if not (math.isfinite(mu) and mu >= 0):
        raise BadInput(f"mu must be finite and not negative, got {mu}")
    if gdp_delta(mu, 0.0) <= delta:
        return 0.0
    return _edge(lambda epsilon: gdp_delta(mu, epsilon) > delta)[1]


def gaussian_sigma(epsilon: float, delta: float) -> float:
    """The smallest noise, in units of the sensitivity, that makes one release
    (epsilon, delta)-private."""
    return math.nextafter(1 / gdp_mu(epsilon, delta), math.inf)


def check_target(epsilon: float, delta: float, examples: int) -> None:
    """Whether a promise of (epsilon, delta) to each of ``examples`` patients is one.

    delta may be at most 1e-5 and at most 1 / (10 n): with delta near 1 / n a mechanism may publish
    a patient's whole record and still keep the promise. Raises ``BadInput``.
    """
    _check(epsilon, delta)
    if examples < 1:
        raise BadInput(f"{examples} patients cannot be promised anything", "at least one is needed")
    most = min(1e-5, 1 / (10 * examples))
    if delta > most:
        raise BadInput(
            f"privacy.delta is {delta:g}",
            f"for {examples} patients {most:.3g} is the most, the lesser of 1e-5 and 1/(10 n)",
            f"Set privacy.delta: {_short(most)}",
        )


def _short(most: float) -> str:
    """Two digits, rounded down."""
    digits = 10.0 ** (1 - math.floor(math.log10(most)))
    return f"{math.floor(most * digits * (1 + 1e-12)) / digits:g}"


def _check(epsilon: float, delta: float) -> None:
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise BadInput(
            f"epsilon must be finite and above 0, got {epsilon}",
            way_out="To switch privacy off, set privacy.mechanism: none",
        )
    if not 0 < delta < 1:
        raise BadInput(f"delta must be above 0 and below 1, got {delta}", way_out="Try 1e-5")


def _edge(before: Callable[[float], bool]) -> tuple[float, float]:
    """The last float for which ``before`` holds and the first for which it does not."""
    low, high = 0.0, 1.0
    while before(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if before(middle) else (low, middle)
    return low, high


def _log_phi(x: float) -> float:
    """log of the standard normal distribution function."""
    if x > -20:
        return math.log(math.erfc(-x / _ROOT_2) / 2)
    # Below -20 by the continued fraction of the upper tail, before erfc runs out of digits.
    tail = -x
    for k in range(40, 0, -1):
        tail = -x + k / tail
    return -x * x / 2 - math.log(tail) - 0.5 * math.log(2 * math.pi)
