"""How many classes a plan's model tells apart, and what holds for two of them only."""

import pytest

from aegis.errors import PlanError
from aegis.plan import Plan, check_plan
from aegis.plan.reading import parse_plan
from aegis.plan.soundness import find_faults
from aegis.plan.suggest import suggest

SYMPTOMS = {"task": "symptoms", "model.num_classes": 41}


def sentences(**changes):
    plan = Plan(**{**SYMPTOMS, **{k.replace("__", "."): v for k, v in changes.items()}})
    return [fault.sentence() for fault in find_faults(plan)]


def test_the_preset_of_the_task_is_sound():
    loaded = parse_plan(overrides={"task": "symptoms"})
    check_plan(loaded.plan)
    assert loaded.plan.model.num_classes == 41
    assert suggest(loaded)[1] == []


@pytest.mark.parametrize(("task", "there"), [("symptoms", 41), ("breast_cancer", 2), ("heart", 2)])
def test_another_number_of_classes_than_the_labels_have_is_refused(task, there):
    [sentence] = sentences(task=task, model__num_classes=5)
    assert sentence == (
        f"model.num_classes: 5, and the labels of {task} are {there} classes; "
        f"use model.num_classes: {there}"
    )


def test_a_table_of_ones_own_is_asked_once_it_is_read():
    assert sentences(task="table", model__num_classes=5) == []


def test_more_classes_than_this_version_tells_apart_are_said_to_be_too_many():
    told = sentences(task="table", model__num_classes=500)
    assert told == ["model.num_classes: 500 is not in this version yet; use model.num_classes: 100"]


def test_newton_of_many_weights_leads_to_mini_batches():
    [sentence] = sentences(training__solver="newton")
    assert "newton sends 14,647,578 numbers for the 5,412 weights of 41 classes" in sentence
    assert sentence.endswith("use training.solver: sgd")
    assert sentences(task="table", model__num_classes=3, training__solver="newton") == []


PRIVATE = {
    "privacy.enabled": True,
    "training.solver": "gradient",
    "training.learning_rate": None,
    "federated.num_rounds": None,
    "privacy.max_grad_norm": None,
}


@pytest.mark.parametrize("mechanism", ["dp_sgd", "distributed"])
def test_the_noise_rule_is_for_two_classes_and_says_the_way_out(mechanism):
    asked = {**PRIVATE, "privacy.mechanism": mechanism, "trust": "masked"}
    asked |= {"secure_aggregation.enabled": True}
    told = sentences(**asked)
    assert "private full-batch descent is planned for two classes" in told[0]
    assert "training.solver: sgd" in told[0]
    assert ("privacy.mechanism: dp_sgd" in told[0]) == (mechanism == "distributed")


@pytest.mark.parametrize("mechanism", ["dp_sgd", "distributed", "local_update"])
def test_following_the_ways_out_of_a_private_plan_ends_in_a_sound_one(mechanism):
    asked = {"task": "symptoms", "privacy.enabled": "true", "privacy.mechanism": mechanism}
    plan, _ = suggest(parse_plan(overrides=asked))
    check_plan(plan)
    assert plan.privacy.enabled
    assert plan.training.solver == "sgd"
    assert plan.privacy.mechanism == ("local_update" if mechanism == "local_update" else "dp_sgd")


def test_private_training_of_many_classes_takes_steps_where_nobody_says_otherwise():
    asked = {"task": "table", "privacy.enabled": "true"}
    assert parse_plan(overrides=asked).plan.training.solver == "gradient"
    three = parse_plan(overrides=asked | {"model.num_classes": "3"})
    assert three.plan.training.solver == "sgd"
    check_plan(parse_plan(overrides={"task": "symptoms", "privacy.enabled": "true"}).plan)


def test_class_weights_are_one_for_each_class():
    [sentence] = sentences(training__class_weights=(1.0, 2.0))
    assert "one number for each of 41 classes, got 2" in sentence
    assert sentence.endswith("use training.class_weights: null (every row then counts the same)")
    weights = {"task": "heart", "training.class_weights": (1.0, 2.0), "model.num_classes": 2}
    assert find_faults(Plan(**{**weights, "federated.num_clients": 4})) == ()


def test_class_weights_have_no_part_in_the_noise_rule():
    asked = {**PRIVATE, "task": "heart", "model.num_classes": 2, "trust": "open"}
    told = sentences(**asked, training__class_weights=(1.0, 2.0))
    assert any("has no part in private full-batch descent" in one for one in told)


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0,), (1.0, -1.0), (1.0, float("nan"))])
def test_weights_that_count_nothing_are_no_weights(weights):
    with pytest.raises(PlanError, match="class_weights"):
        Plan(**{"task": "heart", "training.class_weights": weights})
