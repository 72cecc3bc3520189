"""Questions: every text is read or refused in a sentence, and counts are those of numpy."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.tasks.condition import (
    DEEPEST,
    LONGEST,
    All,
    AnyOf,
    Compare,
    Missing,
    Not,
    holds,
    read_condition,
    written,
)
from aegis.tasks.question import MOST_CELLS, Question, question, read_question
from aegis.tasks.task import Column, Rows, Schema
from aegis.tasks.topics import Topics

SCHEMA = Schema(
    (
        Column("age", "number", "age", "years", 30, 80),
        Column("sex", "flag", "male"),
        Column("cp", "category", "pain", categories=("typical angina", "none", "not known")),
        Column("mean radius", "number", "radius", low=0, high=1),
        Column("weight", "number", "weight"),
        Column("ward", "category", "ward"),
    )
)
TOPICS = Topics(SCHEMA, "heart disease", {"sex": "words", "region": "words", "height": "number"})


def _rows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.integers(20, 95, n).astype(float)
    age[rng.random(n) < 0.1] = np.nan
    sex = rng.integers(0, 2, n).astype(float)
    inputs = {
        "age": age,
        "sex": sex,
        "cp": rng.choice(["typical angina", "none", "not known", ""], n),
        "mean radius": rng.random(n),
        "weight": rng.normal(70, 10, n),
        "ward": rng.choice(["A", "B"], n),
    }
    attributes = {
        "sex": np.where(sex == 1, "male", "female"),
        "region": rng.choice(["north", "south"], n),
        "height": rng.normal(170, 10, n),
    }
    return Rows(inputs, rng.integers(0, 2, n), attributes)


ROWS = _rows()
COLUMN = ROWS.inputs


def _where(text):
    return holds(read_condition(text, TOPICS), ROWS, TOPICS)


def _comparisons():
    numbers = st.floats(-1e6, 1e6).map(lambda value: (value + 0.0,))
    orders = st.builds(
        Compare,
        st.sampled_from(["age", "mean radius", "weight", "height"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        numbers,
    )
    words = st.one_of(
        st.tuples(st.just("cp"), st.sampled_from(["typical angina", "none", "not known"])),
        st.tuples(st.just("sex"), st.sampled_from(["female", "male", "not in"])),
        st.tuples(st.just("diagnosis"), st.sampled_from(["positive", "negative"])),
        st.tuples(st.just("region"), st.sampled_from(["a 'b' \"c\"", "and", "  x", "=", "n, s)"])),
    )
    named = st.builds(
        lambda pair, sign: Compare(pair[0], sign, (pair[1],)), words, st.sampled_from(["=", "!="])
    )
    several = st.builds(
        lambda values, sign: Compare("cp", sign, tuple(sorted(values))),
        st.sets(st.sampled_from(["typical angina", "none", "not known"]), min_size=2),
        st.sampled_from(["=", "!="]),
    )
    return st.one_of(orders, named, several, st.builds(Missing, st.sampled_from(TOPICS.names)))


def _joined(parts):
    def flat(kind, terms):
        return kind(tuple(t for term in terms for t in (term.of if type(term) is kind else [term])))

    lists = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(
        parts.map(lambda part: part.of if isinstance(part, Not) else Not(part)),
        lists.map(lambda terms: flat(All, terms)),
        lists.map(lambda terms: flat(AnyOf, terms)),
    )


CONDITIONS = st.recursive(_comparisons(), _joined, max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(CONDITIONS)
def test_what_is_written_is_read_back(condition):
    assert read_condition(written(condition), TOPICS) == condition


@settings(max_examples=200, deadline=None)
@given(CONDITIONS, CONDITIONS)
def test_the_laws_of_and_or_not_hold(one, other):
    first, second = (holds(c, ROWS, TOPICS) for c in (one, other))
    assert np.array_equal(holds(All((one, other)), ROWS, TOPICS), first & second)
    assert np.array_equal(holds(AnyOf((one, other)), ROWS, TOPICS), first | second)
    assert np.array_equal(holds(Not(one), ROWS, TOPICS), ~first)


WORDS = (
    "age sex cp radius mean and or not in missing ( ) , = != < <= > >= == ! \" ' 60 1e999 nan -3 "
    "female typical angina diagnosis positive nobody"
)
PIECES = st.sampled_from(WORDS.split())


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map(" ".join)))
def test_any_text_is_read_or_refused_in_a_sentence(text):
    try:
        condition = read_condition(text, TOPICS)
    except BadInput as error:
        said = str(error)
    else:
        said = "fine"
        assert holds(condition, ROWS, TOPICS).shape == (len(ROWS),)
    assert len(said.splitlines()) == 1
    assert len(said) < 600


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 60", COLUMN["age"] >= 60),
        ("age == 61.0", COLUMN["age"] == 61),
        ("age != 60", (COLUMN["age"] != 60) & ~np.isnan(COLUMN["age"])),
        ("not age = 60", COLUMN["age"] != 60),
        ("age missing", np.isnan(COLUMN["age"])),
        ("age = missing", np.isnan(COLUMN["age"])),
        ("not age missing", ~np.isnan(COLUMN["age"])),
        ("age not missing", ~np.isnan(COLUMN["age"])),
        ("cp != none", (COLUMN["cp"] != "none") & (COLUMN["cp"] != "")),
        ("cp missing", COLUMN["cp"] == ""),
        ("cp in (none, typical angina)", np.isin(COLUMN["cp"], ["none", "typical angina"])),
        ("cp not in (none)", np.isin(COLUMN["cp"], ["typical angina", "not known"])),
        ('cp = "not known"', COLUMN["cp"] == "not known"),
        ("sex = yes", COLUMN["sex"] == 1),
        ("sex = female", COLUMN["sex"] == 0),
        ("sex in (0, 1)", np.ones(len(ROWS), bool)),
        ("mean radius > .5", COLUMN["mean radius"] > 0.5),
        ("region = north", ROWS.attributes["region"] == "north"),
        ("height<170", ROWS.attributes["height"] < 170),
        ("diagnosis = positive", ROWS.labels == 1),
        ("diagnosis = heart disease", ROWS.labels == 1),
        ("diagnosis != positive", ROWS.labels == 0),
        ("diagnosis missing", np.zeros(len(ROWS), bool)),
        ("region = nowhere", np.zeros(len(ROWS), bool)),
        (
            "age > 60 and sex = female or not (cp missing or diagnosis = 0)",
            ((COLUMN["age"] > 60) & (COLUMN["sex"] == 0))
            | ~((COLUMN["cp"] == "") | (ROWS.labels == 0)),
        ),
    ],
)
def test_conditions_mean_what_numpy_says(text, expected):
    assert np.array_equal(_where(text), expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agee > 3", "no column is called agee. Did you mean age?"),
        ("cp = typicl angina", "cp is never typicl angina. Did you mean typical angina?"),
        ("diagnosis = positiv", "Did you mean positive?"),
        ("sex = perhaps and", "ends too early"),
        ("age > sixty", "age is a number, got sixty"),
        ("age > nan", "age is a number"),
        ("age > 1e999", "age is a number"),
        ("age > 1_0", "age is a number"),
        ("cp < none", "cp < has no meaning"),
        ("sex > female", "has no meaning"),
        ("age 60", "no column is called age 60"),
        ("age missing 60", "60 does not fit"),
        ("(age > 3", r"\) is expected"),
        ("age > 3)", r"\) does not fit"),
        ("age in 3", r"\( is expected"),
        ("age in (3", r"\) is expected"),
        ("age in ()", "a value is expected"),
        ("age not 3", "in is expected"),
        ("", "ends too early"),
        ("cp = ''", "age missing|cp missing"),
        ("age ! 3", "cannot be read"),
        ("cp = 'none", "cannot be read"),
        ("region = \x1b[31m", "cannot be shown"),
        ("age > 1 or " * 100, f"at most {LONGEST} characters"),
    ],
)
def test_an_unsound_condition_is_refused_and_the_word_named(text, says):
    with pytest.raises(BadInput, match=says):
        read_condition(text, TOPICS)


def test_words_that_only_the_data_know_are_never_suggested():
    with pytest.raises(BadInput) as refused:
        question(TOPICS, "histogram", ["region"])
    assert "north" not in str(refused.value)
    assert not _where("ward = C").any()


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
        ("histogram", ["weight"], None, "no public range"),
        ("histogram", ["ward"], None, "no public categories"),
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
