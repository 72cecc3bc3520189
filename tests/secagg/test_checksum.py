"""An opened sum that is not the true one is found out by the hospitals."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import CheckFailed
from aegis.secagg import Encoding, Slot, combiner, groups
from aegis.secagg.checksum import LIMBS, P, check, group_key, tag
from aegis.secagg.masks import derived, keystream
from tests.secagg.sealed import Federation, some_vectors

KEY = bytes(range(32))
CONTEXT = Federation(3).context


def signed(vector):
    return [int(v) for v in vector.view(np.int64 if vector.itemsize == 8 else np.int32)]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1, 2, 511, 512, 513, 5000]), st.integers(0, 2**32), st.booleans())
def test_a_tag_is_the_linear_form_that_it_claims_to_be(size, seed, narrow):
    kind = np.uint32 if narrow else np.uint64
    vector = np.random.default_rng(seed).integers(0, 2**64, size, np.uint64).astype(kind)
    width = min(512, size)
    drawn = keystream(derived(KEY, b"coefficients"), width - (-size // width))
    drawn = [int(number) & P for number in drawn]
    product = sum(
        drawn[width + at // width] * drawn[at % width] * number
        for at, number in enumerate(signed(vector))
    )
    offset = int.from_bytes(derived(KEY, CONTEXT.bound("offset", "h000")), "big")
    limbs, expected = tag(KEY, CONTEXT, "h000", vector), (product + offset) % P
    for limb, bits in zip(limbs, LIMBS[8 * vector.itemsize], strict=True):
        assert limb == expected % 2**bits
        expected >>= bits
    assert expected == 0


@pytest.mark.parametrize("bits", [64, 32])
def test_the_limbs_of_128_tags_never_wrap_around(bits):
    assert sum(LIMBS[bits]) >= 61
    assert all(128 * (2**limb - 1) < 2**bits for limb in LIMBS[bits])


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 8), st.integers(1, 600), st.integers(0, 2**32), st.booleans())
def test_tags_of_the_parts_fit_the_sum_and_no_other(count, size, seed, narrow):
    names = [f"h{n:03}" for n in range(count)]
    vectors = some_vectors(names, size, seed, 32 if narrow else 64)
    limbs = np.sum([tag(KEY, CONTEXT, name, vectors[name]) for name in names], axis=0)
    total = sum(vectors.values())
    check(KEY, CONTEXT, names, total, limbs)
    rng = random.Random(seed)
    changed = total.copy()
    changed[rng.randrange(size)] ^= total.dtype.type(1 << rng.randrange(8 * total.itemsize))
    with pytest.raises(CheckFailed):
        check(KEY, CONTEXT, names, changed, limbs)
    with pytest.raises(CheckFailed):
        check(KEY, CONTEXT, names[1:], total, limbs)
    with pytest.raises(CheckFailed):
        check(derived(KEY, b"other"), CONTEXT, names, total, limbs)
    moved = limbs.copy()
    moved[0] += 1
    with pytest.raises(CheckFailed):
        check(KEY, CONTEXT, names, total, moved)


def test_everybodys_part_is_in_the_key():
    parts = {"a": bytes(32), "b": b"\1" * 32}
    keys = {
        group_key(CONTEXT, parts),
        group_key(CONTEXT, {**parts, "b": b"\2" * 32}),
        group_key(CONTEXT, {"a": bytes(32)}),
        group_key(replace(CONTEXT, attempt=2), parts),
    }
    assert len(keys) == 4


def opened(federation, size=20):
    vectors = some_vectors(federation.names, size, 5)
    return federation.run(vectors)


@pytest.mark.parametrize("hospitals", [3, 5])
@pytest.mark.parametrize("where", [0, 7, 19, 20, 21])
@pytest.mark.parametrize("change", [1, 2**32, 2**63, 2**64 - 1])
def test_every_hospital_rejects_an_opened_sum_with_one_value_changed(hospitals, where, change):
    federation = Federation(hospitals)
    opening = opened(federation)
    total = opening.groups[0].total.copy()
    total[where : where + 1] += np.uint64(change)
    forged = replace(opening, groups=(replace(opening.groups[0], total=total),))
    replies = federation.checked(forged)
    assert [name for name, _ in combiner.doubts(forged, replies)] == federation.names


def test_a_sum_moved_by_the_modulus_is_refused_by_its_size():
    federation = Federation(3)
    opening = opened(federation)
    total = opening.groups[0].total.copy()
    total[4:5] -= np.uint64(P)
    forged = replace(opening, groups=(replace(opening.groups[0], total=total),))
    for reply in federation.checked(forged).values():
        assert "an opened sum beyond 2^60" in reply.fault


def test_an_opened_sum_beyond_the_slots_is_refused():
    encoding = Encoding((Slot("x", 20, 8.0, 24),), 3)
    federation = Federation(3, options={"encoding": encoding})
    vectors = {n: encoding.encode({"x": np.full(20, 1.5)}) for n in federation.names}
    opening = federation.run(vectors)
    total = opening.groups[0].total.copy()
    total[4] = 2**40
    forged = replace(opening, groups=(replace(opening.groups[0], total=total),))
    for reply in federation.checked(forged).values():
        assert "the sum of x is beyond 3 times 8" in reply.fault


@pytest.mark.parametrize(
    "change",
    [
        lambda group: replace(group, survivors=group.survivors[1:]),
        lambda group: replace(group, total=group.total[:-1]),
        lambda group: replace(group, total=group.total.astype(np.uint32)),
        lambda group: replace(group, total=group.total.reshape(1, -1)),
        lambda group: replace(group, total=group.total[:0]),
    ],
)
def test_another_form_or_other_survivors_are_refused(change):
    federation = Federation(5)
    opening = opened(federation)
    forged = change(opening.groups[0])
    for name in federation.names:
        request = combiner.requests(opening)[name]
        request = replace(request, total=forged.total, survivors=forged.survivors)
        assert federation.answer(name, request, {}).fault


def test_the_sum_of_another_group_is_refused():
    federation = Federation(9, groups(3))
    opening = opened(federation)
    first, second, _ = opening.groups
    for name in first.survivors:
        request = combiner.requests(opening)[name]
        assert federation.answer(name, replace(request, total=second.total), {}).fault


def test_the_coordinator_sees_no_contribution_to_the_key():
    federation = Federation(4, entropy=None)
    opening = opened(federation)
    keys = {one._checksum_key for one in federation.participants.values()}
    assert len(keys) == 1
    assert len(opening.groups) == 1
    for _, reply in federation.told:
        for share in getattr(reply, "shares", {}).values():
            assert next(iter(keys)) not in share
