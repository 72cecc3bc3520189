"""Identities, and rotations that only the owner of the old key can make."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import AegisError, CheckFailed, DataError
from aegis.identity.identity import Identity, PublicIdentity, Rotation, followed
from aegis.identity.keys import PublicKey, SigningKey

MERCY, OTHER = Identity.generate("mercy"), Identity.generate("other")
ROTATED = MERCY.rotated(1_700_000_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def test_an_identity_and_a_rotation_survive_being_written_down():
    assert PublicIdentity.from_json(MERCY.public.as_json()) == MERCY.public
    (rotation,) = ROTATED.rotations
    assert Rotation.from_json(rotation.as_json()) == rotation
    rotation.verify()


def test_the_fingerprint_covers_the_name_and_both_keys():
    public = MERCY.public
    others = [
        replace(public, name="mercy2"),
        replace(public, signing=OTHER.public.signing),
        replace(public, sealing=OTHER.public.sealing),
    ]
    assert len({one.fingerprint for one in (public, *others)}) == 4


def test_a_chain_of_rotations_leads_from_a_known_key_to_the_present_one():
    later = ROTATED.rotated(1_700_000_001).rotated(1_700_000_002, hybrid=True)
    assert followed(MERCY.public, later.rotations) == later.public
    assert followed(ROTATED.public, later.rotations[1:]) == later.public
    assert followed(MERCY.public, ()) == MERCY.public
    assert later.public.sealing.kind == "mlkem768x25519"
    assert later.rotated(1_700_000_003).public.sealing.kind == "mlkem768x25519"
    for broken in (later.rotations[1:], later.rotations[::-1], later.rotations[::2]):
        with pytest.raises(CheckFailed, match="do not begin"):
            followed(MERCY.public, broken)


def test_a_rotation_that_was_tampered_with_is_refused():
    (good,) = ROTATED.rotations
    thief = Identity.generate("mercy")
    stolen = Rotation.statement(MERCY.public, thief.public, good.time)
    by_thief = thief.signing.sign("aegis/rotation/v1", stolen)
    forged = [
        replace(good, new=thief.public),
        replace(good, time=good.time + 1),
        replace(good, by_old=good.by_new),
        replace(good, by_new=good.by_old),
        replace(good, old=OTHER.public),
        replace(good, new=MERCY.public),
        replace(good, new=replace(good.new, name="other")),
        replace(good, new=replace(good.new, sealing=OTHER.public.sealing)),
        Rotation(MERCY.public, thief.public, good.time, by_thief, by_thief, good.handover),
        replace(good, handover=good.by_old),
    ]
    for rotation in forged:
        with pytest.raises(CheckFailed):
            followed(MERCY.public, [rotation])


def test_a_rotation_to_a_key_that_nobody_holds_is_refused():
    held = SigningKey.generate()
    new = replace(MERCY.public, signing=OTHER.public.signing)
    statement = Rotation.statement(MERCY.public, new, 1)
    by_old = MERCY.signing.sign("aegis/rotation/v1", statement)
    rotation = Rotation(
        MERCY.public, new, 1, by_old, held.sign("aegis/rotation/v1", statement), b""
    )
    with pytest.raises(CheckFailed, match="new key"):
        rotation.verify()


@given(st.dictionaries(st.sampled_from(["name", "signing", "sealing", "x"]), JSON))
@settings(max_examples=200)
def test_what_is_no_identity_is_refused_in_one_sentence(document):
    with pytest.raises(DataError):
        PublicIdentity.from_json(document)


@given(st.sampled_from(["old", "new", "time", "by_old", "by_new", "handover"]), JSON)
@settings(max_examples=200)
def test_a_rotation_with_any_other_field_is_never_taken(field, value):
    document = ROTATED.rotations[0].as_json()
    if document[field] == value:
        return
    with pytest.raises(AegisError):
        Rotation.from_json({**document, field: value}).verify()


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize(
    "digits",
    [
        "01" + "00" * 31,
        "00" * 32,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
    ],
)
def test_a_key_under_which_one_signature_fits_many_messages_is_refused(digits, sign):
    raw = bytearray.fromhex(digits)
    raw[31] |= sign
    nobody = PublicKey(bytes(raw))
    nothing = bytes([1]) + bytes(31) + bytes(32)  # R is the neutral point, S is 0
    fits = sum(nobody.verifies("x", bytes([i]), nothing) for i in range(64))
    assert fits > 1 or sign  # with the sign bit some of them are no points at all
    with pytest.raises(DataError, match="every signature"):
        PublicIdentity.from_json({**MERCY.public.as_json(), "signing": nobody.hex})


def test_private_keys_are_not_shown():
    assert MERCY.signing.raw.hex() not in repr(MERCY)
    assert MERCY.sealing.curve.private_bytes_raw().hex() not in repr(MERCY)
