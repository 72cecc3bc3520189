"""The plan as a value: filled from the preset, frozen, hashed, the same after a journey."""

import json
import pickle
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aegis.errors import BadInput, PlanError
from aegis.plan import Plan
from aegis.plan.keys import Federated, Training
from aegis.plan.layers import defaults, nest
from aegis.tasks import plugins
from aegis.tasks import task as tasks
from tests.plan.legal import said, value_of


class Quiz:
    """A task as a plug-in would bring it."""

    name = title = positive = credits = "quiz"
    schema = tasks.Schema(())

    def __init__(self, preset):
        self.preset = preset

    def load(self, options):
        raise NotImplementedError


adam = Quiz(
    {
        "federated": {"num_clients": 7},
        "model": {"name": "mlp", "hidden": [9]},
        "training": {"solver": "sgd", "optimizer": "adam"},
        "server": {"optimizer": "fedavgm"},
        "privacy": {"epsilon_budget": 3.0},
    }
)
newton = Quiz({"training": {"solver": "newton", "l2": 2.0}, "federated": {"num_rounds": 4}})
misspelt = Quiz({"training": {"solvr": "newton"}})


@pytest.fixture
def plug_ins(monkeypatch):
    named = [
        EntryPoint(name, f"tests.plan.test_plan:{name}", "aegis.tasks")
        for name in ("adam", "newton", "misspelt", "gone")
    ]
    named.append(EntryPoint("broken", "tests.plan.no_such_module:task", "aegis.tasks"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: named)
    for cached in (tasks._installed_task, plugins.installed):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (tasks._installed_task, plugins.installed):
        cached.cache_clear()


def test_the_preset_fills_what_is_silent(plug_ins):
    plan = Plan(task="adam", federated={"num_rounds": 5})
    assert plan.federated.num_clients == 7
    assert plan.federated.num_rounds == 5
    assert plan.model.hidden == (9,)
    assert plan.training.optimizer == "adam"


@pytest.mark.parametrize(
    "foreign", [{"model": {"name": "logistic"}}, {"training.solver": "gradient"}]
)
def test_a_preset_stands_back_for_another_model_or_solver(plug_ins, foreign):
    plan = Plan(task="adam", **foreign)
    assert plan.model.hidden is None
    assert plan.training.optimizer == "sgd"
    assert plan.server.optimizer == "fedavg"
    assert plan.federated.num_clients == 7


def test_a_preset_stands_where_the_plan_names_the_same(plug_ins):
    plan = Plan(task="adam", model={"name": "mlp"}, training={"solver": "sgd"})
    assert (plan.training.optimizer, plan.model.hidden) == ("adam", (9,))


@pytest.mark.parametrize(
    "asked",
    [
        {"training.learning_rate": 0.2},
        {"training.local_epochs": 3},
        {"server.optimizer": "fedadam"},
        {"training.optimizer": "adam"},
    ],
)
def test_a_newton_preset_stands_back_for_keys_that_newton_does_not_take(plug_ins, asked):
    plan = Plan(task="newton", **asked)
    assert plan.training.solver == "sgd"
    assert plan.training.l2 == 0.0
    assert plan.federated.num_rounds == 4


def test_a_newton_preset_stands_for_keys_that_newton_takes(plug_ins):
    plan = Plan(task="newton", training={"l2": 5.0, "local_epochs": 1})
    assert (plan.training.solver, plan.training.l2) == ("newton", 5.0)


def test_a_newton_that_was_asked_for_is_not_taken_away(plug_ins):
    plan = Plan(task="newton", training={"solver": "newton", "local_epochs": 3})
    assert (plan.training.solver, plan.training.local_epochs) == ("newton", 3)


def test_a_preset_with_an_unknown_key_is_named(plug_ins):
    with pytest.raises(PlanError, match=r"training\.solvr is not a key.*\(preset of misspelt\)"):
        Plan(task="misspelt")


@pytest.mark.parametrize("task", ["broken", "gone"])
def test_a_plug_in_that_cannot_be_loaded_is_named(plug_ins, task):
    with pytest.raises(BadInput, match=f"task {task} cannot be loaded"):
        Plan(task=task)


@pytest.mark.parametrize(
    ("asked", "task"),
    [
        ({}, "breast_cancer"),
        ({"model": {"name": "simple_cnn"}}, "pneumonia"),
        ({"model": {"name": "densenet121"}}, "pneumonia"),
        ({"model": {"name": "cnn1d"}}, "ecg"),
        ({"model": {"name": "mlp"}, "task": None}, "breast_cancer"),
        ({"model": {"name": "resnet18"}, "task": "heart"}, "heart"),
    ],
)
def test_without_a_task_an_image_network_means_pneumonia_and_one_for_signals_ecg(asked, task):
    assert Plan(**asked).task == task


@pytest.mark.parametrize(
    ("asked", "trust", "secure"),
    [
        ({}, "masked", True),
        ({"federated": {"num_clients": 2}}, "open", False),
        ({"federated": {"num_clients": 101}}, "open", False),
        ({"server": {"optimizer": "cyclic"}}, "open", False),
        ({"secure_aggregation": {"enabled": True}}, "masked", True),
        ({"secure_aggregation": {"enabled": False}}, "open", False),
        ({"robust_aggregation": {"enabled": True}}, "open", False),
        ({"robust_aggregation": {"method": "krum"}}, "open", False),
        ({"trust": "grouped"}, "grouped", True),
        ({"trust": None, "secure_aggregation": None}, "masked", True),
        ({"trust": "open", "secure_aggregation": {"enabled": True}}, "open", True),
    ],
)
def test_trust_follows_from_the_two_sections_and_they_from_trust(asked, trust, secure):
    plan = Plan(**asked)
    assert (plan.trust, plan.effective_trust) == (trust, trust)
    assert plan.secure_aggregation.enabled is secure


@pytest.mark.parametrize(
    ("asked", "scaling"),
    [
        ({"training.solver": "sgd", "privacy.enabled": True}, "none"),
        ({"model.name": "mlp", "privacy.enabled": True}, "none"),
        ({"privacy.mechanism": "local_update"}, "none"),
        ({"privacy.mechanism": "local_update", "training.solver": "gradient"}, "none"),
        ({"task": "fed_heart_disease", "privacy.enabled": True, "model.name": "mlp"}, "none"),
        ({"task": "fed_heart_disease", "privacy.mechanism": "local_update"}, "site"),
        ({"training.solver": "gradient", "privacy.enabled": True}, "federated"),
        ({"training.solver": "sgd"}, "federated"),
        (
            {"training.solver": "sgd", "privacy.enabled": True, "data.standardize": "federated"},
            "federated",
        ),
    ],
)
def test_public_ranges_follow_from_noise_that_covers_no_statistics(asked, scaling):
    assert Plan(**asked).data.standardize == scaling


def test_a_noised_update_takes_several_steps_where_nobody_names_a_solver():
    plan = Plan(privacy={"mechanism": "local_update"})
    assert (plan.training.solver, plan.model.name) == ("sgd", "logistic")
    assert plan.training.l2 == 0.0
    off = Plan(privacy={"mechanism": "local_update", "enabled": False})
    assert off.training.solver == "newton"


@pytest.mark.parametrize(
    ("asked", "enabled", "mechanism"),
    [
        ({}, False, "none"),
        ({"epsilon_budget": 2.0}, True, "dp_sgd"),
        ({"noise_multiplier": 1.0}, True, "dp_sgd"),
        ({"mechanism": "local_update"}, True, "local_update"),
        ({"mechanism": "none"}, False, "none"),
        ({"max_grad_norm": 2.0}, False, "none"),
        ({"enabled": False, "epsilon_budget": 2.0}, False, "none"),
        ({"enabled": True, "mechanism": "none"}, True, "none"),
    ],
)
def test_privacy_that_was_asked_for_is_on_unless_it_is_switched_off(asked, enabled, mechanism):
    plan = Plan(privacy=asked)
    assert (plan.privacy.enabled, plan.privacy.mechanism) == (enabled, mechanism)


def test_a_preset_alone_asks_for_no_privacy(plug_ins):
    plan = Plan(task="adam")
    assert plan.privacy.epsilon_budget == 3.0
    assert not plan.privacy.enabled


def test_detection_that_was_asked_for_is_on():
    assert Plan(robust_aggregation={"enable_detection": True}).robust_aggregation.enabled
    assert Plan(robust_aggregation={"method": "krum"}).rule == "krum"
    assert Plan(robust_aggregation={"enabled": False, "method": "krum"}).rule == "fedavg"


def test_sections_may_be_given_as_values():
    plan = Plan(task="heart", federated=Federated(num_rounds=3), training=Training(solver="newton"))
    assert plan.federated.num_rounds == 3
    assert plan.federated.num_clients == 4
    assert plan.training.l2 > 0


def test_a_plan_is_frozen_and_hashable():
    plan = Plan(task="heart")
    with pytest.raises(ValidationError):
        plan.seed = 3
    with pytest.raises(ValidationError):
        plan.training.momentum = 0.5
    assert hash(plan) == hash(Plan(task="heart"))
    assert pickle.loads(pickle.dumps(plan)) == plan


@settings(max_examples=200, deadline=None)
@given(said())
def test_a_plan_is_the_same_after_a_journey(asked):
    plan = Plan(**asked)
    back = Plan.from_json(plan.to_json())
    assert back == plan
    assert back.sha256 == plan.sha256
    assert back.to_json() == plan.to_json()
    assert Plan(**plan.model_dump(mode="json")) == plan


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_another_value_is_another_hash(data):
    plan = Plan(task="heart")
    path = data.draw(st.sampled_from(list(defaults())))
    other = plan.edited({path: data.draw(value_of(path))})
    assert (other == plan) == (other.sha256 == plan.sha256)
    assert {p for p in defaults() if other.values[p] != plan.values[p]} <= {path}


def test_the_spelling_of_a_number_does_not_change_the_hash():
    plan = Plan(task="heart", training={"solver": "sgd", "learning_rate": 1, "momentum": 0.0})
    same = Plan(task="heart", training={"solver": "sgd", "learning_rate": 1.0, "momentum": -0.0})
    assert plan == same
    assert plan.sha256 == same.sha256


def test_the_hash_is_that_of_canonical_json():
    text = Plan(task="heart", seed=1).to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert text.isascii()
    assert list(json.loads(text)) == sorted(nest(defaults()))


def test_a_copy_with_another_value_has_another_hash():
    plan = Plan(task="heart")
    assert (
        plan.sha256
        != plan.model_copy(update={"seed": 17}).sha256
        == plan.edited({"seed": 17}).sha256
    )


def test_a_plan_that_travelled_does_not_take_presets_of_the_place_it_comes_to():
    document = json.loads(Plan(task="heart").to_json())
    del document["federated"]["num_clients"]
    assert Plan.from_json(json.dumps(document)).federated.num_clients == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"federated": 5}',
        '{"federated": null}',
        '{"training": {"learning_rate": NaN}}',
        '{"training": {"learning_rate": 1e999}}',
        '{"surprise": 1}',
        "[" * 100_000,
        '{"a":' * 800 + "1" + "}" * 800,
    ],
)
def test_what_is_no_plan_in_json_is_refused(text):
    with pytest.raises(PlanError):
        Plan.from_json(text)


@given(st.integers(1, 1000))
def test_a_quorum_is_more_than_half_and_never_more_than_all(hospitals):
    plan = Plan.from_json("{}")
    assert hospitals / 2 < plan.quorum(hospitals) <= hospitals
    assert plan.edited({"federated.quorum": "all"}).quorum(hospitals) == hospitals
    assert plan.edited({"federated.quorum": 3}).quorum(hospitals) == 3


def test_the_silent_quorum_is_two_thirds_and_one():
    plan = Plan.from_json("{}")
    assert [plan.quorum(n) for n in (1, 2, 3, 4, 5, 8, 16, 50, 100)] == [
        1,
        2,
        3,
        3,
        4,
        6,
        11,
        34,
        67,
    ]


def test_a_guard_that_is_asked_for_without_a_name_is_the_one_that_lost_least():
    plan = Plan(task="breast_cancer", robust_aggregation={"enabled": True})
    assert (plan.rule, plan.trust) == ("centered_clipping", "open")
    named = Plan(task="breast_cancer", robust_aggregation={"enabled": True, "method": "fedavg"})
    assert named.rule == "fedavg"
