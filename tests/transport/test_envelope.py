"""Envelopes: what is taken, and everything that is not, each for its own reason."""

import hashlib
import json
import os
import random
import resource
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from aegis import codec
from aegis.errors import CheckFailed, EnvelopeRefused
from aegis.identity.identity import Identity
from aegis.messages import Refusal, Train, Update
from aegis.transport import envelope
from aegis.transport.envelope import DOMAIN, Expected, Route, seal
from aegis.transport.frame import Envelope, Header
from aegis.transport.schemas import Array, Schema
from tests.transport.parties import NOW, REFUSAL, TRAIN, UPDATE, Parties, train, update

ROUND = Expected((UPDATE, REFUSAL), "mercy", "run", 3, 0)


@pytest.fixture
def parties(tmp_path):
    made = Parties(tmp_path)
    yield made
    made.close()


def sent(parties, message=None, **options):
    message = update() if message is None else message
    return parties["mercy"].seal(message, "desk", (UPDATE, REFUSAL), **options)


def refused(parties, data, expected=ROUND, by="desk"):
    with pytest.raises(EnvelopeRefused) as told:
        parties[by].unseal(data, expected)
    return told.value.reason, told.value.sender


def forged(parties, data=None, sealed=None, signer="mercy", payload=None, **changes):
    """The envelope with its header or payload changed, and then rightly sealed and signed."""
    whole = Envelope.from_bytes(data or sent(parties), 2**30)
    if payload is not None:
        changes["payload_sha256"] = hashlib.sha256(payload).hexdigest()
    header = replace(whole.header, **changes)
    head = header.to_bytes()
    if payload is not None:
        sealed = parties["desk"].identity.public.sealing.encrypt(envelope._info(head), payload)
    made = Envelope(header, head, whole.sealed if sealed is None else sealed)
    signature = parties[signer].identity.signing.sign(DOMAIN, made.signed)
    return replace(made, signature=signature).to_bytes()


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_message_arrives_as_it_was_sent_and_the_courier_reads_the_header_only(tmp_path, hybrid):
    parties = Parties(tmp_path, hybrid)
    vector = np.frombuffer(b"a secret number of a", np.float32)
    message = update(vector=vector, metrics={"loss": 0.5}, control=np.zeros(5, np.float32))
    data = sent(parties, message)
    assert vector.tobytes() not in data
    assert b"examples" not in data
    header, arrived = parties["desk"].unseal(data, ROUND)
    assert np.array_equal(arrived.vector, vector)
    assert (arrived.examples, arrived.metrics) == (100, {"loss": 0.5})
    assert (header.src, header.dst, header.stage, header.round) == ("mercy", "desk", "Update", 3)
    assert header.expiry == int(NOW) + envelope.LIFETIME_S
    parties.close()


def test_the_same_message_twice_looks_different_to_the_courier(parties):
    one, other = (Envelope.from_bytes(sent(parties), 2**20) for _ in range(2))
    assert one.header.payload_sha256 != other.header.payload_sha256
    assert one.sealed != other.sealed
    assert other.header.seq > one.header.seq


def test_an_envelope_is_taken_once_also_after_a_restart(parties):
    data = sent(parties)
    parties["desk"].unseal(data, ROUND)
    assert refused(parties, data) == ("replayed", "mercy")
    parties.made["desk"] = parties.party(parties["desk"].identity)
    assert refused(parties, data) == ("replayed", "mercy")


def test_envelopes_may_arrive_in_any_order(parties):
    several = [sent(parties) for _ in range(6)]
    for data in random.Random(0).sample(several, 6):
        parties["desk"].unseal(data, ROUND)


def test_a_number_used_again_with_other_content_is_the_senders_doing(parties):
    first = sent(parties)
    number = Envelope.from_bytes(first, 2**20).header.seq
    parties["desk"].unseal(first, ROUND)
    other = Route("mercy", "desk", number, int(NOW) + 60)
    mercy = parties["mercy"].identity
    again = seal(update(), other, UPDATE, mercy.signing, parties["desk"].identity.public.sealing)
    assert refused(parties, again) == ("reused", "mercy")


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(0, None), (59, None), (61, "expired"), (3600, "expired"), (-3660, None), (-3662, "future")],
)
def test_clocks_may_differ_by_a_minute(parties, seconds, reason):
    """``seconds`` after an envelope's last moment; it lives an hour."""
    data = sent(parties)
    parties.now = NOW + envelope.LIFETIME_S + seconds
    if reason is None:
        parties["desk"].unseal(data, ROUND)
    else:
        assert refused(parties, data) == (reason, "mercy")


def test_whoever_is_not_the_recipient_opens_nothing(parties):
    data = sent(parties)
    assert refused(parties, data, by="other") == ("recipient", None)
    to_other = forged(parties, data, dst="other")
    assert refused(parties, to_other, by="other") == ("sealed", "mercy")


def test_a_sealed_payload_fits_no_other_header(parties):
    data = sent(parties)
    sealed = Envelope.from_bytes(data, 2**20).sealed
    assert refused(parties, forged(parties, data, sealed, round=3, seq=7)) == ("sealed", "mercy")
    stolen = forged(parties, data, sealed, signer="other", src="other")
    assert refused(parties, stolen, replace(ROUND, src=None)) == ("sealed", "other")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version"),
        ({"dst": "other"}, "recipient"),
        ({"src": "nobody"}, "sender"),
        ({"src": "other"}, "signature"),
        ({"run": "another"}, "unexpected"),
        ({"round": 2}, "unexpected"),
        ({"round": 4}, "unexpected"),
        ({"attempt": 1}, "unexpected"),
        ({"stage": "Scores"}, "unexpected"),
        ({"stage": "Refusal"}, "schema"),
        ({"schema_sha256": "0" * 64}, "schema"),
        ({"payload_sha256": "0" * 64}, "sealed"),
        ({"expiry": int(NOW) - 61}, "expired"),
        ({"expiry": int(NOW) + 3662}, "future"),
    ],
)
def test_a_header_that_is_not_the_expected_one_is_refused(parties, changes, reason):
    named = None if reason in ("version", "recipient", "sender", "signature") else "mercy"
    assert refused(parties, forged(parties, **changes)) == (reason, named)


def test_another_hospitals_answer_does_not_count_for_this_one(parties):
    data = parties["other"].seal(update("other"), "desk", (UPDATE, REFUSAL))
    assert refused(parties, data) == ("unexpected", "other")


def test_a_revoked_sender_is_refused_from_the_next_message_and_named(parties):
    first, second = sent(parties), sent(parties)
    parties["desk"].unseal(first, ROUND)
    members = parties.directory.membership
    parties.directory.membership = members.revoked_member("mercy", "laptop stolen", int(NOW))
    assert refused(parties, second) == ("revoked", "mercy")
    with pytest.raises(EnvelopeRefused, match="laptop stolen"):
        parties["desk"].seal(train(), "mercy", (TRAIN,))
    again = Identity.generate("mercy")
    parties.directory.membership = parties.directory.membership.admitted(again.public)
    assert refused(parties, second) == ("signature", None)
    parties.made["mercy"] = parties.party(again)
    parties["desk"].unseal(sent(parties), ROUND)


def test_after_a_rotation_the_old_key_is_refused(parties):
    old = sent(parties)
    new = parties["mercy"].identity.rotated(int(NOW))
    parties.directory.membership = parties.directory.membership.rotated(*new.rotations)
    assert refused(parties, old) == ("signature", None)
    parties.made["mercy"] = parties.party(new)
    parties["desk"].unseal(sent(parties), ROUND)


def test_a_signature_that_is_not_the_senders_names_nobody(parties):
    assert refused(parties, forged(parties, signer="other")) == ("signature", None)


def bodies():
    """Bodies that only the hospital itself can put into its envelope, and why each is refused."""
    good = codec.dumps(update())
    length = int.from_bytes(good[:8], "little")
    text = json.loads(good[8 : 8 + length])["__metadata__"]["document"]
    document = json.loads(text)

    def with_header(header):
        return len(header).to_bytes(8, "little") + header.encode() + good[8 + length :]

    def said(text, **more):
        tensors = {"0": np.zeros(5, np.float32), **more}
        return save(tensors, metadata={"document": text})

    def saying(**changes):
        return said(json.dumps({**document, **changes}))

    tensor = '"0":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}'
    huge = '"0":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}'
    start = '{"__metadata__":{"document":' + json.dumps(text) + "},"
    return {
        "nothing": (b"", "cannot be read"),
        "noise": (os.urandom(200), "cannot be read"),
        "a 4 TiB header": ((2**42).to_bytes(8, "little") + good[8:], "header of 4398046511104"),
        "the largest header": (b"\xff" * 8 + good[8:], "a header of"),
        "a 4 TiB tensor": (with_header(start + huge + "}"), "cannot be read"),
        "a tensor twice": (with_header(start + tensor + "," + tensor + "}"), "stands twice"),
        "a field twice": (said(text[:-1] + ',"round":3}'), "stands twice"),
        "a tensor of no field": (said(text, more=np.zeros(9)), "belongs to nothing"),
        "a very deep list": (said("[" * 90_000 + "]" * 90_000), "RecursionError"),
        "a very deep object": (said('{"@map":[[1,' * 15_000), "RecursionError"),
        "truncated": (good[:-1], "cannot be read"),
        "longer": (good + b"\0", "cannot be read"),
        "an array as a list": (saying(vector=[0.0] * 5), "belongs to nothing"),
        "one array twice": (saying(control={"@array": "0"}), "'0'"),
        "an array that is not there": (saying(vector={"@array": "9"}), "'9'"),
        "a field less": (said(text.replace('"examples":100,', "")), "has the fields"),
        "a field more": (saying(admin=True), "has the fields"),
        "another class": (saying(**{"@is": "Train"}), "'Train'"),
        "a class of the language": (said('{"@is":"Path","path":"/etc"}'), "'Path'"),
        "an object of no class": (said('{"a":1}'), "unnamed object"),
        "text for a number": (saying(examples="100"), "examples is '100'"),
        "a truth for a number": (saying(examples=True), "examples is bool"),
        "a number beyond 2^53": (saying(examples=2**60), "beyond 2^53"),
        "an infinite metric": (saying(metrics={"@map": [["a", 1e999]]}), "not finite"),
        "a metric twice": (saying(metrics={"@map": [["a", 1.0], ["a", 2.0]]}), "stands twice"),
        "a map of nothing": (saying(metrics={"@map": 7}), "cannot be read"),
        "a map as key": (saying(metrics={"@map": [[{"@map": []}, 1.0]]}), "cannot be read"),
        "bad base 64": (saying(run={"@bytes": "===="}), "cannot be read"),
        "doubles": (codec.dumps(update(vector=np.zeros(5))), "holds float64"),
        "integers": (codec.dumps(update(vector=np.zeros(5, np.int32))), "holds int32"),
        "four numbers": (codec.dumps(update(vector=np.zeros(4, np.float32))), "has the shape (4,)"),
        "two axes": (codec.dumps(update(vector=np.zeros((5, 1), np.float32))), "the shape (5, 1)"),
        "no number": (codec.dumps(update(vector=np.full(5, np.nan, np.float32))), "not finite"),
        "infinity": (codec.dumps(update(vector=np.full(5, np.inf, np.float32))), "not finite"),
        "another control": (codec.dumps(update(control=np.ones(6, np.float32))), "control has the"),
        "no vector": (codec.dumps(update(vector="none")), "expected is array"),
        "a refusal": (codec.dumps(Refusal("run", 3, "mercy", "no")), "'Refusal'"),
    }


@pytest.mark.parametrize("what", list(bodies()))
def test_a_dishonest_hospitals_body_is_refused_and_laid_at_its_door(parties, what):
    body, why = bodies()[what]
    with pytest.raises(EnvelopeRefused) as told:
        parties["desk"].unseal(forged(parties, payload=body), ROUND)
    assert (told.value.reason, told.value.sender) == ("body", "mercy")
    assert why in str(told.value)


@pytest.mark.parametrize(
    "message", [update(run="x"), update(round=2), update("other"), update(hospital="mercy ")]
)
def test_a_body_that_contradicts_its_header_is_refused(parties, message):
    data = forged(parties, payload=codec.dumps(message))
    assert refused(parties, data) == ("mismatch", "mercy")


def test_a_payload_other_than_the_signed_one_is_refused(parties):
    data, other = sent(parties), update(round=3, vector=np.zeros(5, np.float32))
    head = Envelope.from_bytes(data, 2**20).header_bytes
    key = parties["desk"].identity.public.sealing
    sealed = key.encrypt(envelope._info(head), codec.dumps(other))
    assert refused(parties, forged(parties, data, sealed)) == ("payload", "mercy")


def test_an_honest_side_does_not_send_what_would_be_refused(parties):
    broken = update(vector=np.full(5, np.nan, np.float32))
    with pytest.raises(CheckFailed, match=r"would be refused: Update\.vector holds a number"):
        sent(parties, broken)
    with pytest.raises(EnvelopeRefused, match="not what was asked"):
        sent(parties, train())
    with pytest.raises(EnvelopeRefused, match="not in the federation"):
        parties["mercy"].seal(update(), "nobody", (UPDATE,))


def test_size_is_held_before_anything_is_looked_at(parties):
    data = sent(parties)
    assert refused(parties, data, replace(ROUND, limit=len(data) - 1)) == ("too_large", None)
    parties["desk"].unseal(data, replace(ROUND, limit=len(data)))
    assert refused(parties, bytes(ROUND.most + 1)) == ("too_large", None)
    assert ROUND.most < 2**19  # five floats, and room for text


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "header"),
        (b"{}", "header"),
        (b"[]", "header"),
        (b"null", "header"),
        (b"[" * 4000, "header"),
        (b"\xff\xfe", "header"),
        (b'{"a":' * 700, "header"),
        (b" " * 5000, "header"),
        (b"9" * 4096, "header"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(parties, header, reason):
    data = b"AEGS" + len(header).to_bytes(2, "big") + header + bytes(200)
    assert refused(parties, data) == (reason, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("round", -1),
        ("round", 2**53 + 1),
        ("round", 1.0),
        ("round", True),
        ("round", "3"),
        ("round", None),
        ("seq", 10**400),
        ("src", ""),
        ("src", "a\nb"),
        ("src", "\u202egnp"),
        ("src", "a" * 201),
        ("run", ["run"]),
        ("version", "1"),
        ("more", 1),
    ],
)
def test_a_header_field_of_another_kind_is_refused(parties, field, value):
    whole = Envelope.from_bytes(sent(parties), 2**20)
    document = {**json.loads(whole.header_bytes), field: value}
    head = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert refused(parties, replace(whole, header_bytes=head).to_bytes()) == ("header", None)


def test_a_header_has_one_way_to_be_written(parties):
    whole = Envelope.from_bytes(sent(parties), 2**20)
    head, document = whole.header_bytes, json.loads(whole.header_bytes)
    for other in (
        head + b" ",
        head.replace(b",", b", "),
        head.replace(b"3", b"\\u0033", 1),
        head[:-1] + b',"round":3}',
        json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode(),
    ):
        assert refused(parties, replace(whole, header_bytes=other).to_bytes()) == ("header", None)
    assert Header.from_bytes(head) == whole.header


def test_an_envelope_cut_short_anywhere_is_refused(parties):
    data = sent(parties)
    for length in range(len(data)):
        reason, sender = refused(parties, data[:length])
        assert reason in ("truncated", "header", "signature")
        assert sender is None


def test_two_hundred_random_mutations_are_refused_and_memory_stays_where_it_was(parties):
    """The ten thousand are in ``make prove PART=envelope``."""
    whole, rng = sent(parties), random.Random(7)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        assert refused(parties, mutated(whole, rng))[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert len(parties["desk"].guard) == 0
    parties["desk"].unseal(whole, ROUND)  # no mutation used the number up


def mutated(data, rng):
    """Another sequence of bytes, near this one."""
    changed = bytearray(data)
    while bytes(changed) == data:
        place = rng.randrange(len(changed))
        match rng.randrange(6):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                del changed[place : place + rng.randint(1, 40)]
            case 2:
                changed[place:place] = rng.randbytes(rng.randint(1, 40))
            case 3:
                changed[place : place + 8] = rng.randbytes(8)
            case 4:
                other = rng.randrange(len(changed))
                changed[place], changed[other] = changed[other], changed[place]
            case _:
                changed += changed[place:]
    return bytes(changed)


def test_a_message_of_another_version_has_another_schema(parties):
    old = Schema.of(Update, vector=Array(("float64",), (5,)))
    mercy, desk = parties["mercy"].identity, parties["desk"].identity.public
    route = Route("mercy", "desk", 9, int(NOW) + 60)
    data = seal(update(vector=np.zeros(5)), route, old, mercy.signing, desk.sealing)
    assert refused(parties, data) == ("schema", "mercy")


def test_a_request_is_taken_from_the_coordinator_only(parties):
    expected = Expected((TRAIN,), "desk")
    data = parties["desk"].seal(train(), "mercy", (TRAIN,))
    _, request = parties["mercy"].unseal(data, expected)
    assert type(request) is Train
    false = parties["other"].seal(train(), "mercy", (TRAIN,))
    assert refused(parties, false, expected, "mercy") == ("unexpected", "other")
