"""Groups come out of what the hospitals reveal, and nobody chooses what that is."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.secagg import Beacon, Context, complete, groups
from aegis.secagg.beacon import follows, place
from aegis.secagg.sums import Aborted, Opening
from tests.secagg.sealed import Federation, some_vectors, true_sum

CONTEXT = Context("run", 1, 1, "train", "roster", "plan", "schema")


def reveals(count, seed=0):
    return {f"h{n:03}": hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(count)}


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 60), st.integers(3, 7), st.integers(0, 2**32))
def test_groups_hold_everybody_once_and_only_the_last_are_larger(count, size, seed):
    found = groups(size).groups(CONTEXT, reveals(count, seed))
    if count < size:
        assert found == ()
        return
    assert sorted(name for group in found for name in group) == sorted(reveals(count))
    sizes = [len(group) for group in found]
    assert sizes == sorted(sizes)
    assert sizes[0] >= size
    assert len(sizes) == count // size
    assert all(group == tuple(sorted(group)) for group in found)


def test_without_groups_everybody_is_in_one():
    assert complete().groups(CONTEXT, reveals(5)) == (tuple(reveals(5)),)


def test_any_reveal_and_the_context_change_the_draw():
    first = groups(3).groups(CONTEXT, reveals(12))
    assert groups(3).groups(CONTEXT, reveals(12)) == first
    assert groups(3).groups(replace(CONTEXT, attempt=2), reveals(12)) != first
    changed = {**reveals(12), "h007": bytes(32)}
    assert groups(3).groups(CONTEXT, changed) != first


def test_every_pair_is_as_likely_to_share_a_group():
    count, draws = 9, 4000
    pairs = Counter()
    for seed in range(draws):
        for group in groups(3).groups(CONTEXT, reveals(count, seed)):
            pairs.update((a, b) for a in group for b in group if a < b)
    expected = draws * 9 / 36  # each draw makes 9 of 36 pairs
    chi2 = sum((pairs[a, b] - expected) ** 2 / expected for a, b in pairs)
    assert len(pairs) == 36
    assert chi2 < 75  # 35 degrees of freedom, p < 1e-4


def test_groups_of_two_are_refused():
    with pytest.raises(BadInput, match="3 or more hide a member"):
        groups(2)


BEACONS = {f"h{n:03}": Beacon(bytes([n]) * 32, rounds=5, attempts=3) for n in range(9)}
ANCHORS = {name: beacon.anchor for name, beacon in BEACONS.items()}


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 5),
    st.integers(1, 3),
    st.sampled_from(["statistics", "train", "evaluate", "final"]),
    st.binary(min_size=32, max_size=32),
)
def test_a_reveal_leads_to_its_anchor_and_nothing_else_does(round, attempt, purpose, other):
    context = replace(CONTEXT, round=round, attempt=attempt, purpose=purpose)
    beacon = BEACONS["h001"]
    reveal = beacon.reveal(context)
    assert follows(beacon.anchor, reveal, context, 3)
    assert not follows(beacon.anchor, other, context, 3)
    assert not follows(ANCHORS["h002"], reveal, context, 3)
    later = replace(context, round=round + 1)
    assert not follows(beacon.anchor, reveal, later, 3)
    if round < 5:
        assert beacon.reveal(later) != reveal


def test_a_later_sum_stands_further_from_the_anchor():
    order = [
        place(replace(CONTEXT, round=round, purpose=purpose, attempt=attempt), 3)
        for round in range(6)
        for purpose in ("statistics", "train", "evaluate", "final")
        for attempt in range(1, 4)
    ]
    assert order == sorted(set(order))
    assert max(order) <= BEACONS["h000"].length


def test_a_chain_ends_with_its_plan():
    with pytest.raises(BadInput, match="the chain ends with round 5"):
        BEACONS["h000"].reveal(replace(CONTEXT, round=6, purpose="train"))
    with pytest.raises(BadInput):
        BEACONS["h000"].reveal(replace(CONTEXT, attempt=4))


class Anchored(Federation):
    def participant(self, name, **options):
        return super().participant(name, beacon=BEACONS[name], **options)


def test_each_group_is_summed_by_itself_and_small_rests_stay_closed():
    federation = Anchored(9, groups(3, ANCHORS, 3))
    vectors = some_vectors(federation.names, 10, 4)
    drawn = federation.topology.groups(
        federation.context,
        {name: beacon.reveal(federation.context) for name, beacon in BEACONS.items()},
    )
    outcome = federation.run(vectors, [[], [], [drawn[1][0]], [], []])
    assert isinstance(outcome, Opening)
    assert [group.survivors for group in outcome.groups] == [drawn[0], drawn[2]]
    for group in outcome.groups:
        assert np.array_equal(group.vector, true_sum(vectors, group.survivors))
    closed = set(drawn[1])
    for _, reply in federation.told:
        shares = {*getattr(reply, "self_shares", ()), *getattr(reply, "mask_shares", ())}
        assert not shares & closed


def test_where_no_group_keeps_three_nothing_is_opened():
    federation = Anchored(4, groups(3, dict(list(ANCHORS.items())[:4]), 3))
    gone = federation.names[:1]
    outcome = federation.run(some_vectors(federation.names, 4, 1), [[], [], gone, [], []])
    assert isinstance(outcome, Opening)  # the one group of four keeps three
    federation = Anchored(9, groups(3, ANCHORS, 3))
    reveal = {name: beacon.reveal(federation.context) for name, beacon in BEACONS.items()}
    drawn = federation.topology.groups(federation.context, reveal)
    each = [group[0] for group in drawn]
    outcome = federation.run(some_vectors(federation.names, 4, 1), [[], [], each[:2], [], []])
    assert [group.survivors for group in outcome.groups] == [drawn[2]]
    federation = Anchored(6, groups(3, dict(list(ANCHORS.items())[:6]), 3))
    federation.options = {"least": 4}
    federation.participants = {n: federation.participant(n) for n in federation.names}
    drawn = federation.topology.groups(
        federation.context, {n: BEACONS[n].reveal(federation.context) for n in federation.names}
    )
    both = [group[0] for group in drawn]
    outcome = federation.run(some_vectors(federation.names, 4, 1), [[], [], both, [], []])
    assert isinstance(outcome, Aborted)
    assert outcome.reason == "no group kept three hospitals"


def test_a_hospital_with_another_reveal_than_its_anchor_leads_to_is_left_out():
    federation = Anchored(9, groups(3, ANCHORS, 3))
    cheat = Federation.participant(federation, "h004")  # reveals random bytes
    federation.participants["h004"] = cheat
    outcome = federation.run(some_vectors(federation.names, 4, 1))
    assert ("h004", "a reveal that does not lead to its anchor") in outcome.blamed
    assert "h004" not in outcome.survivors
