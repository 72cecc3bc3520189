import pytest

from aegis.plan import Plan, find_faults
from aegis.plan.layers import Said, effective
from aegis.plan.networks import recipe
from aegis.tasks.networks import FOR_IMAGES, NETWORKS


def problems(**asked):
    return [fault.problem for fault in find_faults(Plan(**asked))]


@pytest.mark.parametrize("name", FOR_IMAGES)
def test_a_network_for_images_brings_task_and_training_with_it(name):
    plan = Plan(model={"name": name})
    assert find_faults(plan) == ()
    assert plan.task == "pneumonia"
    assert (plan.training.optimizer, plan.training.local_odds) == ("adam", True)
    assert plan.federated.num_rounds == 30


def test_a_network_for_signals_brings_task_and_training_with_it():
    plan = Plan(model={"name": "cnn1d"})
    assert find_faults(plan) == ()
    assert (plan.task, plan.training.local_odds) == ("ecg", False)
    assert (plan.federated.num_rounds, plan.training.weight_decay) == (8, 0.001)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_somebody_says_stands_above_the_recipe(name):
    plan = Plan(model={"name": name}, training={"optimizer": "sgd", "learning_rate": 0.2})
    assert (plan.training.optimizer, plan.training.learning_rate) == ("sgd", 0.2)


def test_private_networks_take_noisy_steps_and_tell_nothing_else():
    plan = Plan(model={"name": "simple_cnn"}, privacy={"epsilon_budget": 8.0})
    assert find_faults(plan) == ()
    assert (plan.privacy.mechanism, plan.training.solver) == ("dp_sgd", "sgd")
    assert plan.training.local_steps == 1
    assert plan.model.activation == "tanh"
    assert not plan.training.local_odds
    epochs = Plan(model={"name": "simple_cnn"}, privacy={"enabled": True},
                  training={"local_epochs": 2})  # fmt: skip
    assert epochs.training.local_steps is None
    off = Plan(model={"name": "simple_cnn"}, privacy={"enabled": False, "epsilon_budget": 8.0})
    assert off.training.local_odds


def test_more_than_two_classes_have_no_odds():
    assert not recipe("resnet18", "none", 5)["training.local_odds"]
    assert recipe("mlp") == {}


def test_scattering_is_what_images_are_by_default():
    said = effective({"model.name": Said("scattering", "file")})
    assert said["task"].value == "pneumonia"
    assert said["model.name"] == (
        "logistic",
        "follows from model.name: scattering, fixed features",
    )
    assert Plan(model={"name": "scattering"}) == Plan(task="pneumonia")
    [problem] = problems(task="heart", model={"name": "scattering"})
    assert "is not a model" in problem


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"task": "heart", "model": {"name": "resnet18"}}, "takes images"),
        ({"task": "heart", "model": {"name": "cnn1d"}}, "takes a signal, and heart has none"),
        ({"task": "pneumonia", "model": {"name": "cnn1d"}}, "takes a signal, and pneumonia"),
        ({"model": {"name": "simple_cnn", "hidden": (3,)}}, "has layers of its own"),
        ({"model": {"name": "simple_cnn", "dropout": (0.1, 0.2)}}, "one rate, before its last"),
        ({"model": {"name": "resnet18", "activation": "tanh"}}, "activation is for simple_cnn"),
        ({"model": {"name": "simple_cnn", "init": "zeros"}}, "keeps all units of simple_cnn alike"),
        (
            {"model": {"name": "simple_cnn"}, "training": {"solver": "gradient"}},
            "exact for model.name: logistic only",
        ),
        ({"task": "heart", "model": {"name": "mlp", "freeze_backbone": True}}, "freeze_backbone"),
        ({"task": "heart", "training": {"local_odds": True}}, "local_odds is for simple_cnn"),
        (
            {"model": {"name": "simple_cnn"}, "privacy": {"enabled": True},
             "training": {"local_odds": True}},
            "which no noise covers",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said_with_a_way_out(asked, words):
    faults = find_faults(Plan(**asked))
    [fault] = [one for one in faults if words in one.problem]
    assert fault.edits
    mended = Plan(**asked).edited(fault.edits[0].changes)
    assert not any(words in one.problem for one in find_faults(mended))
