"""Questions: cells are public, counts are those of numpy, and one question has one hash."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.tasks.condition import DEEPEST, LONGEST, read_condition
from aegis.tasks.question import MOST_CELLS, Question, question, read_question
from aegis.tasks.task import Column, Rows, Schema
from aegis.tasks.topics import Topics
from tests.tasks.patients import ROWS, SCHEMA, TOPICS

COLUMN = ROWS.inputs


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["kind", "columns", "bins", "where", "more"]), inner, max_size=5
                )
            ),
            max_leaves=9,
        ).map(json.dumps),
    )
)
def test_any_bytes_that_claim_to_be_a_question_are_read_or_refused(text):
    try:
        read = read_question(text, TOPICS)
    except BadInput:
        return
    assert read_question(read.to_json(), TOPICS) == read


@pytest.mark.parametrize("text", ["[" * 7000, "(" * 900 + "age missing", "not " * 200 + "age > 1"])
def test_deep_brackets_are_refused(text):
    with pytest.raises(BadInput):
        read_question(text, TOPICS)
    with pytest.raises(BadInput, match=f"{DEEPEST}|{LONGEST}"):
        read_condition(text if text[0] != "[" else "(" * 500, TOPICS)


def test_words_that_only_the_data_know_are_never_suggested():
    with pytest.raises(BadInput) as refused:
        question(TOPICS, "histogram", ["region"])
    assert "north" not in str(refused.value)
    assert question(TOPICS, "count", where="ward = C").counts(ROWS, TOPICS).tolist() == [0]


def test_counts_are_those_of_numpy():
    age, cp = COLUMN["age"], COLUMN["cp"]
    assert question(TOPICS, "count").counts(ROWS, TOPICS).tolist() == [len(ROWS)]
    asked = question(TOPICS, "histogram", ["age"], bins=5, where="diagnosis = positive")
    clipped = np.clip(age[ROWS.labels == 1], 30, 80)
    expected = np.histogram(clipped[~np.isnan(clipped)], bins=5, range=(30, 80))[0]
    cells = asked.counts(ROWS, TOPICS)
    assert cells[:-1].tolist() == expected.tolist()
    assert cells[-1] == np.isnan(clipped).sum()
    crossed = question(TOPICS, "crosstab", ["cp", "diagnosis"]).counts(ROWS, TOPICS)
    for i, word in enumerate([*SCHEMA["cp"].categories, ""]):
        for label in (0, 1):
            assert crossed[i, label] == ((cp == word) & (ROWS.labels == label)).sum()
    flagged = question(TOPICS, "histogram", ["sex"]).counts(ROWS, TOPICS)
    assert flagged.tolist() == [(COLUMN["sex"] == 0).sum(), (COLUMN["sex"] == 1).sum(), 0]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        [
            ("count", ()),
            ("histogram", ("age",)),
            ("histogram", ("cp",)),
            ("crosstab", ("age", "sex")),
            ("crosstab", ("diagnosis", "cp")),
        ]
    ),
    st.integers(1, 30),
    st.integers(0, len(ROWS) - 1),
    st.sampled_from(["", "age > 50", "not cp missing"]),
)
def test_a_patient_changes_one_cell_by_one_at_most(asked, bins, who, where):
    made = question(TOPICS, *asked, bins=bins, where=where)
    without = np.delete(np.arange(len(ROWS)), who)
    change = made.counts(ROWS, TOPICS) - made.counts(ROWS.take(without), TOPICS)
    assert np.abs(change).sum() <= 1


def test_cells_do_not_depend_on_the_rows():
    none = ROWS.take(np.zeros(len(ROWS), bool))
    for asked in (("histogram", ["age"]), ("crosstab", ["cp", "sex"])):
        made = question(TOPICS, *asked)
        assert made.counts(none, TOPICS).shape == made.shape(TOPICS)
        assert made.counts(none, TOPICS).sum() == 0


def test_one_question_has_one_hash_however_it_is_typed():
    typed = [
        "age>=60 and (sex=female)",
        "  age >= 60.0 and sex = 'female'",
        '"age">=6e1 and sex=female',
    ]
    assert len({question(TOPICS, "count", where=text).sha256 for text in typed}) == 1
    first = question(TOPICS, "histogram", ["cp"], bins=7)
    assert first == question(TOPICS, "histogram", ["cp"])
    assert first.sha256 != question(TOPICS, "histogram", ["cp"], where="age > 3").sha256
    assert read_question(first.to_json(), TOPICS) == first


@pytest.mark.parametrize(
    ("kind", "columns", "bins", "says"),
    [
        ("counts", [], None, "Did you mean count?"),
        ("count", ["age"], None, "--where"),
        ("histogram", [], None, "has one column, got 0"),
        ("crosstab", ["age"], None, "has two columns, got 1"),
        ("crosstab", ["age", "age"], None, "age twice"),
        ("histogram", ["ege"], None, "Did you mean age?"),
        ("histogram", ["age"], 0, "1 to 50 bins"),
        ("histogram", ["age"], 51, "1 to 50 bins"),
        ("histogram", ["weight"], None, "no public range(?s:.*)columns.yaml"),
        ("histogram", ["ward"], None, "no public categories(?s:.*)columns.yaml"),
        ("histogram", ["height"], None, "no public values"),
        ("crosstab", ["age", "mean radius"], 20, f"441 cells; at most {MOST_CELLS}"),
    ],
)
def test_an_unsound_question_is_refused(kind, columns, bins, says):
    with pytest.raises(BadInput, match=says):
        question(TOPICS, kind, columns, bins)


def test_a_column_called_diagnosis_leaves_the_label_its_other_name():
    schema = Schema((Column("diagnosis", "category", "on admission", categories=("a", "b")),))
    topics = Topics(schema, "ill")
    assert topics.names == ("diagnosis", "label")
    rows = Rows({"diagnosis": np.array(["a", "b", "b"])}, np.array([1, 0, 1]))
    asked = question(topics, "crosstab", ["diagnosis", "label"])
    assert asked.counts(rows, topics).tolist() == [[0, 1], [1, 1], [0, 0]]


def test_a_question_is_a_frozen_value():
    with pytest.raises(AttributeError):
        Question("count").kind = "histogram"


def test_a_value_outside_the_public_ones_is_in_no_cell():
    schema = Schema(
        (Column("cp", "category", "pain", categories=("a", "b")), Column("f", "flag", ""))
    )
    topics = Topics(schema)
    rows = Rows(
        {"cp": np.array(["a", "z", "b"]), "f": np.array([1.0, 0.0, 0.5])}, np.array([1, 1, 0])
    )
    assert question(topics, "histogram", ["cp"]).counts(rows, topics).tolist() == [1, 1, 0]
    crossed = question(topics, "crosstab", ["cp", "f"]).counts(rows, topics)
    assert crossed.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
