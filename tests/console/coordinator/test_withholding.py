"""Of other hospitals, nothing leaves: whatever a document holds, and wherever."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from aegis.console.coordinator.api.withholding import as_seen, hospitals_of, without
from aegis.console.coordinator.desk import Sight

NAMES = ("north", "south", "va", "st. mary", "hospital_1", "hospital_10")
TEXTS = st.sampled_from(
    [*NAMES, "accuracy", "north and va differ", "va's rows", "invariant", "hospital_10, north", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def named(value, names):
    text = json.dumps(value)
    return [one for one in names if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text)]


@given(VALUES, st.sets(st.sampled_from(NAMES)))
def test_no_hidden_name_stands_anywhere(value, hidden):
    found = without(value, hidden)
    assert named(found, hidden) == []
    assert without(found, hidden) == found


@given(VALUES)
def test_where_nobody_is_hidden_nothing_is_taken(value):
    assert without(value, []) == value


def test_a_name_within_a_word_is_no_name():
    said = {"invariant": "the evaluation of hospital_10", "va": 1}
    assert without(said, ["va", "hospital_1"]) == {"invariant": said["invariant"]}


def test_a_section_that_nobody_has_thought_about_stays_here(finished_home):
    document = json.loads(
        (finished_home.home.results(finished_home.open) / "result.json").read_text()
    )
    names = hospitals_of(document)
    assert len(names) == 4
    whole = document | {"new_section": [0.9, 0.8, 0.7, 0.6]}
    found = as_seen(whole, Sight(names[0]))
    assert "new_section" not in found
    assert named({key: one for key, one in found.items() if key != "withheld"}, names[1:]) == []
    assert found["global"] == document["global"]
    assert [one["name"] for one in found["hospitals"]] == names[:1]
    assert as_seen(whole, Sight()) == whole
    assert named(as_seen(whole, Sight("")), names) == []
