"""The keys: each described and bounded, strict about types, and told about in words."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import PlanError
from aegis.plan import Plan
from aegis.plan.keys import DEFAULT_TRUST, Keys
from aegis.plan.layers import defaults, sections
from aegis.plan.sentences import need, schema_of, show, unknown_key, value_fault
from tests.plan.legal import value_of


def faults_of(**said):
    with pytest.raises(PlanError) as caught:
        Plan(task="breast_cancer", **said)
    return caught.value.faults


@pytest.mark.parametrize("path", list(defaults()))
def test_every_key_is_described_in_one_sentence(path):
    says = schema_of(path)["description"]
    assert says[0].isupper()
    assert says.endswith(".")
    assert len(says) < 100
    assert need(schema_of(path))


@pytest.mark.parametrize("path", list(defaults()))
def test_every_default_is_a_legal_value(path):
    assert Plan(**{**defaults(), path: defaults()[path]}).values[path] == defaults()[path]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_the_schema_allows_is_taken(data):
    path = data.draw(st.sampled_from(list(defaults())))
    value = data.draw(value_of(path))
    assert Plan(**{**defaults(), path: value}).values[path] == value


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(defaults())), st.sampled_from([float("nan"), float("inf"), -1e400]))
def test_what_is_not_finite_is_refused_everywhere(path, value):
    if path == "data.positive":
        return  # a label may be any text, "nan" too
    [fault] = _faults({**defaults(), path: value})
    assert fault.startswith(f"{path} must be ")


def _faults(values):
    with pytest.raises(PlanError) as caught:
        Plan(**values)
    return caught.value.faults


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("server.learning_rate", -1, "server.learning_rate must be above 0, got -1"),
        ("federated.num_clients", 1001, "federated.num_clients must be at most 1000, got 1001"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("privacy.delta", 1, "privacy.delta must be above 0 and below 1, got 1"),
        (
            "federated.fraction_fit",
            1.5,
            "federated.fraction_fit must be above 0 and at most 1, got 1.5",
        ),
        ("privacy.epsilon_budget", 0, "privacy.epsilon_budget must be above 0, got 0"),
        (
            "federated.num_rounds",
            2.5,
            "federated.num_rounds must be a whole number of at least 1 and at most 100000 or null,"
            " got 2.5",
        ),
        (
            "seed",
            3.0,
            "seed must be a whole number of at least 0 and at most 9223372036854775807, got 3.0",
        ),
        (
            "federated.quorum",
            "most",
            "federated.quorum must be a whole number of at least 1 or all or null, got most",
        ),
        (
            "training.solver",
            "newtn",
            "training.solver must be one of sgd, gradient, newton, got newtn; did you mean newton?",
        ),
        ("privacy.enabled", "yes", "privacy.enabled must be true or false, got yes"),
        (
            "training.momentum",
            True,
            "training.momentum must be a number of at least 0 and below 1, got true",
        ),
        (
            "training.local_epochs",
            "5",
            "training.local_epochs must be a whole number of at least 1 and at most 10000, "
            "got text '5'",
        ),
        (
            "training.l2",
            float("nan"),
            "training.l2 must be a number of at least 0, and finite, got nan",
        ),
        ("data.sites", [], "data.sites must be a list of texts, not empty or null, got []"),
        (
            "model.hidden",
            [8, 0],
            "model.hidden must be a list of whole numbers of at least 1 and at most 4096, "
            "not empty or null, got [8, 0]",
        ),
        ("task", "", "task must be text, got ''"),
    ],
)
def test_a_fault_says_what_is_needed_and_what_was_found(path, value, sentence):
    assert faults_of(**{path: value}) == (sentence,) if path != "task" else True
    assert value_fault(path, value) == sentence


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("federated.num_round", "federated.num_rounds"),
        ("federatd.num_rounds", "federated.num_rounds"),
        ("federated.batch_size", "training.batch_size"),
        ("num_rounds", "federated.num_rounds"),
        ("privacy.epsilon", "privacy.epsilon_budget"),
        ("learning_rate", "training.learning_rate or server.learning_rate"),
        ("tsk", "task"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(wrong, right):
    assert unknown_key(wrong) == f"{wrong} is not a key; did you mean {right}?"


def test_a_key_that_resembles_nothing_points_to_the_list():
    assert unknown_key("xyzzy.qqq") == "xyzzy.qqq is not a key; aegis plan explain lists them all"


def test_all_faults_come_at_once():
    faults = faults_of(training={"learning_rate": -1, "momentum": 2}, federated={"num_round": 3})
    assert len(faults) == 3


def test_a_section_that_is_no_section_says_so():
    assert faults_of(federated=5) == ("federated must be a section of keys, got 5",)


def test_the_schema_names_units_and_bounds():
    schema = Plan.schema()
    deadline = schema["$defs"]["Federated"]["properties"]["deadline_s"]
    assert deadline["unit"] == "seconds"
    assert deadline["exclusiveMinimum"] == 0
    assert set(schema["properties"]) == {path.split(".")[0] for path in defaults()}


def test_sections_and_keys_do_not_overlap():
    assert not sections() & set(defaults())
    assert Keys().trust == DEFAULT_TRUST


def test_importing_the_plan_loads_no_engine_and_no_parser():
    code = (
        "import sys, aegis.plan; print([m for m in ('numpy', 'yaml', 'dotenv', 'sklearn', 'torch')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_list_of_lists_is_shown_however_deep_it_is():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert show([1, deep, "a"]) == "[1, a list, a]"
