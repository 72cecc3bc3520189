"""Suggestions: from any legal values to a plan that runs, with every edit said."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from aegis.plan import (
    Loaded,
    Plan,
    check_plan,
    find_faults,
    load_plan,
    parse_plan,
    suggest,
    suggested_yaml,
)
from aegis.plan.layers import Said, effective
from aegis.plan.syntax import read_yaml
from tests.plan.legal import said

FIXTURES = Path(__file__).parent / "fixtures"
EXAMPLES = Path(__file__).parents[2] / "examples"


def loaded(asked):
    """What ``parse_plan`` gives for a file that says ``asked``."""
    layers = effective({path: Said(value, "file") for path, value in asked.items()})
    origins = {path: found.origin for path, found in layers.items()}
    return Loaded(Plan(**asked), origins, asked)


@settings(max_examples=200, deadline=None)
@given(said())
def test_the_suggestion_runs_whatever_was_asked_for(asked):
    plan, edits = suggest(loaded(asked))
    check_plan(plan)
    assert bool(edits) == bool(find_faults(Plan(**asked)))
    assert all(" -> " in edit and ", because " in edit for edit in edits)


@settings(max_examples=200, deadline=None)
@given(said())
def test_the_suggestion_runs_when_everything_promised_is_there(asked):
    plan, _ = suggest(loaded(asked), later=())
    check_plan(plan, later=())


@settings(max_examples=200, deadline=None)
@given(said())
def test_the_written_suggestion_is_the_suggested_plan(asked):
    plan, edits = suggest(loaded(asked))
    text = suggested_yaml(loaded(asked))
    layer, faults = read_yaml(text, "out.yaml")
    assert not faults
    assert Plan(**{path: found.value for path, found in layer.items()}).sha256 == plan.sha256
    assert text.count("#   - ") == len(edits)


@settings(max_examples=100, deadline=None)
@given(said())
def test_what_was_asked_for_stays_unless_an_edit_names_it(asked):
    before, (plan, edits) = Plan(**asked), suggest(loaded(asked))
    for path in asked:
        if asked[path] is not None and plan.values[path] != before.values[path]:
            assert any(f"{path}: " in edit for edit in edits)


def test_a_sound_plan_is_left_alone():
    sound = parse_plan(EXAMPLES / "wisconsin.yaml")
    assert suggest(sound) == (sound.plan, [])
    assert "Nothing had to be changed" in suggested_yaml(sound)


def test_a_way_out_that_leaves_alone_what_was_written_comes_first():
    plan, [edit] = suggest(loaded({"task": "breast_cancer", "federated.quorum": 7}))
    assert plan.federated.num_clients == 7
    assert edit == (
        "federated.num_clients: 5 -> 7, because federated.quorum: 7 can never be met by "
        "federated.num_clients: 5"
    )


def test_privacy_is_never_dropped_in_silence():
    _, [edit] = suggest(
        loaded(
            {"task": "breast_cancer", "privacy.epsilon_budget": 1.0, "training.solver": "newton"}
        )
    )
    assert edit == (
        "privacy.enabled: true -> false (the model then carries no privacy guarantee), because "
        "training.solver: newton has no private form here, and privacy.enabled is true"
    )


def test_the_block_of_the_first_document_parses_unmodified():
    s1 = parse_plan(FIXTURES / "s1.yaml")
    plan = s1.plan
    assert plan.task == "pneumonia"
    assert s1.origins["task"] == "follows from model.name: simple_cnn, an image network"
    assert (plan.federated.num_clients, plan.federated.num_rounds) == (3, 10)
    assert (plan.training.batch_size, plan.training.learning_rate, plan.training.local_epochs) == (
        64,
        0.01,
        2,
    )
    privacy = plan.privacy
    assert (privacy.enabled, privacy.mechanism) == (True, "dp_sgd")
    assert (privacy.epsilon_budget, privacy.noise_multiplier, privacy.max_grad_norm) == (50, 0.8, 1)
    assert plan.trust == "masked"
    assert s1.origins["trust"] == "follows from secure_aggregation.enabled"
    assert plan.rule == "trimmed_mean"
    assert plan.fairness.thresholds.hospital_variance == 0.05


def test_the_block_of_the_first_document_gets_the_honest_answer():
    s1 = parse_plan(FIXTURES / "s1.yaml")
    [first] = [fault.sentence(s1.said) for fault in find_faults(s1.plan)]
    assert first == (
        "robust_aggregation.method: trimmed_mean and robust_aggregation.enable_detection must look "
        "at each hospital's update, but trust: masked shows the coordinator only their sum; use "
        "robust_aggregation.method: fedavg and robust_aggregation.enable_detection: false, or "
        "secure_aggregation.enabled: false (the coordinator then sees each hospital's update), or "
        "trust: grouped and federated.num_clients: 9"
    )
    mlp = {"task": "breast_cancer", "model.name": "mlp", "model.activation": None}
    [alone] = find_faults(s1.plan.edited(mlp), later=())
    assert "trust: grouped and federated.num_clients: 9" in str(alone)


def test_the_suggestion_for_the_first_document_says_each_edit():
    plan, edits = suggest(parse_plan(FIXTURES / "s1.yaml"))
    assert [edit.split(", because ")[0].split(" (")[0] for edit in edits] == [
        "robust_aggregation.method: trimmed_mean -> fedavg, "
        "robust_aggregation.enable_detection: true -> false",
    ]
    assert plan.model.name == "simple_cnn"
    assert plan.training.solver == "sgd"
    assert plan.training.local_epochs == 2
    assert (plan.privacy.enabled, plan.privacy.mechanism) == (True, "dp_sgd")
    assert (plan.privacy.epsilon_budget, plan.privacy.noise_multiplier) == (50.0, 0.8)


def test_the_example_is_the_suggestion_for_the_first_document():
    """If this fails after a change of the plan: write ``suggested_yaml`` to the file again."""
    assert (EXAMPLES / "s1.yaml").read_text(encoding="utf-8") == suggested_yaml(
        parse_plan(FIXTURES / "s1.yaml")
    )


def test_the_configuration_is_the_block_of_the_first_document_with_one_legal_edit():
    written = EXAMPLES.parent / "config" / "config.yaml"
    fixture = parse_plan(FIXTURES / "s1.yaml")
    assert parse_plan(written).plan == fixture.plan
    text = written.read_text(encoding="utf-8")
    edited = text.replace("  # method: fedavg\n  # enable_detection: false\n", "")
    assert edited != text
    edited = edited.replace("method: trimmed_mean", "method: fedavg")
    edited = edited.replace("enable_detection: true", "enable_detection: false")
    layer, _ = read_yaml(edited, "config.yaml")
    plan = Plan(**{path: found.value for path, found in layer.items()})
    mlp = {"task": "heart", "model.name": "mlp", "model.activation": None}
    assert find_faults(plan.edited(mlp), later=()) == ()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_can_run(path):
    example = load_plan(path)
    check_plan(example.plan)
    assert json.loads(example.plan.to_json())["task"] == example.plan.task


def test_the_examples_are_there():
    stems = {path.stem for path in EXAMPLES.glob("*.yaml")}
    assert {
        "aegis_s0",
        "fed_heart_disease",
        "heart",
        "mlp",
        "s1",
        "wisconsin",
    } <= stems
