"""Enrolment over a road that nobody trusts: used twice, expired, guessed, swapped."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import AegisError, BadInput, CheckFailed, DataError
from aegis.identity.enrolment import (
    LARGEST_REQUEST,
    LIFETIME_S,
    WRONG_CODES,
    WRONG_PROOFS,
    Candidate,
    Declined,
    Enrolments,
    EnrolRequest,
    Welcome,
    admit_enrolment,
    issue_code,
)
from aegis.identity.identity import Identity
from aegis.identity.join_code import ALPHABET, JoinCode, federation_sha256
from aegis.identity.keys import SigningKey
from aegis.identity.membership import Membership

NOW = 1_700_000_000.0
AUTHORITY, ROOT = SigningKey.generate(), b"the root certificate, DER"
FEDERATION = federation_sha256(AUTHORITY.public, ROOT)
MERCY, THIEF = Identity.generate("mercy"), Identity.generate("mercy")
CODE, ISSUED = issue_code("Aegis.Example:8081", FEDERATION, NOW)
OPEN = Enrolments().with_code(ISSUED, NOW)
REQUEST = EnrolRequest.of(CODE, MERCY, NOW, b"a certificate request")


def welcome(authority=AUTHORITY, root=ROOT, request=REQUEST):
    members = Membership("hearts").signed(authority)
    made = Welcome("hearts", authority.public, root, members, {"transport": "xmpp"})
    return made.to_bytes(request, authority)


def test_a_hospital_comes_in_with_its_code_and_its_fingerprint_read_back():
    state, candidate = admit_enrolment(OPEN, EnrolRequest.from_bytes(REQUEST.to_bytes()), NOW + 60)
    assert isinstance(candidate, Candidate)
    assert candidate.confirmed(MERCY.public.fingerprint.upper()) == MERCY.public
    assert state.codes[0].used_by == MERCY.public.fingerprint
    taken = Welcome.from_bytes(welcome(), CODE, REQUEST)
    members = Membership.read(taken.membership, taken.authority)
    assert (members.federation, taken.road) == ("hearts", {"transport": "xmpp"})


def test_a_code_is_good_for_one_hospital_which_may_ask_again():
    state, _ = admit_enrolment(OPEN, REQUEST, NOW)
    second = EnrolRequest.of(CODE, Identity.generate("other"), NOW)
    state, answer = admit_enrolment(state, second, NOW)
    assert answer == Declined("this join code was used by another hospital; ask for a new one")
    _, answer = admit_enrolment(state, REQUEST, NOW + 5)  # the reply was lost
    assert answer == Candidate(MERCY.public)


def test_a_code_expires_after_fifteen_minutes():
    assert LIFETIME_S == 15 * 60
    _, just = admit_enrolment(OPEN, REQUEST, NOW + LIFETIME_S - 1)
    assert just == Candidate(MERCY.public)
    _, late = admit_enrolment(OPEN, REQUEST, NOW + LIFETIME_S)
    assert isinstance(late, Declined)
    assert "expired" in late.reason
    another = issue_code("a", FEDERATION, NOW + 1000)[1]
    assert OPEN.with_code(another, NOW + 1000).codes == (another,)


def test_guessing_codes_is_slowed_down_for_the_one_who_guesses():
    state = OPEN
    for _ in range(WRONG_CODES):
        wrong = EnrolRequest.of(JoinCode.new("a", FEDERATION), THIEF, NOW)
        state, answer = admit_enrolment(state, wrong, NOW, "203.0.113.9")
        assert "not known" in answer.reason
    state, answer = admit_enrolment(state, REQUEST, NOW, "203.0.113.9")
    assert answer == Declined("too many wrong codes; try again in 15 minutes")
    _, elsewhere = admit_enrolment(state, REQUEST, NOW, "198.51.100.7")
    assert elsewhere == Candidate(MERCY.public)
    _, later = admit_enrolment(state, wrong, NOW + LIFETIME_S, "203.0.113.9")
    assert "not known" in later.reason
    for source in range(3000):
        state, _ = admit_enrolment(state, wrong, NOW, str(source))
    assert len(state.failures) <= 1000


def test_a_key_that_was_swapped_on_the_way_is_detected():
    swapped = [
        replace(REQUEST, identity=THIEF.public),
        replace(REQUEST, identity=replace(MERCY.public, sealing=THIEF.public.sealing)),
        replace(REQUEST, identity=replace(MERCY.public, signing=THIEF.public.signing)),
        replace(REQUEST, identity=replace(MERCY.public, name="other")),
        replace(REQUEST, certificate="another"),
        replace(REQUEST, time=REQUEST.time + 1),
        replace(REQUEST, by_code=REQUEST.by_identity),
    ]
    # the thief signs his own keys, but does not know the code
    own = EnrolRequest.of(JoinCode.new("a", FEDERATION), THIEF, NOW)
    swapped.append(replace(own, code=REQUEST.code))
    for request in swapped:
        state, answer = admit_enrolment(OPEN, request, NOW)
        assert "not those that were signed" in answer.reason
        assert state.codes[0].wrong == 1
        assert not state.codes[0].used_by
    state = OPEN
    for _ in range(WRONG_PROOFS):
        state, _ = admit_enrolment(state, swapped[0], NOW)
    assert "tampered" in admit_enrolment(state, REQUEST, NOW)[1].reason


def test_whoever_steals_the_coordinators_list_cannot_join_with_it():
    kept = json.dumps(OPEN.as_json())
    assert CODE.secret.hex() not in kept
    assert CODE.key.raw.hex() not in kept
    assert Enrolments.from_json(json.loads(kept)) == OPEN


def test_a_fingerprint_that_differs_admits_nobody():
    candidate = Candidate(MERCY.public)
    for heard in ("", THIEF.public.fingerprint, MERCY.public.fingerprint[:-1], "é"):
        with pytest.raises(CheckFailed, match="read back"):
            candidate.confirmed(heard)


def test_a_federation_other_than_the_codes_is_not_joined():
    impostor = SigningKey.generate()
    for data in (welcome(impostor), welcome(root=b"another root")):
        with pytest.raises(CheckFailed, match="not the federation"):
            Welcome.from_bytes(data, CODE, REQUEST)
    stranger = EnrolRequest.of(CODE, THIEF, NOW)
    with pytest.raises(CheckFailed, match="another request"):
        Welcome.from_bytes(welcome(request=stranger), CODE, REQUEST)
    document = json.loads(welcome())
    for field, value in (("road", {"transport": "evil"}), ("membership", "x"), ("federation", "x")):
        with pytest.raises(CheckFailed, match="not signed"):
            Welcome.from_bytes(json.dumps({**document, field: value}).encode(), CODE, REQUEST)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"[" * 9999, b"x" * (LARGEST_REQUEST + 1), b"\xff\xfe"]
)
def test_what_is_no_request_and_no_welcome_is_refused_in_one_sentence(data):
    with pytest.raises(DataError):
        EnrolRequest.from_bytes(data)
    with pytest.raises(DataError):
        Welcome.from_bytes(data, CODE, REQUEST)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", float("inf")),
        ("time", 10**400),
        ("time", "1700000000"),
        ("code", ["x"]),
        ("certificate", "\ud800"),
        ("certificate", None),
    ],
)
def test_a_field_of_another_kind_is_no_request(field, value):
    document = json.loads(REQUEST.to_bytes())
    with pytest.raises(DataError, match="no request to enrol"):
        EnrolRequest.from_bytes(json.dumps({**document, field: value}).encode())


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=200)
def test_a_changed_byte_of_a_request_never_enrols_other_keys(place, flip):
    changed = bytearray(REQUEST.to_bytes())
    changed[place % len(changed)] ^= flip
    try:
        request = EnrolRequest.from_bytes(bytes(changed))
    except AegisError:
        return
    _, answer = admit_enrolment(OPEN, request, NOW)
    assert isinstance(answer, Declined) or answer.identity == MERCY.public


ADDRESSES = st.sampled_from(["aegis.example:8081", "localhost", "10.0.0.7:1", "[::1]:8081"])


@given(ADDRESSES, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
@settings(max_examples=200)
def test_a_code_survives_being_typed_badly(address, secret, federation):
    code = JoinCode(address, secret, federation)
    head, _, letters = code.text.rpartition("/")
    sloppy = letters.lower().replace("0", "o").replace("1", "l").replace("-", " ")
    assert JoinCode.read(f" https://{head.upper()} / {sloppy}\n") == code
    assert secret.hex() not in repr(code)


def test_a_slip_in_any_place_of_a_code_is_noticed():
    text = CODE.text
    noticed = missed = 0
    for place, old in enumerate(text):
        for new in ALPHABET[::5] if old != "-" else "A":
            if old.upper() == new:
                continue
            try:
                found = JoinCode.read(text[:place] + new + text[place + 1 :])
            except BadInput:
                noticed += 1
            else:
                missed += found != CODE
    assert noticed > 300
    assert missed == 0
    for typed in ("", "aegis.example:8081", text[:-1], text + "A", "/" + text.split("/")[1]):
        with pytest.raises(BadInput):
            JoinCode.read(typed)
    with pytest.raises(BadInput, match="address"):
        JoinCode.new("https://a b/c", FEDERATION)
