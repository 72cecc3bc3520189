"""The list of members: signed, never taken back, and no key exchanged unseen."""

import json
import os
from dataclasses import replace

import pytest

from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.identity.identity import Identity
from aegis.identity.keys import SigningKey
from aegis.identity.membership import Membership, MembershipFile

AUTHORITY = SigningKey.generate()
MERCY, OTHER, DESK = (Identity.generate(name) for name in ("mercy", "other", "desk"))
FIRST = (
    Membership("hearts")
    .admitted(MERCY.public)
    .admitted(OTHER.public)
    .admitted(DESK.public, "coordinator")
)


def test_a_signed_list_comes_back_as_it_was():
    rotated = MERCY.rotated(1)
    lived = FIRST.rotated(*rotated.rotations).revoked_member("other", "laptop stolen", 2)
    lived = lived.admitted(Identity.generate("other").public)
    for members in (Membership("hearts"), FIRST, lived):
        assert Membership.read(members.signed(AUTHORITY), AUTHORITY.public) == members
    assert lived.number == 6
    assert lived.sha256 != FIRST.sha256


def test_the_roster_of_a_run_has_the_hospitals_that_count():
    assert FIRST.roster.names == ("mercy", "other")
    assert FIRST.revoked_member("other", "", 1).roster.names == ("mercy",)
    assert FIRST.roster.key("mercy") == MERCY.public.signing


def test_a_list_of_another_authority_or_with_a_changed_byte_is_refused():
    data = FIRST.signed(AUTHORITY)
    with pytest.raises(CheckFailed, match="not signed"):
        Membership.read(data, SigningKey.generate().public)
    for place in range(0, len(data), 13):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            found = Membership.read(bytes(changed), AUTHORITY.public)
        except AegisError:
            continue
        assert found == FIRST  # white space, or the unsigned name of the authority


@pytest.mark.parametrize("place", ["number", "rotation"])
def test_a_number_beyond_all_numbers_is_no_list(place):
    document = json.loads(FIRST.signed(AUTHORITY))
    body = document["membership"]
    if place == "number":
        body["number"] = float("inf")
    else:
        member = {key: body["members"][0][key] for key in ("name", "signing", "sealing")}
        proofs = dict.fromkeys(("by_old", "by_new", "handover"), "")
        body["rotations"] = [{"old": member, "new": member, "time": float("inf"), **proofs}]
    with pytest.raises(AegisError, match=r"no list of members|is no rotation"):
        Membership.read(json.dumps(document).encode(), AUTHORITY.public)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 9999, b"null", b"7", b"\xff", b'{"a":1}'])
def test_what_is_no_list_is_refused_in_one_sentence(data):
    with pytest.raises(AegisError, match="no list of members"):
        Membership.read(data, AUTHORITY.public)


def test_a_name_or_key_that_stands_twice_is_refused():
    twin = replace(MERCY.public, name="twin")
    with pytest.raises(CheckFailed, match="twice"):
        FIRST.admitted(twin)
    with pytest.raises(BadInput, match="already"):
        FIRST.admitted(MERCY.public)
    with pytest.raises(BadInput, match="other keys"):
        FIRST.admitted(Identity.generate("mercy").public)


def test_a_revoked_key_never_comes_back():
    gone = FIRST.revoked_member("mercy", "laptop stolen", 5)
    assert gone.standing("mercy").revoked == "laptop stolen"
    with pytest.raises(CheckFailed, match="twice"):
        gone.admitted(MERCY.public)
    with pytest.raises(CheckFailed, match="revoked"):
        gone.rotated(*MERCY.rotated(6).rotations)
    again = gone.admitted(Identity.generate("mercy").public)
    assert not again.standing("mercy").revoked
    assert again.past[0].identity == MERCY.public
    with pytest.raises(BadInput, match="not a member"):
        FIRST.revoked_member("nobody", "", 1)


def test_a_key_that_was_rotated_away_never_comes_back():
    rotated = FIRST.rotated(*MERCY.rotated(1).rotations)
    with pytest.raises(CheckFailed, match="twice"):
        rotated.revoked_member("mercy", "", 1).admitted(MERCY.public)
    with pytest.raises(CheckFailed, match="do not begin"):
        rotated.rotated(*MERCY.rotated(2).rotations)


def test_a_later_list_is_accepted_where_owners_or_revocations_explain_it():
    rotated = MERCY.rotated(1).rotated(2)
    second = FIRST.rotated(*rotated.rotations)
    third = second.revoked_member("other", "left", 3).admitted(Identity.generate("new").public)
    fourth = third.admitted(Identity.generate("other").public)
    fifth = fourth.rotated(*rotated.rotated(3).rotations[2:]).revoked_member("mercy", "", 4)
    versions = [FIRST, second, third, fourth, fifth]
    for at, before in enumerate(versions):
        for later in versions[at:]:
            data = later.signed(AUTHORITY)
            assert Membership.read(data, AUTHORITY.public, before) == later
        for earlier in versions[:at]:
            with pytest.raises(CheckFailed, match="seen before"):
                earlier.check_follows(before)


def test_an_authority_that_exchanges_a_key_or_takes_something_back_is_found_out():
    lived = FIRST.rotated(*MERCY.rotated(1).rotations).revoked_member("other", "left", 2)
    thief = Identity.generate("mercy").public
    others = tuple(m for m in lived.members if m.identity.name != "mercy")
    mercy, other = lived.standing("mercy"), lived.standing("other")
    without = tuple(m for m in lived.members if m.identity.name != "other")
    forged = {
        "exchanged": replace(lived, members=(*others, replace(mercy, identity=thief))),
        "vanished": replace(lived, members=others),
        "rotation": replace(lived, rotations=()),
        "revocation": replace(lived, members=(*without, replace(other, revoked=""))),
        "seen before": replace(lived, federation="minds"),
    }
    for sentence, document in forged.items():
        with pytest.raises(CheckFailed, match=sentence):
            replace(document, number=9).check_follows(lived)
    with pytest.raises(CheckFailed, match="seen before"):
        replace(lived, past=(*lived.past,), members=others).check_follows(lived)  # same number


def test_a_file_that_changes_counts_at_once_and_fails_closed(tmp_path):
    file = MembershipFile(tmp_path / "keys" / "federation.json", AUTHORITY.public)
    file.write(FIRST, AUTHORITY)
    assert file.standing("mercy").revoked == ""
    assert file.standing("nobody") is None
    file.write(FIRST.revoked_member("mercy", "left", 1), AUTHORITY)
    assert file.standing("mercy").revoked == "left"
    file.write(FIRST, AUTHORITY)  # rolled back by whoever holds the disk
    with pytest.raises(CheckFailed, match="seen before"):
        file.standing("mercy")
    file.write(FIRST, SigningKey.generate())
    with pytest.raises(CheckFailed, match="not signed"):
        file.standing("mercy")
    os.unlink(file.path)
    with pytest.raises(CheckFailed, match="nobody is believed"):
        file.standing("mercy")


def test_roles_other_than_the_two_are_refused():
    document = json.loads(FIRST.signed(AUTHORITY))
    document["membership"]["members"][0]["role"] = "admin"
    with pytest.raises(AegisError, match="role"):
        Membership.read(json.dumps(document).encode(), AUTHORITY.public)
