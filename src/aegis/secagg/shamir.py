"""Shamir's secret sharing over the prime field of 2^521 - 1 (Shamir, CACM 1979).

Any t of the shares give the secret, t - 1 say nothing about it. Where some shares are wrong, the
rest is decoded as the Reed-Solomon code that it is (Gao, 2003), and the wrong ones are named. The
arithmetic is not constant-time: a secret lives for one attempt at one sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from aegis.errors import CheckFailed

PRIME = 2**521 - 1
SECRET_BYTES = 32
SHARE_BYTES = 66

Polynomial = list[int]  # coefficients, the constant first


def split(
    secret: bytes, threshold: int, places: Sequence[int], entropy: Callable[[int], bytes]
) -> dict[int, bytes]:
    """One share of 66 bytes for each place (distinct, above 0)."""
    if len(secret) != SECRET_BYTES:
        raise CheckFailed(f"a secret of {len(secret)} bytes", f"{SECRET_BYTES} are shared")
    if len(set(places)) != len(places) or min(places) < 1 or not 1 <= threshold <= len(places):
        raise CheckFailed(f"{len(places)} places for a threshold of {threshold}")
    polynomial = [int.from_bytes(secret, "big")]
    polynomial += [_element(entropy) for _ in range(threshold - 1)]
    return {at: _value(polynomial, at).to_bytes(SHARE_BYTES, "big") for at in places}


def combine(shares: Mapping[int, bytes]) -> bytes | None:
    """What the polynomial through all the shares is at 0; nothing where that is no secret."""
    places = tuple(sorted(shares))
    numbers = [element(shares[at]) for at in places]
    pairs = zip(_weights(places), numbers, strict=True)
    return _secret(sum(weight * number for weight, number in pairs) % PRIME)


def recover(
    shares: Mapping[int, bytes], threshold: int, holds: Callable[[bytes], bool]
) -> tuple[bytes | None, tuple[int, ...]]:
    """The secret that ``holds``, and the places of the shares that do not belong to it.

    Up to half of the shares beyond the threshold may be wrong; one may be if there is any to
    spare. Shares are looked at beyond the first t only if those fail.
    """
    places = sorted(shares)
    if len(places) < threshold:
        return None, ()
    first = combine({at: shares[at] for at in places[:threshold]})
    if first is not None and holds(first):
        return first, ()
    decoded = decode(shares, threshold)
    if decoded is not None:
        secret = _secret(decoded[0])
        if secret is not None and holds(secret):
            return secret, _strangers(decoded, shares)
    if len(places) > threshold:
        for left_out in places[:threshold]:
            rest = [at for at in places if at != left_out][:threshold]
            secret = combine({at: shares[at] for at in rest})
            if secret is not None and holds(secret):
                through = _interpolated(rest, [element(shares[at]) for at in rest])
                return secret, _strangers(through, shares)
    return None, ()


def decode(shares: Mapping[int, bytes], threshold: int) -> Polynomial | None:
    """The polynomial of degree below the threshold that all but (m - t) / 2 of the shares lie on;
    nothing where there is none."""
    places = sorted(shares)
    count = len(places)
    before, rest = (
        _through_zero(places),
        _interpolated(places, [element(shares[p]) for p in places]),
    )
    v0: Polynomial = []
    v1: Polynomial = [1]
    while 2 * (len(rest) - 1) >= count + threshold:
        quotient, remainder = _divided(before, rest)
        before, rest = rest, remainder
        v0, v1 = v1, _minus(v0, _times(quotient, v1))
    found, remainder = _divided(rest, v1)
    if remainder or len(found) > threshold:
        return None
    return found or [0]


def element(share: bytes) -> int:
    """Raises ``CheckFailed`` for bytes that are no share."""
    number = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or number >= PRIME:
        raise CheckFailed(
            f"a share of {len(share)} bytes", f"a number below 2^521-1 in {SHARE_BYTES}"
        )
    return number


def _element(entropy: Callable[[int], bytes]) -> int:
    while True:
        number = int.from_bytes(entropy(SHARE_BYTES), "big") >> 7
        if number < PRIME:
            return number


def _secret(number: int) -> bytes | None:
    return number.to_bytes(SECRET_BYTES, "big") if number < 1 << (8 * SECRET_BYTES) else None


def _value(polynomial: Iterable[int], at: int) -> int:
    total = 0
    for coefficient in reversed(list(polynomial)):
        total = (total * at + coefficient) % PRIME
    return total


def _strangers(polynomial: Polynomial, shares: Mapping[int, bytes]) -> tuple[int, ...]:
    return tuple(at for at in sorted(shares) if _value(polynomial, at) != element(shares[at]))


@lru_cache(maxsize=256)
def _weights(places: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights at 0."""
    found = []
    for at in places:
        above, below = 1, 1
        for other in places:
            if other != at:
                above, below = above * other % PRIME, below * (other - at) % PRIME
        found.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(found)


def _through_zero(places: Sequence[int]) -> Polynomial:
    found = [1]
    for at in places:
        found = [
            (lower - at * upper) % PRIME
            for lower, upper in zip([0, *found], [*found, 0], strict=True)
        ]
    return found


def _interpolated(places: Sequence[int], values: Sequence[int]) -> Polynomial:
    """Newton's form, multiplied out."""
    steps = list(values)
    for order in range(1, len(places)):
        for row in range(len(places) - 1, order - 1, -1):
            gap = pow(places[row] - places[row - order], -1, PRIME)
            steps[row] = (steps[row] - steps[row - 1]) * gap % PRIME
    found: Polynomial = []
    for at, step in zip(reversed(places), reversed(steps), strict=True):
        shifted = [
            (low - at * up) % PRIME for low, up in zip([0, *found], [*found, 0], strict=True)
        ]
        shifted[0] = (shifted[0] + step) % PRIME
        found = shifted
    return _trimmed(found)


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial


def _minus(a: Polynomial, b: Polynomial) -> Polynomial:
    size = max(len(a), len(b))
    a, b = a + [0] * (size - len(a)), b + [0] * (size - len(b))
    return _trimmed([(x - y) % PRIME for x, y in zip(a, b, strict=True)])


def _times(a: Polynomial, b: Polynomial) -> Polynomial:
    found = [0] * max(0, len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            found[i + j] = (found[i + j] + x * y) % PRIME
    return _trimmed(found)


def _divided(a: Polynomial, b: Polynomial) -> tuple[Polynomial, Polynomial]:
    rest, quotient = list(a), [0] * max(0, len(a) - len(b) + 1)
    leading = pow(b[-1], -1, PRIME)
    for shift in range(len(a) - len(b), -1, -1):
        factor = rest[shift + len(b) - 1] * leading % PRIME
        quotient[shift] = factor
        if factor:
            for i, coefficient in enumerate(b):
                rest[shift + i] = (rest[shift + i] - factor * coefficient) % PRIME
    return _trimmed(quotient), _trimmed(rest[: len(b) - 1])
