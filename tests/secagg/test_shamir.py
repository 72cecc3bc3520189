"""Any t of the shares give the secret, t - 1 nothing, and wrong shares are found."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import CheckFailed
from aegis.secagg.shamir import PRIME, SHARE_BYTES, combine, decode, element, recover, split

SECRETS = st.binary(min_size=32, max_size=32)


@st.composite
def sharings(draw):
    n = draw(st.integers(3, 12))
    t = draw(st.integers(2, n))
    places = draw(st.permutations(range(1, 2 * n)))[:n]
    return draw(SECRETS), t, places, random.Random(draw(st.integers(0, 2**32)))


@settings(max_examples=200, deadline=None)
@given(sharings())
def test_any_t_shares_give_the_secret_and_t_minus_1_do_not(sharing):
    secret, t, places, rng = sharing
    shares = split(secret, t, places, rng.randbytes)
    chosen = rng.sample(places, t)
    assert combine({at: shares[at] for at in chosen}) == secret
    assert combine({at: shares[at] for at in chosen[:-1]}) != secret


@settings(max_examples=200, deadline=None)
@given(sharings(), SECRETS)
def test_t_minus_1_shares_fit_every_secret_equally_well(sharing, other):
    secret, t, places, rng = sharing
    shares = split(secret, t, places, rng.randbytes)
    few = {at: shares[at] for at in places[: t - 1]}
    # For any other secret there is a share of the last place that goes with these.
    zero = {0: b"\0" * 34 + other, **few}
    missing = places[-1]
    moved = {at - missing: share for at, share in zero.items()}
    through = _at_zero({at: int.from_bytes(share, "big") for at, share in moved.items()})
    last = {missing: through.to_bytes(SHARE_BYTES, "big")}
    assert combine({**few, **last}) == other


def _at_zero(points):
    total = 0
    for at, value in points.items():
        above, below = 1, 1
        for other in points:
            if other != at:
                above, below = above * -other % PRIME, below * (at - other) % PRIME
        total += value * above * pow(below, -1, PRIME)
    return total % PRIME


@settings(max_examples=200, deadline=None)
@given(sharings())
def test_half_of_the_shares_to_spare_may_be_wrong_and_are_named(sharing):
    secret, t, places, rng = sharing
    shares = split(secret, t, places, rng.randbytes)
    liars = rng.sample(places, (len(places) - t) // 2)
    for liar in liars:
        shares[liar] = rng.randrange(PRIME).to_bytes(SHARE_BYTES, "big")
    polynomial = decode(shares, t)
    assert polynomial is not None
    assert polynomial[0] == int.from_bytes(secret, "big")
    found, wrong = recover(shares, t, lambda value: value == secret)
    assert found == secret
    assert set(wrong) <= set(liars)


@settings(max_examples=200, deadline=None)
@given(sharings())
def test_one_wrong_share_is_named_where_one_is_to_spare(sharing):
    secret, t, places, rng = sharing
    shares = split(secret, t, places, rng.randbytes)
    first = min(places)
    shares[first] = rng.randrange(PRIME).to_bytes(SHARE_BYTES, "big")
    found, wrong = recover(shares, t, lambda value: value == secret)
    if len(places) > t:
        assert (found, wrong) == (secret, (first,))
    else:
        assert (found, wrong) == (None, ())


def test_fewer_shares_than_the_threshold_recover_nothing():
    shares = split(os.urandom(32), 3, [1, 2, 3, 4], os.urandom)
    del shares[1], shares[2]
    assert recover(shares, 3, lambda value: True) == (None, ())


def test_shares_are_uniform_over_the_field():
    # The top byte of 521 bits is one bit; the next is uniform over 256 values, secret or not.
    drawn = [split(b"\xff" * 32, 2, [1, 2], os.urandom)[1][2] for _ in range(4096)]
    counts = [drawn.count(value) for value in range(256)]
    chi2 = sum((count - 16) ** 2 / 16 for count in counts)
    assert chi2 < 360  # p = 1e-5 with 255 degrees of freedom


@pytest.mark.parametrize(
    "wrong", [b"", b"\0" * 65, b"\0" * 67, PRIME.to_bytes(SHARE_BYTES, "big"), b"\xff" * 66]
)
def test_what_is_no_number_of_the_field_is_refused(wrong):
    with pytest.raises(CheckFailed):
        element(wrong)


@pytest.mark.parametrize(
    ("secret", "t", "places"),
    [
        (b"short", 2, [1, 2, 3]),
        (bytes(32), 4, [1, 2, 3]),
        (bytes(32), 2, [1, 1, 2]),
        (bytes(32), 2, [0, 1]),
    ],
)
def test_an_impossible_sharing_is_refused(secret, t, places):
    with pytest.raises(CheckFailed):
        split(secret, t, places, os.urandom)
