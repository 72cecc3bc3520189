"""A hospital may ask for a run; it may not stand in for the two people that a plan needs."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import closing

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.runs import agreements, steering
from aegis.console.people.roles import THIS_MACHINE
from aegis.identity.asking import DOMAIN, asked_bytes
from aegis.operations.hospital.folder import Registered
from aegis.store.journal import Journal
from tests.console.asking import Asking
from tests.console.coordinator.test_steering import ANA, Agreed, Past, plan, until
from tests.operations.here import Here


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """One member, who never comes: runs wait for it. Each test has plans of its own."""
    found = Here(tmp_path_factory.mktemp("here"))
    with found.coordinator:
        found.make("north", Registered("breast_cancer", share="1/3"))
        yield found
    assert not found.errors


def wish(here, desk, asked_plan, **changed):
    said = {
        "hospital": "north",
        "plan_sha256": asked_plan.sha256,
        "time": time.time(),
        "nonce": secrets.token_hex(16),
    } | changed
    mark = here.folder("north").identity().signing.sign(DOMAIN, asked_bytes(said)).hex()
    return Asking(coordinator_app(desk), None).post(
        "/api/ask-for-run",
        content=json.dumps(said | {"signature": mark}),
        headers={"Content-Type": "application/json"},
    )


def over(desk, run):
    steering.stop(desk, run)
    until(lambda: steering.going(desk) is None)


def test_a_wish_begins_no_open_run_that_two_people_have_not_agreed_to(here):
    desk = Desk.of(here.office.home, here.coordinator)
    open_plan = plan(trust="open", federated__quorum=3)
    over(desk, steering.start(desk, open_plan, "hospitals", THIS_MACHINE))
    answer = wish(here, desk, open_plan)
    assert answer.status_code == 409
    assert "two people" in answer.text
    assert steering.going(desk) is None
    masked = plan(federated__quorum=3)
    over(desk, steering.start(desk, masked, "hospitals", ANA))
    answer = wish(here, desk, masked)
    assert answer.status_code == 200
    over(desk, answer.json()["run"])


def test_a_plan_that_was_only_rehearsed_is_nobodys_to_ask_for(here):
    desk = Desk.of(here.office.home, here.coordinator)
    rehearsed = plan(federated__quorum=3, seed=101)
    with closing(Journal(here.office.home.database)) as journal:
        text = rehearsed.to_json()
        journal.open_run("rehearsal-1", rehearsed.task, text, rehearsed.sha256, {})
    answer = wish(here, desk, rehearsed)
    assert answer.status_code == 409
    assert "no such plan" in answer.text


def test_a_wish_without_a_time_is_none(here):
    desk = Desk.of(here.office.home, here.coordinator)
    masked = plan(federated__quorum=3, seed=102)
    over(desk, steering.start(desk, masked, "hospitals", ANA))
    assert wish(here, desk, masked, time=float("inf")).status_code in (403, 422)
    body = json.dumps(
        {
            "hospital": "north",
            "plan_sha256": masked.sha256,
            "time": float("nan"),  # abs(now - nan) > 120 is false
            "nonce": "0" * 32,
            "signature": "0" * 128,
        }
    )
    answer = Asking(coordinator_app(desk), None).post(
        "/api/ask-for-run", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422


def test_rehearsals_do_not_make_an_agreement_good_for_a_second_run(here):
    desk = Desk.of(here.office.home, here.coordinator)
    unmasked = plan(trust="open", federated__quorum=3, seed=103)
    payload = {"task": "breast_cancer", "plan_sha256": unmasked.sha256, "trust": "open"}
    desk.extra["proposals"] = Agreed((Past("leave_masked", "done", payload),))
    over(desk, steering.start(desk, unmasked, "hospitals", ANA))
    assert not steering.agreements(desk, unmasked)[0].agreed
    with closing(Journal(here.office.home.database)) as journal:
        other = plan(seed=104)
        for number in range(60):  # more than a list of runs shows
            name = f"z-rehearsal-{number}"
            journal.open_run(name, other.task, other.to_json(), other.sha256, {})
    assert not steering.agreements(desk, unmasked)[0].agreed


def test_a_task_by_its_other_name_has_the_budget_of_the_task(here):
    desk = Desk.of(here.office.home, here.coordinator)
    private = plan(trust="masked", privacy__enabled=True, privacy__mechanism="local_update")
    with closing(Journal(here.office.home.database)) as journal:
        options = {"transport": "queues"}
        journal.open_run("one", "symptoms", private.to_json(), private.sha256, options)
    assert agreements.largest_budget(desk, "symptoms") is not None
    assert agreements.largest_budget(desk, "symptom") == agreements.largest_budget(desk, "symptoms")
