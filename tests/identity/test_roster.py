"""The roster that a run pins."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import AegisError, BadInput
from aegis.identity.roster import Roster

NAMES = st.lists(st.text(min_size=1, max_size=4), unique=True, min_size=1, max_size=5)
KEYS = [bytes([i]) * 32 for i in range(6)]


@given(NAMES, st.randoms())
@settings(max_examples=200)
def test_the_digest_depends_on_who_has_which_key_and_on_nothing_else(names, random):
    members = list(zip(names, KEYS, strict=False))
    roster = Roster(tuple(members))
    shuffled = random.sample(members, len(members))
    assert Roster(tuple(shuffled)).sha256 == roster.sha256
    assert roster.names == tuple(sorted(names))
    assert all(roster.key(name).raw == key for name, key in members)
    changed = [(members[0][0], KEYS[5]), *members[1:]]
    assert Roster(tuple(changed)).sha256 != roster.sha256
    assert Roster(tuple(members[1:])).sha256 != roster.sha256


def test_names_cannot_run_into_keys():
    one = Roster((("a", KEYS[1]), ("b", KEYS[2])))
    assert len({one.sha256, Roster((("ab", KEYS[1]),)).sha256, Roster(()).sha256}) == 3


@pytest.mark.parametrize(
    "members",
    [
        (("a", KEYS[0]), ("a", KEYS[1])),
        (("a", KEYS[0]), ("b", KEYS[0])),
        (("a", b"short"),),
    ],
)
def test_a_name_or_a_key_that_stands_twice_is_refused(members):
    with pytest.raises(AegisError):
        Roster(members)


def test_a_stranger_has_no_key():
    with pytest.raises(BadInput, match="not in the roster"):
        Roster((("a", KEYS[0]),)).key("b")
