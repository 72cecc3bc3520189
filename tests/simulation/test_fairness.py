"""Fairness, benefit and usefulness of whole runs on invented patients: the counts are the rows',
sums in secret say the same, noise is charged, and nothing small is told."""

from dataclasses import replace

import numpy as np
import pytest

from aegis.assurance.groups import groups_from_counts, spread_from_counts
from aegis.errors import PlanError
from aegis.hospital.node import Node
from aegis.hospital.site import VolatileMemory
from aegis.plan import check_plan, load_plan
from aegis.report.fairness import fairness
from aegis.report.result import result_of
from aegis.report.usefulness import usefulness
from aegis.simulation.accounts import PUBLIC, simulated_account
from aegis.simulation.comparison import Fitted
from aegis.simulation.federation import Federation
from aegis.simulation.leaving_out import leave_one_out, trained_without
from aegis.simulation.personalising import personalised
from aegis.simulation.seals import simulated_keys, simulated_seals
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import read_preparation
from aegis.tasks.task import below
from aegis.wiring import federate

HEART = {"task": "heart", "data.synthetic": "true", "federated.num_rounds": "6"}
OPEN = {"trust": "open", "secure_aggregation.enabled": "false"}


def plan_of(**keys):
    said = {key.replace("__", "."): str(value) for key, value in keys.items()}
    return load_plan(None, {**HEART, **said}).plan


def run(plan, policy=PUBLIC, folder=None):
    federation = Federation.of(plan, None)
    seals = {}
    if plan.trust != "open":
        seals = simulated_seals(simulated_keys(federation.sites), plan.seed)
    nodes = {}
    for name, site in federation.sites.items():
        account = None if folder is None else simulated_account(site, plan, folder)
        nodes[name] = Node(
            site, VolatileMemory(), account=account, policy=policy, seal=seals.get(name)
        )
    try:
        final = federate(federation.study, "run", StackedHospitals(nodes), Forgetful())
        charged = {
            name: node.account.ledger.events("run scores")
            for name, node in nodes.items()
            if node.account is not None
        }
    finally:
        for node in nodes.values():
            if node.account is not None:
                node.account.ledger.close()
    return federation, final, charged


def exact_groups(federation, final):
    """Counted from the rows, past every message."""
    everyone = below([site.test for site in federation.sites.values()])
    model = federation.study.model(final.progress.preparation)
    design = read_preparation(final.progress.preparation).apply(everyone)
    called = model.logits(final.progress.weights, design) >= 0
    found = {}
    for grouping in federation.study.groupings:
        place = grouping.places(everyone)
        found[grouping.attribute] = [
            tuple(
                int(((place == number) & (called == c) & (everyone.labels == y)).sum())
                for y in (0, 1)
                for c in (False, True)
            )
            for number in range(len(grouping.labels))
        ]
    return found


def as_tuples(groups):
    return [
        (g.true_negatives, g.false_positives, g.false_negatives, g.true_positives) for g in groups
    ]


@pytest.fixture(scope="module")
def in_the_open():
    return run(plan_of(**OPEN))


def test_the_counts_by_group_are_those_of_the_rows(in_the_open):
    federation, final, _ = in_the_open
    total = np.add.reduce(list(final.groups.values()))
    for attribute, groups in groups_from_counts(federation.study.groupings, total).items():
        assert as_tuples(groups) == exact_groups(federation, final)[attribute]


def test_sums_in_secret_give_the_same_groups_and_hide_the_hospitals(in_the_open):
    federation, final, _ = in_the_open
    _, hidden, _ = run(plan_of(), policy=replace(PUBLIC, scores="summed"))
    assert hidden.groups == {}
    assert hidden.histograms == {}
    total = np.add.reduce(list(final.groups.values()))
    assert (hidden.sealed.groups == total).all()
    shown, sealed = fairness(federation.study, final), fairness(federation.study, hidden)
    assert sealed["attributes"][1:] == shown["attributes"][1:]
    assert sealed["attributes"][0]["groups"] == []
    assert "sum" in sealed["attributes"][0]["reason"]
    assert sealed["within_hospitals"] == []
    spread = spread_from_counts(federation.study.groupings, total)
    assert sealed["hospital_accuracy"]["variance"] == pytest.approx(spread.variance)
    assert shown["hospital_accuracy"]["variance"] == pytest.approx(spread.variance, abs=1e-5)
    assert (
        usefulness(hidden)["usefulness"]["thresholds"]
        == (usefulness(final)["usefulness"]["thresholds"])
    )


def test_noisy_hospitals_charge_the_groups_once_and_tell_no_exact_count(tmp_path, in_the_open):
    federation, final, _ = in_the_open
    policy = replace(PUBLIC, scores="noisy", score_epsilon=0.5)
    _, noisy, charged = run(plan_of(**OPEN, evaluation__every=0), policy, tmp_path)
    assert all(len(events) == 2 for events in charged.values()), "scores, and groups"
    assert charged.keys() == noisy.groups.keys()
    exact = np.add.reduce(list(final.groups.values()))
    total = np.add.reduce(list(noisy.groups.values()))
    assert (total != exact).any()
    shown = groups_from_counts(federation.study.groupings, total)
    assert all(group.examples >= 0 for groups in shown.values() for group in groups)
    found = fairness(federation.study, noisy)
    assert found["fair"] is not None
    assert usefulness(noisy)["usefulness"] is None


def test_without_room_for_groups_scores_go_out_alone(tmp_path):
    policy = replace(PUBLIC, scores="noisy", score_epsilon=0.9, epsilon_cap=1.0)
    _, noisy, charged = run(plan_of(**OPEN, evaluation__every=0), policy, tmp_path)
    assert noisy.histograms
    assert noisy.groups == {}
    assert all(len(events) == 1 for events in charged.values())


def test_the_plans_thresholds_flip_the_verdict(in_the_open):
    federation, final, _ = in_the_open
    lax = replace(
        federation.study, plan=plan_of(**OPEN, fairness__thresholds__accuracy_parity=0.99)
    )
    strict = replace(
        federation.study,
        plan=plan_of(
            **OPEN,
            fairness__thresholds__accuracy_parity=0.0,
            fairness__thresholds__hospital_variance=0.0,
        ),
    )
    assert fairness(lax, final)["fair"] is True
    found = fairness(strict, final)
    assert found["fair"] is False
    assert {one["measure"] for one in found["violations"]} == {
        "accuracy_parity",
        "hospital_variance",
    }


def test_an_attribute_that_is_none_is_refused_with_the_others_as_way_out():
    with pytest.raises(
        PlanError, match=r"race has no public groups.*use fairness.attributes: \[sex"
    ):
        check_plan(plan_of(fairness__attributes="[race, sex]"))


def test_a_hospital_that_only_scores_trains_nothing_and_is_served_as_if_left_out():
    plan = plan_of(federated__evaluate_only="[switzerland]", **OPEN)
    federation, final, _ = run(plan)
    whole = Federation.of(plan_of(**OPEN), None)
    assert final.progress.participation.get("switzerland", 0) == 0
    site = whole.sites["switzerland"]
    everything = below([site.train, site.validation, site.test])
    assert int(final.histograms["switzerland"].sum()) == len(everything)
    left_out = trained_without(whole, "switzerland")
    assert final.progress.weights == pytest.approx(left_out.weights, abs=1e-9)
    result = result_of(
        federation.study, final, [], transport="inprocess", model_sha256="", releases={}
    )
    row = next(h for h in result["hospitals"] if h["name"] == "switzerland")
    assert (row["status"], row["examples"], row["rounds"]) == ("scores only", 0, 0)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"federated__evaluate_only": "[va, cleveland]", "trust": "masked"}, "needs 3"),
        ({"federated__evaluate_only": "[va, cleveland, hungarian, switzerland]", **OPEN}, "0 of 4"),
    ],
)
def test_a_plan_that_leaves_too_few_to_train_is_refused(keys, said):
    with pytest.raises(PlanError, match=said):
        check_plan(plan_of(**keys))


def test_leaving_one_out_scores_every_row_of_the_hospital_left_out():
    federation, final, _ = run(plan_of(**OPEN))
    shared = Fitted(federation.study, final.progress.preparation, final.progress.weights)
    found = leave_one_out(federation, dict.fromkeys(federation.sites, shared))["leave_one_out"]
    assert [row["name"] for row in found["hospitals"]] == list(federation.sites)
    for row in found["hospitals"]:
        site = federation.sites[row["name"]]
        assert row["examples"] == len(site.train) + len(site.test)
        assert row["outside"]["examples"] == row["examples"]
        low, high = row["on_test"]["difference"]["ci95"]
        assert low <= row["on_test"]["difference"]["accuracy"] <= high
    mean = np.mean([row["outside"]["accuracy"] for row in found["hospitals"]])
    assert found["mean"]["accuracy"] == pytest.approx(mean)


def test_a_network_is_tuned_by_passes_that_help_on_rows_left_out():
    plan = plan_of(
        model__name="heart_mlp", training__solver="sgd", training__learning_rate=0.05, **OPEN
    )
    federation, final, _ = run(plan)
    shared = Fitted(federation.study, final.progress.preparation, final.progress.weights)
    for site in federation.sites.values():
        own = personalised(shared, site, 0.05, 7)
        again = personalised(shared, site, 0.05, 7)
        assert own.method == "fine-tuning"
        assert (own.logits(site.test) == again.logits(site.test)).all()
        if not own.moved:
            assert (own.logits(site.test) == shared.logits(site.test)).all()
