"""Conditions: every text is read or refused in a sentence, and they mean what numpy says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.tasks.condition import (
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
from tests.tasks.patients import ROWS, TOPICS

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
