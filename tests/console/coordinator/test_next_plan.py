"""The plan of the next run: what was said is kept, the rest follows, each fault names its key."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.pages.plan_form import following, groups, posted, written
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.next_plan import (
    Unsound,
    as_yaml,
    drafted,
    from_yaml,
    path_of,
    read_text,
)
from aegis.console.people.roles import THIS_MACHINE
from aegis.errors import PlanError
from aegis.plan import Plan, load_plan
from aegis.plan.layers import defaults
from aegis.store.home import Home


@pytest.fixture
def desk(tmp_path):
    return Desk.of(Home(tmp_path).prepare())


def fields_of(draft, typed=None):
    return {one.key: one for group in groups(draft, typed) for one in group.fields}


def as_shown(draft):
    return {key: one.value for key, one in fields_of(draft).items()}


def test_every_key_has_one_field_with_its_help(desk):
    shown = [one.key for group in groups(drafted({})) for one in group.fields]
    assert sorted(shown) == sorted(defaults())
    assert all(one.help for one in fields_of(drafted({})).values())


def test_a_form_that_is_sent_back_unchanged_says_nothing():
    for said in ({}, {"task": "heart"}, {"federated.num_rounds": 7, "trust": "open"}):
        base = drafted(said)
        assert posted(base, as_shown(base)).said == base.said


def test_another_task_brings_its_own_recipe():
    base = drafted({})
    typed = as_shown(base) | {"task": "heart"}
    found = posted(base, typed)
    assert found.said == {"task": "heart"}
    assert found.plan == load_plan(None, {"task": "heart"}).plan
    told = {change.key for change in following(found, typed, most=100)}
    changed = {k for k, v in found.plan.values.items() if v != base.plan.values[k]}
    assert told == changed - {"task"}


def test_an_emptied_field_follows_again_and_null_is_said_where_it_is_a_value():
    base = drafted({"training.batch_size": 64, "training.solver": "sgd"})
    found = posted(base, as_shown(base) | {"training.batch_size": ""})
    assert "training.batch_size" not in found.said
    found = posted(base, as_shown(base) | {"federated.num_rounds": ""})
    assert found.said["federated.num_rounds"] is None


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("federated.num_rounds", "-3"),
        ("federated.num_rounds", "ten"),
        ("training.learning_rate", "1e999"),
        ("privacy.epsilon_budget", "0"),
        ("model.hidden", "8, x"),
        ("trust", "blind"),
        ("task", "nonsense"),
        ("seed", "1.5"),
    ],
)
def test_a_value_that_its_key_does_not_take_is_a_fault_of_that_key_and_stays_typed(key, text):
    base = drafted({})
    typed = as_shown(base) | {key: text}
    found = posted(base, typed)
    assert key in dict(found.faults)
    assert fields_of(found, typed)[key].value == text
    assert fields_of(found, typed)[key].fault
    with pytest.raises(Unsound):
        found.sound()


def test_settings_that_do_not_go_together_name_a_key_that_was_said():
    found = drafted({"trust": "masked", "robust_aggregation.method": "krum"})
    assert found.faults
    assert {key for key, _ in found.faults} <= {"trust", "robust_aggregation.method"}
    assert pickle.loads(pickle.dumps(Unsound(found.faults))).found == found.faults


def test_what_is_configured_is_kept_and_a_refused_change_changes_nothing(desk):
    values = steering.configure(desk, {"federated": {"num_rounds": 7}}, THIS_MACHINE)
    assert values["federated.num_rounds"] == 7
    steering.configure(desk, {"training.solver": "sgd"}, THIS_MACHINE)
    before = path_of(desk.home).read_bytes()
    with pytest.raises(Unsound) as refused:
        steering.configure(desk, {"federated.num_rounds": 0}, THIS_MACHINE)
    assert refused.value.found[0][0] == "federated.num_rounds"
    assert path_of(desk.home).read_bytes() == before
    again = Desk.of(desk.home)
    assert steering.config(again)["federated.num_rounds"] == 7
    assert steering.draft(again).said == {"federated.num_rounds": 7, "training.solver": "sgd"}
    steering.reset(again)
    assert steering.config(desk) == Plan().values


def test_a_file_that_cannot_be_used_counts_as_none(desk):
    for text in ("task: [", "task: nonsense", "\udcff"):
        path_of(desk.home).write_bytes(text.encode("utf-8", "surrogateescape"))
        assert steering.config(desk) == Plan().values


def test_a_pasted_plan_is_read_as_a_plan_file_is():
    found = from_yaml("task: heart\nfederated:\n  num_rounds: 3\n")
    assert not found.faults
    assert found.plan == Plan(task="heart", federated={"num_rounds": 3})
    assert dict(from_yaml("oops: 1\n").faults).keys() == {"oops"}
    with pytest.raises(PlanError):
        from_yaml("{")


_SAID = st.fixed_dictionaries(
    {},
    optional={
        "task": st.sampled_from(["breast_cancer", "heart"]),
        "seed": st.integers(0, 2**63 - 1),
        "federated.num_rounds": st.none() | st.integers(1, 100_000),
        "privacy.delta": st.floats(1e-12, 0.5),
        "training.learning_rate": st.none() | st.floats(1e-9, 1e5),
        "model.hidden": st.lists(st.integers(1, 4096), min_size=1, max_size=4),
        "data.sites": st.lists(st.text(st.characters(codec="ascii"), min_size=1), min_size=1),
        "data.positive": st.text(min_size=1),
        "secure_aggregation.audit_enabled": st.booleans(),
    },
)


@settings(max_examples=25)
@given(_SAID)
@example({"data.positive": "\x85"})
@example({"data.positive": "a\u2028b \n"})
def test_what_is_written_as_yaml_is_read_back_as_the_same(said):
    found = drafted(said)
    again = from_yaml(as_yaml(found.said))
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in again.said.items()}
    assert plain == found.said
    assert again.plan == found.plan


@settings(max_examples=25)
@given(_SAID)
def test_a_field_says_what_it_shows(said):
    plan = drafted(said).plan
    for key in ("seed", "federated.num_rounds", "privacy.delta", "training.learning_rate"):
        assert read_text(key, written(plan.values[key])) == plan.values[key]
