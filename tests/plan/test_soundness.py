"""Soundness: what does not go together is refused with its reason and its nearest legal edits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.aggregation.conditions import SMALLEST, largest_f
from aegis.errors import PlanError
from aegis.plan import (
    NOT_YET,
    Edit,
    Fault,
    Plan,
    check_plan,
    explain,
    find_faults,
    parse_plan,
)
from aegis.plan.keys import Rule
from aegis.plan.layers import NOT_FOR_GRADIENT, NOT_FOR_NEWTON, defaults
from tests.plan.legal import said

SOUND = {"task": "breast_cancer"}
SGD = {**SOUND, "training.solver": "sgd"}
MASKED = {**SGD, "trust": "masked"}
GROUPED = {**SGD, "trust": "grouped"}
PRIVATE = {**SGD, "privacy.enabled": True}
MLP = {**SOUND, "model.name": "mlp"}


def mixes(asked):
    """The faults that stay when everything promised is there."""
    return [fault.sentence() for fault in find_faults(Plan(**asked), later=())]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {**MASKED, "secure_aggregation.enabled": False},
            "trust: masked and secure_aggregation.enabled: false disagree; use "
            "secure_aggregation.enabled: true, or trust: open (the coordinator then sees each "
            "hospital's update)",
        ),
        (
            {**SGD, "trust": "open", "secure_aggregation.enabled": True},
            "trust: open and secure_aggregation.enabled: true disagree; use "
            "secure_aggregation.enabled: false, or trust: masked",
        ),
        (
            {**MASKED, "robust_aggregation.method": "trimmed_mean"},
            "robust_aggregation.method: trimmed_mean must look at each hospital's update, but "
            "trust: masked shows the coordinator only their sum; use robust_aggregation.method: "
            "fedavg, or trust: open (the coordinator then sees each hospital's update), or trust: "
            "grouped and federated.num_clients: 9",
        ),
        (
            {**MASKED, "robust_aggregation.enable_detection": True},
            "robust_aggregation.enable_detection must look at each hospital's update, but trust: "
            "masked shows the coordinator only their sum; use robust_aggregation.enable_detection: "
            "false, or trust: open (the coordinator then sees each hospital's update), or trust: "
            "grouped and federated.num_clients: 9",
        ),
        (
            {**SGD, "robust_aggregation.method": "krum", "federated.num_clients": 4},
            "robust_aggregation.method: krum with f=1 needs at least 5 hospitals, got 4; use "
            "robust_aggregation.method: median, or federated.num_clients: 5, or "
            "robust_aggregation.method: fedavg and robust_aggregation.enable_detection: false "
            "(no rule then guards against dishonest hospitals)",
        ),
        (
            {**SOUND, "evaluation.keep": "best"},
            "evaluation.keep: best would choose by the test rows, since data.validation_fraction "
            "is 0; use data.validation_fraction: 0.15",
        ),
        (
            {**SOUND, "federated.quorum": 6},
            "federated.quorum: 6 can never be met by federated.num_clients: 5; use "
            "federated.quorum: all, or federated.num_clients: 6",
        ),
        (
            {**SOUND, "trust": "open", "privacy.mechanism": "distributed"},
            "privacy.mechanism: distributed hides each hospital's small noise in the masked sum, "
            "but trust is open; use privacy.mechanism: dp_sgd, or trust: masked",
        ),
    ],
)
def test_a_fault_gives_its_reason_and_the_nearest_legal_edits(asked, sentence):
    assert mixes(asked) == [sentence]


UNSOUND = {
    "masks that mask nothing": {**MASKED, "secure_aggregation.use_masking": False},
    "two masked hospitals": {**MASKED, "federated.num_clients": 2},
    "two masked survivors": {**MASKED, "federated.quorum": 2},
    "eight hospitals in groups": {
        **GROUPED,
        "robust_aggregation.method": "median",
        "federated.num_clients": 8,
    },
    "krum over too few groups": {
        **GROUPED,
        "robust_aggregation.method": "krum",
        "federated.num_clients": 14,
    },
    "bulyan among six": {**SGD, "robust_aggregation.method": "bulyan", "federated.num_clients": 6},
    "two dishonest of four": {
        **SGD,
        "robust_aggregation.method": "median",
        "robust_aggregation.num_byzantine": 2,
        "federated.num_clients": 4,
    },
    "a mean that withstands one": {
        **SGD,
        "robust_aggregation.enabled": True,
        "robust_aggregation.method": "fedavg",
        "robust_aggregation.num_byzantine": 1,
    },
    "more kept than honest": {
        **SGD,
        "robust_aggregation.method": "multi_krum",
        "robust_aggregation.multi_krum_k": 5,
    },
    "a trimmed mean that trims nothing": {
        **SGD,
        "robust_aggregation.method": "trimmed_mean",
        "robust_aggregation.num_byzantine": 0,
    },
    "a trimmed mean that leaves nothing": {
        **SGD,
        "robust_aggregation.method": "trimmed_mean",
        "robust_aggregation.trim_ratio": 0.49,
    },
    "a median that trims": {
        **SGD,
        "robust_aggregation.method": "median",
        "robust_aggregation.trim_ratio": 0.1,
    },
    "a median of the best": {
        **SGD,
        "robust_aggregation.method": "median",
        "robust_aggregation.multi_krum_k": 2,
    },
    "three of six asked for a krum": {
        **SGD,
        "robust_aggregation.method": "krum",
        "federated.num_clients": 6,
        "federated.selection": "random",
        "federated.fraction_fit": 0.5,
    },
    "two that watch each other": {
        **SGD,
        "robust_aggregation.enable_detection": True,
        "federated.num_clients": 2,
    },
    "histories of groups": {
        **GROUPED,
        "robust_aggregation.method": "foolsgold",
        "federated.num_clients": 9,
    },
    "cyclic under masks": {**MASKED, "server.optimizer": "cyclic"},
    "cyclic under a rule": {
        **SGD,
        "server.optimizer": "cyclic",
        "robust_aggregation.method": "median",
    },
    "scaffold under a rule": {
        **SGD,
        "server.optimizer": "scaffold",
        "robust_aggregation.method": "median",
    },
    "scaffold with adam": {**SGD, "server.optimizer": "scaffold", "training.optimizer": "adam"},
    "scaffold with momentum": {**SGD, "server.optimizer": "scaffold", "training.momentum": 0.9},
    "scaffold with gradient": {
        **SOUND,
        "server.optimizer": "scaffold",
        "training.solver": "gradient",
    },
    "newton for a network": {**MLP, "training.solver": "newton"},
    "gradient for a network": {**MLP, "training.solver": "gradient"},
    "newton with adam": {**SOUND, "training.solver": "newton", "training.optimizer": "adam"},
    "newton with momentum": {**SOUND, "training.solver": "newton", "training.momentum": 0.5},
    "newton with epochs": {**SOUND, "training.solver": "newton", "training.local_epochs": 2},
    "newton with scaffold": {
        **SOUND,
        "training.solver": "newton",
        "server.optimizer": "scaffold",
    },
    "gradient with epochs": {**SOUND, "training.solver": "gradient", "training.local_epochs": 2},
    "hidden layers in a regression": {**SOUND, "model.hidden": [8]},
    "dropout in a regression": {**SOUND, "model.dropout": [0.1]},
    "too few dropout rates": {**MLP, "model.dropout": [0.1]},
    "dropout for other layers": {**MLP, "model.hidden": [8, 8], "model.dropout": [0.1, 0.1, 0.1]},
    "a network from zeros": {**MLP, "model.init": "zeros"},
    "one hospital": {**SOUND, "federated.num_clients": 1},
    "everybody, but some": {**SOUND, "federated.fraction_fit": 0.5},
    "patience on test rows": {**SOUND, "evaluation.patience": 3},
    "plateau on test rows": {**SGD, "training.schedule": "plateau"},
    "best without scores": {
        **SOUND,
        "evaluation.keep": "best",
        "evaluation.every": 0,
        "data.validation_fraction": 0.1,
    },
    "nothing to train on": {
        **SOUND,
        "data.test_fraction": 0.6,
        "data.validation_fraction": 0.4,
    },
    "privacy without a mechanism": {**PRIVATE, "privacy.mechanism": "none"},
    "laplace inside gradients": {**PRIVATE, "privacy.noise": "laplace"},
    "no noise": {**PRIVATE, "privacy.noise_multiplier": 0.0},
    "private newton": {**SOUND, "training.solver": "newton", "privacy.enabled": True},
    "exact statistics beside noisy steps": {**PRIVATE, "data.standardize": "federated"},
    "noisy steps scaled by other patients": {**PRIVATE, "data.standardize": "site"},
    "exact statistics beside noisy updates": {
        **SGD,
        "privacy.mechanism": "local_update",
        "data.standardize": "federated",
    },
    "bare control variates": {
        **SGD,
        "privacy.mechanism": "local_update",
        "server.optimizer": "scaffold",
    },
}


@pytest.mark.parametrize("asked", UNSOUND.values(), ids=UNSOUND)
def test_an_impossible_mix_is_one_fault_and_each_way_out_mends_it(asked):
    [fault] = find_faults(Plan(**asked), later=())
    for edit in fault.edits:
        left = find_faults(Plan(**{**asked, **edit.changes}), later=())
        assert fault.problem not in [other.problem for other in left]
    assert set(fault.keys) <= set(defaults())
    with pytest.raises(PlanError):
        check_plan(Plan(**asked), later=())


@pytest.mark.parametrize(
    "asked",
    [
        SOUND,
        SGD,
        MLP,
        MASKED,
        PRIVATE,
        {**MASKED, "server.optimizer": "fedyogi"},
        {**MASKED, "training.solver": "gradient", "privacy.mechanism": "distributed"},
        {**GROUPED, "robust_aggregation.method": "median", "federated.num_clients": 9},
        {**GROUPED, "robust_aggregation.method": "krum", "federated.num_clients": 15},
        {**GROUPED, "robust_aggregation.enable_detection": True, "federated.num_clients": 9},
        {**SGD, "robust_aggregation.method": "trimmed_mean", "robust_aggregation.trim_ratio": 0.1},
        {**SGD, "robust_aggregation.method": "bulyan", "federated.num_clients": 7},
        {**SGD, "server.optimizer": "cyclic"},
        {**SGD, "server.optimizer": "scaffold"},
        {**SOUND, "training.solver": "gradient", "server.optimizer": "fedavgm"},
        {**SOUND, "federated.fraction_fit": 0.5, "federated.selection": "random"},
        {**SOUND, "federated.quorum": 5},
        {**MLP, "model.hidden": [8], "model.dropout": [0.2]},
        {
            **SGD,
            "training.schedule": "plateau",
            "evaluation.patience": 3,
            "data.validation_fraction": 0.1,
        },
        {**SGD, "privacy.mechanism": "local_update", "privacy.noise": "laplace"},
        {**SGD, "privacy.mechanism": "local_update", "data.standardize": "site"},
        {**MLP, "privacy.enabled": True, "training.optimizer": "adam"},
        {**SOUND, "training.solver": "gradient", "privacy.mechanism": "local_update"},
        {**SOUND, "robust_aggregation.enabled": False, "robust_aggregation.method": "bulyan"},
    ],
)
def test_a_possible_mix_passes(asked):
    assert mixes(asked) == []
    check_plan(Plan(**asked), later=())


def test_what_newton_does_not_take_is_silent_at_its_default():
    for path, unset in {**NOT_FOR_GRADIENT, **NOT_FOR_NEWTON}.items():
        assert defaults()[path] == unset


def test_every_rule_has_a_smallest_number():
    assert set(SMALLEST) == set(Rule.__args__)


@given(st.sampled_from(list(SMALLEST)), st.integers(0, 200))
def test_a_rule_withstands_as_many_as_its_smallest_number_says(rule, updates):
    per_f, more = SMALLEST[rule]
    f = largest_f(rule, updates)
    assert f == 0 or updates >= per_f * f + more
    assert per_f == 0 or updates < per_f * (f + 1) + more


def test_numbers_of_the_papers():
    needed = {rule: per_f + more for rule, (per_f, more) in SMALLEST.items()}
    assert (needed["median"], needed["krum"], needed["bulyan"]) == (3, 5, 7)
    assert [largest_f("bulyan", n) for n in (6, 7, 10, 11)] == [0, 1, 1, 2]


PROMISED = {
    "model.num_classes: 500": {**SOUND, "model.num_classes": 500},
}


@pytest.mark.parametrize("what", PROMISED)
def test_what_is_promised_is_said_not_to_be_here_yet(what):
    found = [fault.sentence(PROMISED[what]) for fault in find_faults(Plan(**PROMISED[what]))]
    assert any(one.startswith(f"{what} is not in this version yet; use ") for one in found)


@pytest.mark.parametrize("key", ["data.label", "data.positive", "data.group"])
def test_a_task_that_knows_its_columns_is_told_no_other(key):
    [fault] = find_faults(Plan(**{"task": "breast_cancer", key: "patient"}))
    costs = " (rows are then split one by one)" if key == "data.group" else ""
    assert str(fault) == (
        f"{key}: patient is for task: table, and breast_cancer knows its own columns; "
        f"use {key}: null{costs}"
    )
    assert not find_faults(Plan(**{"task": "table", key: "patient"}))


@pytest.mark.parametrize("rule", SMALLEST)
def test_a_rule_that_is_off_needs_no_number_of_hospitals(rule):
    asked = {"robust_aggregation.method": rule, "robust_aggregation.enabled": False}
    assert not find_faults(Plan(**SOUND, **asked, **{"federated.num_clients": 3}))


@pytest.mark.parametrize(
    ("hospitals", "rule", "f"),
    [(5, "median", 1), (11, "median", 3), (5, "krum", 1), (11, "krum", 2), (30, "bulyan", 4)],
)
def test_an_open_f_is_what_the_rule_withstands_when_the_quorum_answers(hospitals, rule, f):
    asked = {"robust_aggregation.method": rule, "federated.num_clients": hospitals}
    assert Plan(**SGD, **asked).byzantine == f
    everybody = Plan(**SGD, **asked, **{"federated.quorum": "all"})
    assert everybody.byzantine == largest_f(rule, hospitals)


def test_an_open_f_is_explained():
    loaded = parse_plan(None, {"robust_aggregation.method": "median", "task": "breast_cancer"})
    [(value, origin)] = [
        (value, origin)
        for key, value, origin in explain(loaded)
        if key == "robust_aggregation.num_byzantine"
    ]
    assert value == 1
    assert origin == "null: the most that median withstands among those that must answer"


def test_every_row_of_the_table_names_a_key_and_leads_out_of_itself():
    for row in NOT_YET:
        assert row.key in defaults()
        assert row.instead[row.key] not in row.values
        assert defaults()[row.key] not in row.values


@pytest.mark.parametrize(
    ("asked", "beginning", "ending"),
    [
        ({"task": "hart"}, "task: hart is not a task; there are ", "; use task: heart"),
        (
            {**SOUND, "model.name": "logistik"},
            "model.name: logistik is not a model; there are ",
            "; use model.name: logistic",
        ),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(asked, beginning, ending):
    [sentence] = [str(fault) for fault in find_faults(Plan(**asked))]
    assert sentence.startswith(beginning)
    assert sentence.endswith(ending)


def test_all_faults_of_a_plan_come_at_once():
    asked = {"trust": "masked", "federated.quorum": 9, "model.name": "cnn9d", "task": "eczema"}
    with pytest.raises(PlanError) as caught:
        check_plan(Plan(**asked))
    assert len(caught.value.faults) == 3
    assert str(caught.value) == "\n".join(caught.value.faults)


def test_a_way_out_leaves_out_what_follows_by_itself():
    fault = Fault(("trust",), "no", (Edit({"trust": "open", "secure_aggregation.enabled": False}),))
    assert str(fault) == "no; use trust: open"
    assert fault.sentence(["secure_aggregation.enabled"]) == (
        "no; use secure_aggregation.enabled: false"
    )
    assert fault.sentence(["trust", "secure_aggregation.enabled"]) == (
        "no; use trust: open and secure_aggregation.enabled: false"
    )
    assert str(Fault(("trust",), "no")) == "no"


@settings(max_examples=200, deadline=None)
@given(said())
def test_every_fault_of_any_plan_has_a_way_out_that_mends_it(asked):
    plan = Plan(**asked)
    for fault in find_faults(plan):
        assert fault.edits, fault.problem
        for edit in fault.edits:
            after = plan.edited(edit.changes)
            assert fault.problem not in [other.problem for other in find_faults(after)]
