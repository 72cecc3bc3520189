import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import CheckFailed
from aegis.transport.frame import Envelope, Header
from aegis.transport.xmpp.messages import (
    INLINE,
    File,
    Label,
    Message,
    labelled,
    read,
    stamp,
    written,
)

TYPES = ("JOIN", "ROUND_START", "MODEL_UPDATE", "GLOBAL_UPDATE", "ERROR")
HEX = "0123456789abcdef"
labels = st.builds(
    Label,
    msg_id=st.text(HEX, min_size=32, max_size=32),
    sender_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True),
    round_id=st.integers(0, 2**53),
    msg_type=st.sampled_from(TYPES),
    task=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    timestamp=st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)).map(stamp),
)
files = st.builds(
    File,
    url=st.from_regex(r"https://[a-z.]{1,20}:[0-9]{1,5}/[a-zA-Z0-9/._-]{0,40}", fullmatch=True),
    sha256=st.text(HEX, min_size=64, max_size=64),
    size=st.integers(1, 2**53),
)
messages = st.builds(Message, labels, st.none() | st.binary(max_size=300) | files)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def one(payload=b"sealed", **changed):
    label = Label("0" * 32, "cleveland", 3, "MODEL_UPDATE", "run-1", stamp())
    document = json.loads(written(Message(label, payload)))
    document["header"] |= changed
    return document


@settings(max_examples=200, deadline=None)
@given(messages)
def test_what_is_written_is_read_back(message):
    assert read(written(message)) == message


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | JSON.map(json.dumps))
def test_other_text_is_refused_and_nothing_else_happens(text):
    with pytest.raises(CheckFailed):
        read(text)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(tuple(one()["header"])), JSON)
def test_a_header_field_with_another_value_is_refused_or_is_a_header(field, value):
    document = one(**{field: value})
    try:
        message = read(json.dumps(document))
    except CheckFailed:
        return
    assert json.loads(written(message)) == document


@pytest.mark.parametrize("version", ["1.0", "1.2", "2.0", "", 1.1, None, ["1.1"]])
def test_another_protocol_version_is_refused_by_name(version):
    with pytest.raises(CheckFailed, match=r"protocol version .*1\.1") as caught:
        read(json.dumps(one(protocol_version=version)))
    assert "Update the older side" in str(caught.value)


def test_a_message_without_version_is_refused():
    document = one()
    del document["header"]["protocol_version"]
    with pytest.raises(CheckFailed, match="protocol version None"):
        read(json.dumps(document))


@pytest.mark.parametrize(
    "changed",
    [
        {"msg_type": "HELLO"},
        {"msg_type": ["JOIN"]},
        {"msg_id": "7"},
        {"round_id": -1},
        {"round_id": True},
        {"round_id": 1.0},
        {"sender_id": "../etc"},
        {"task": "a\nb"},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-13-40T00:00:00.000Z"},
        {"more": 1},
    ],
)
def test_a_header_that_is_not_of_the_agreed_form_is_refused(changed):
    with pytest.raises(CheckFailed, match="header"):
        read(json.dumps(one(**changed)))


@pytest.mark.parametrize(
    "payload",
    [
        {"base64": "not base64!"},
        {"base64": 7},
        {"base64": "", "more": 1},
        {"url": "https://x/y", "sha256": "0" * 64, "size": 0},
        {"url": "https://x/y", "sha256": "0" * 64, "size": True},
        {"url": "https://x/y", "sha256": "0" * 63, "size": 1},
        {"url": "https://x/" + "y" * 500, "sha256": "0" * 64, "size": 1},
        [],
        "sealed",
    ],
)
def test_a_payload_of_another_form_is_refused(payload):
    with pytest.raises(CheckFailed, match=r"payload|file"):
        read(json.dumps(one() | {"payload": payload}))


def test_a_bomb_is_refused_before_it_is_parsed():
    with pytest.raises(CheckFailed, match="characters"):
        read("[" * 10_000_000)
    with pytest.raises(CheckFailed, match="no JSON"):
        read("[" * 100_000)


def test_what_is_too_large_for_one_message_is_not_written():
    with pytest.raises(CheckFailed, match="at most"):
        written(Message(labelled(b"", "h", "up", "0" * 32), b"\0" * (INLINE + 1)))
    assert len(read(written(Message(labelled(b"", "h", "up", "0" * 32), b"\0" * INLINE))).payload)


@pytest.mark.parametrize(
    ("stage", "direction", "kind"),
    [
        ("Invite", "down", "JOIN"),
        ("Enrolled", "up", "JOIN"),
        ("Train", "down", "ROUND_START"),
        ("Mask", "down", "ROUND_START"),
        ("Update", "up", "MODEL_UPDATE"),
        ("Masked", "up", "MODEL_UPDATE"),
        ("Evaluate", "down", "GLOBAL_UPDATE"),
        ("Settle", "down", "GLOBAL_UPDATE"),
        ("Refusal", "up", "ERROR"),
    ],
)
def test_the_label_follows_from_the_envelopes_own_header(stage, direction, kind):
    header = Header(1, "run-7", 4, 1, stage, "a", "b", 1, 9, "0" * 64, "1" * 64)
    data = Envelope(header, header.to_bytes(), b"sealed", b"\0" * 64).to_bytes()
    label = labelled(data, "a", direction, "0" * 32)
    assert (label.msg_type, label.round_id, label.task) == (kind, 4, "run-7")
    assert label.sender_id == "a"


def test_bytes_that_are_no_envelope_travel_with_a_plain_label():
    for data in (b"", b"AEGS", b"AEGS\xff\xff{}", b"AEGS\x00\x02{}" + b"\0" * 80):
        label = labelled(data, "a", "up", "0" * 32)
        assert (label.msg_type, label.round_id, label.task) == ("MODEL_UPDATE", 0, "")
