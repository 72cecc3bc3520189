"""Reading: layers and their origins, YAML without surprises, every fault at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import PlanError
from aegis.plan import explain, load_plan, parse_plan
from aegis.plan.layers import defaults
from aegis.plan.syntax import read_value, read_yaml, scalar


@pytest.fixture
def write(tmp_path):
    def written(text, name="plan.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def faults_of(path=None, *more, read=load_plan):
    with pytest.raises(PlanError) as caught:
        read(path, *more)
    return list(caught.value.faults)


def test_flag_before_environment_before_dotenv_before_file_before_preset_before_default(write):
    plan = write("task: heart\nprivacy: {enabled: false, max_grad_norm: 9}\n")
    dotenv = write("DP_CLIP_NORM=8\nMIN_AGENTS=3\n", ".env")
    environment = {"DP_CLIP_NORM": "7"}
    flags = {"privacy.max_grad_norm": "6"}
    key = "privacy.max_grad_norm"

    def value_and_origin(*layers):
        loaded = load_plan(*layers)
        return loaded.plan.privacy.max_grad_norm, loaded.origins[key]

    assert value_and_origin(plan, flags, environment, dotenv) == (6.0, "--set")
    assert value_and_origin(plan, {}, environment, dotenv) == (7.0, "environment DP_CLIP_NORM")
    assert value_and_origin(plan, {}, {}, dotenv) == (8.0, ".env DP_CLIP_NORM")
    assert value_and_origin(plan) == (9.0, "file plan.yaml line 2")
    assert value_and_origin() == (1.0, "default")
    loaded = load_plan(plan, {}, {}, dotenv)
    assert loaded.plan.federated.quorum == 3
    assert loaded.origins["federated.num_clients"] == "preset of heart"
    assert loaded.origins["training.solver"] == "preset of heart"


def test_every_key_is_explained(write):
    rows = explain(load_plan(write("training:\n\n  learning_rate: 0.1\n")))
    assert [row[0] for row in rows] == list(defaults())
    found = {path: (value, origin) for path, value, origin in rows}
    assert found["task"] == ("breast_cancer", "follows from model.name: no image network")
    assert found["training.learning_rate"] == (0.1, "file plan.yaml line 3")
    assert found["training.solver"] == (
        "sgd",
        "follows from training.learning_rate, which newton (preset of breast_cancer) does not take",
    )
    assert all(origin for _, _, origin in rows)


def test_what_is_not_handed_in_is_not_looked_for(monkeypatch, tmp_path, write):
    monkeypatch.setenv("DP_CLIP_NORM", "5")
    monkeypatch.chdir(tmp_path)
    write("DP_CLIP_NORM=6\n", ".env")
    assert load_plan().plan.privacy.max_grad_norm == 1.0
    assert load_plan(dotenv=tmp_path / "absent").plan.privacy.max_grad_norm == 1.0


def test_no_file_and_an_empty_file_mean_the_defaults(write):
    assert load_plan().plan == load_plan(write("")).plan == load_plan(write("# nothing\n")).plan
    assert load_plan(write("privacy:\ntrust: null\n")).plan == load_plan().plan


def test_dotted_keys_in_a_file_are_the_same_as_sections(write):
    dotted = load_plan(write("federated.num_rounds: 4\n"))
    assert dotted.plan.federated.num_rounds == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        (".5", 0.5),
        ("5", 5),
        ("010", 10),
        ("+3", 3),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'5'", "5"),
        ("[cleveland, 5, true]", ("cleveland", 5, True)),
        ("[]", ()),
        ("9" * 500, float("inf")),
    ],
)
def test_words_mean_what_they_look_like(text, value):
    found = read_value(text, "--set x")
    assert found == value
    assert type(found) is type(value)


def test_flags_are_read_as_yaml():
    loaded = parse_plan(
        None, {"data.sites": "[cleveland, va]", "model.start": "", "seed": "3", "task": "heart"}
    )
    assert loaded.plan.data.sites == ("cleveland", "va")
    assert loaded.plan.model.start is None
    assert loaded.plan.seed == 3


def test_all_faults_come_at_once_each_with_its_line(write):
    text = """\
federated:
  num_round: 5
  num_clients: 4
  num_clients: 5
training:
  learning_rate: -1
  momentum: .nan
data: {group: patient}
selection: all
"""
    faults = faults_of(write(text), {"seed": "x"}, {"MIN_AGENTS": "many"})
    assert faults == [
        "federated.num_clients is said twice (file plan.yaml line 3 and 4)",
        "federated.num_round is not a key; did you mean federated.num_rounds? "
        "(file plan.yaml line 2)",
        "selection is not a key; did you mean federated.selection? (file plan.yaml line 9)",
        "seed must be a whole number of at least 0 and at most 9223372036854775807, got x (--set)",
        "federated.quorum must be a whole number of at least 1 or all or null, got many "
        "(environment MIN_AGENTS)",
        "training.learning_rate must be a number above 0 and at most 100000 or null, got -1"
        " (file plan.yaml line 6)",
        "training.momentum must be a number of at least 0 and below 1, and finite, got nan "
        "(file plan.yaml line 7)",
        "data.group: patient is for task: table, and breast_cancer knows its own columns; use "
        "data.group: null (rows are then split one by one)",
    ]


def test_an_unsound_mix_is_not_reported_for_a_value_that_is_faulty_anyway(write):
    [fault] = faults_of(write("federated: {num_clients: 0.5, quorum: 900}\n"))
    assert fault.startswith("federated.num_clients must be a whole number")


def test_a_mix_names_the_variable_it_comes_from(write):
    [fault] = faults_of(write("federated: {num_clients: 3}\n"), {}, {"MIN_AGENTS": "5"})
    assert fault.endswith("(federated.quorum comes from environment MIN_AGENTS)")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b\n", "plan.yaml holds a list, but a plan is a mapping of keys to values"),
        ("hello", "plan.yaml holds a single value, but a plan is a mapping of keys to values"),
        ("a:\n\tb: 1\n", "plan.yaml line 2 has a tab; YAML indents with spaces only"),
        ("task: [heart\n", "plan.yaml line 2 is not YAML: "),
        (
            "task: heart\n---\ntask: heart\n",
            "plan.yaml line 2 is not YAML: but found another document",
        ),
        ("a: \x00", "plan.yaml is not YAML: unacceptable character #x0000"),
        (b"task: \xff", "plan.yaml is not UTF-8 (byte 6)"),
        ("[" * 5000, "plan.yaml is nested too deeply for a plan"),
        ("a: {b: " + "[" * 60 + "]" * 60 + "}", "plan.yaml is nested too deeply for a plan"),
        ("# " * 200_000, "plan.yaml has 400000 characters; a plan has 50000 at most"),
        (
            "a: &x [1]\nb: *x\n",
            "plan.yaml line 1 is used again by an alias; write the value out",
        ),
        ("a: &x {b: *x}\n", "plan.yaml line 1 is used again by an alias; write the value out"),
        ("task: !!python/name:os.system\n", "has the tag tag:yaml.org,2002:python/name:os.system"),
        ("task: !secret x\n", "plan.yaml line 1 has the tag !secret"),
        ("? [a, b]\n: 1\n", "plan.yaml line 1 has a list as a key; keys are words"),
        ("data: {sites: [{a: 1}]}\n", "plan.yaml line 1 has a section inside a list"),
        (
            "data: {rows: all}\ndata:\n  rows: all\n",
            "data is said twice (file plan.yaml line 1 and 2)",
        ),
        (
            "data: {rows: all}\ndata.rows: complete\n",
            "data.rows is said twice (file plan.yaml line 1 and 2)",
        ),
        ("task: {name: heart}\n", "task.name is not a key; did you mean model.name?"),
        ("federated: 5\n", "federated must be a section of keys, got 5 (file plan.yaml line 1)"),
        ("on: true\n", "on is not a key"),
    ],
)
def test_what_is_no_plan_file_is_refused_in_a_sentence(write, text, sentence):
    faults = faults_of(write(text), read=parse_plan)
    assert sentence in faults[0]
    assert "\n" not in faults[0]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert "cannot be read (No such file or directory)" in faults_of(tmp_path / "absent.yaml")[0]
    assert "cannot be read (Is a directory)" in faults_of(tmp_path)[0]


def test_a_byte_order_mark_is_no_fault(write):
    assert load_plan(write(b"\xef\xbb\xbftask: heart\n")).plan.task == "heart"


def test_a_flag_that_is_no_value_is_named():
    assert faults_of(None, {"federated": "{num_rounds: 5}"}) == [
        "--set federated is a section; set its keys one by one"
    ]
    [fault] = faults_of(None, {"data.sites": "[a"})
    assert fault.startswith("--set data.sites line 1 is not YAML")


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("abk:- \n\t[]{},'\"#&*!|>%@0.e~?"), max_size=60) | st.text()
)
def test_any_text_is_read_or_refused_and_nothing_else(text):
    try:
        layer, faults = read_yaml(text, "plan.yaml")
    except PlanError as error:
        sentence = str(error)
    else:
        sentence = "plan.yaml is read"
        assert all(isinstance(path, str) for path in (*layer, *faults))
    assert sentence.startswith("plan.yaml ")


@settings(max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_a_number_printed_by_python_is_read_back(number):
    found = scalar(repr(number))
    assert found == number
    assert type(found) is type(number)
