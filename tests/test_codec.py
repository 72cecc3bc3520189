"""Values survive the road; damaged bytes never become a half-built value."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aegis import codec, messages
from aegis.errors import DataError

KINDS = (messages.Train, messages.Update, messages.Scores, messages.Tally, messages.Refusal)


@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32, allow_nan=False)),
    st.text(max_size=12),
    st.integers(0, 10**9),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=3),
)
@settings(max_examples=200)
def test_an_update_comes_out_as_it_went_in(vector, hospital, examples, metrics):
    update = messages.Update("run", 3, hospital, vector, examples, metrics)
    back = codec.loads(codec.dumps(update), KINDS)
    assert type(back) is messages.Update
    assert back.vector.dtype == vector.dtype
    assert np.array_equal(back.vector, vector)
    assert (back.hospital, back.examples, back.metrics) == (hospital, examples, metrics)


@given(st.data())
@settings(max_examples=200)
def test_a_changed_byte_is_noticed_or_changes_a_value_only(data):
    update = messages.Update("run", 3, "a", np.arange(4.0), 7)
    written = bytearray(codec.dumps(update))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    try:
        back = codec.loads(bytes(written), KINDS)
    except DataError:
        return
    assert type(back) in KINDS


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_are_refused_in_one_sentence(data):
    with pytest.raises(DataError):
        codec.loads(data, KINDS)


def test_only_the_named_classes_are_built():
    @dataclass(frozen=True)
    class Foreign:
        command: str

    with pytest.raises(DataError):
        codec.loads(codec.dumps(Foreign("rm")), KINDS)


def test_what_has_no_meaning_on_the_road_does_not_travel():
    with pytest.raises(TypeError, match="does not travel"):
        codec.dumps(messages.Refusal("run", 0, "a", object()))  # type: ignore[arg-type]


def test_a_digest_is_the_same_on_both_sides_and_another_for_whatever_differs():
    words = {"ward": ("north", "south")}
    asked = messages.Statistics("run", "plan", words, 240, 4)
    taught = messages.Train("run", "plan", 1, np.arange(4.0), 0.5, 240, 4, "text")
    for value in (asked, taught):
        back = codec.loads(codec.dumps(value, salt=b"salt"), (type(value),))
        assert codec.sha256(back) == codec.sha256(value)
    others = [
        asked,
        replace(asked, vocabulary={"ward": ("northsouth",)}),
        replace(asked, vocabulary=None),
        taught,
        replace(taught, weights=np.arange(4.0, dtype=np.float32)),
        replace(taught, weights=np.array([0.0, 1.0, 2.0, 3.5])),
        replace(taught, weights=np.arange(3.0)),
        replace(taught, control=np.arange(4.0)),
        replace(taught, learning_rate=0.25),
        replace(taught, total_examples=239),
        replace(taught, round=2),
    ]
    assert len({codec.sha256(one) for one in others}) == len(others)
