"""A person decides on a plan, having read what leaves and what it costs."""

from __future__ import annotations

import re

import pytest

from aegis.console.hospital.pages.approval import changes, facts, plain_words, size
from aegis.console.window.spoken import spoken
from aegis.plan import load_plan
from tests.console.hospital.conftest import ANA, OTTO, VERA

PRIVATE = {
    "task": "vitals",
    "federated.num_clients": "4",
    "privacy.enabled": "true",
    "privacy.mechanism": "distributed",
    "model.name": "logistic",
    "model.init": "zeros",
    "training.solver": "gradient",
    "training.optimizer": "sgd",
    "training.learning_rate": "null",
    "training.schedule": "constant",
    "training.weight_decay": "0.0",
    "federated.num_rounds": "null",
    "evaluation.every": "0",
    "evaluation.keep": "last",
    "data.validation_fraction": "0.0",
}


def proposed(desk, **more):
    plan = load_plan(None, PRIVATE | {k.replace("__", "."): str(v) for k, v in more.items()}).plan
    desk.decisions.refuses(f"run {plan.sha256[:6]}", plan)
    return plan


def test_the_card_says_what_leaves_what_never_leaves_and_what_it_costs(window, desk):
    plan = proposed(desk)
    page = window(ANA).get(f"/plans/{plan.sha256}").text
    for said in (
        "May north take part in", "Leaves", "Also leaves", "Never leaves", "Uses",
        "Who gets the result", "If you stop later", "This plan asks for",
        spoken(plan.sha256), "Approve once", "Record decision",
    ):  # fmt: skip
        assert said in page
    assert not re.search(r"<input[^>]*type=\"radio\"[^>]*checked", page)
    assert page.count('<button class="btn">') == 1


def test_the_number_of_numbers_is_the_models(desk):
    plan = proposed(desk)
    from aegis.console.hospital.pages.approval import rows_of

    found = size(plan, rows_of(desk))
    assert found.numbers == 5  # four signs and an intercept
    assert found.rounds is not None
    assert found.rounds > 1
    said = dict(facts(desk, plan, desk.policy, rows_of(desk)))
    assert "5 numbers a round" in said["Leaves"]
    assert "150\xa0rows, 4\xa0columns" in said["Uses"]


def test_approving_counts_for_one_run_and_is_signed(window, desk):
    plan = proposed(desk)
    answer = window(ANA).post(f"/plans/{plan.sha256}", data={"decision": "approve"})
    assert answer.status_code == 303
    (found,) = desk.decisions.proposals()
    assert (found.status, found.by, found.runs) == ("approved", "ana", 1)
    act = desk.acts.all(1)[0]
    assert (act.who, act.act, act.about) == ("ana", "approved a plan", plan.sha256)
    assert desk.acts.check(desk.folder.keys.public("north").signing) == 1
    again = window(ANA).post(f"/plans/{plan.sha256}", data={"decision": "approve"})
    assert again.status_code == 422
    assert desk.decisions.proposals()[0].runs == 1


def test_a_refusal_says_why(window, desk):
    plan = proposed(desk)
    for data in ({"decision": "refuse"}, {"decision": "refuse", "reason": "x" * 501}):
        answer = window(ANA).post(f"/plans/{plan.sha256}", data=data)
        assert answer.status_code == 422
        assert desk.decisions.proposals()[0].status == "pending"
    said = {"decision": "refuse", "reason": "too much noise"}
    assert window(ANA).post(f"/plans/{plan.sha256}", data=said).status_code == 303
    assert desk.decisions.proposals()[0].reason == "too much noise"


@pytest.mark.parametrize("decision", ["", "yes", "APPROVE", "approve\x00"])
def test_no_decision_is_no_decision(window, desk, decision):
    plan = proposed(desk)
    answer = window(ANA).post(f"/plans/{plan.sha256}", data={"decision": decision})
    assert answer.status_code == 422
    assert "Choose one" in answer.text
    assert desk.decisions.proposals()[0].status == "pending"
    assert desk.acts.all() == []


@pytest.mark.parametrize("person", [OTTO, VERA])
def test_who_may_not_decide_may_read(window, desk, person):
    plan = proposed(desk)
    page = window(person).get(f"/plans/{plan.sha256}")
    assert page.status_code == 200
    assert "Record decision" not in page.text
    answer = window(person).post(f"/plans/{plan.sha256}", data={"decision": "approve"})
    assert answer.status_code == 403
    assert desk.decisions.proposals()[0].status == "pending"


def test_without_the_key_nothing_is_decided(window, desk):
    plan = proposed(desk)
    desk.identity = None
    page = window(ANA).get(f"/plans/{plan.sha256}").text
    assert "key is not open" in page
    answer = window(ANA).post(f"/plans/{plan.sha256}", data={"decision": "approve"})
    assert answer.status_code == 409
    assert desk.decisions.proposals()[0].status == "pending"


@pytest.mark.parametrize("sha", ["0" * 64, "abc", "..", "%2e%2e"])
def test_a_plan_that_was_not_proposed_is_not_found(window, sha):
    assert window(ANA).get(f"/plans/{sha}").status_code in (303, 404)
    assert window(ANA).post(f"/plans/{sha}", data={"decision": "approve"}).status_code in (404, 405)


def test_changes_since_the_last_plan_are_those_that_differ(desk):
    first = proposed(desk)
    second = proposed(desk, privacy__epsilon_budget="0.5")
    proposals = {one.plan_sha256: one for one in desk.decisions.proposals()}
    assert changes(desk, proposals[first.sha256]) is None
    found = changes(desk, proposals[second.sha256])
    assert found is not None
    assert [row[0] for row in found["table"].rows] == ["privacy.epsilon_budget"]


def test_plain_words_promise_no_more_than_the_bound():
    plan = load_plan(None, PRIVATE).plan
    assert "74 of 100" in plain_words(plan)
    assert "promises little" in plain_words(plan.edited({"privacy.epsilon_budget": 8.0}))
    bare = plan.edited({"privacy.enabled": False, "privacy.mechanism": "none"})
    assert "no noise" in plain_words(bare)


def test_a_policy_that_refuses_says_so_on_the_card(window, desk):
    plan = proposed(desk, privacy__epsilon_budget="3.0")
    page = window(ANA).get(f"/plans/{plan.sha256}").text
    assert "refuses this plan anyway" in page


def test_words_name_a_digest():
    assert spoken("0" * 64, 2) == "babab babab"
    assert spoken("ffff0001" + "0" * 56, 2) == "zuzuz babad"
    assert len(spoken("ab" * 32).split()) == 8
    with pytest.raises(ValueError, match="too few"):
        spoken("abcd", 8)
