"""The budget, and the two people whom raising it takes."""

from __future__ import annotations

import pytest

from aegis.hospital.ledger import Ledger
from aegis.hospital.policy import Closed
from aegis.operations.hospital.folder import policy_text
from aegis.operations.hospital.policies import for_public_data, strict
from aegis.operations.hospital.repolicing import loosened, needs_two
from aegis.operations.hospital.rows import data_sha256
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from tests.console.hospital.conftest import ANA, BEN, OTTO, VERA


def spend(desk, releases=3):
    ledger = Ledger.open(desk.folder.ledger, data_sha256(desk.folder.registered))
    for number in range(releases):
        ledger.reserve("run-a", number, "train", GaussianRelease(8.0), Cap(4.0, 1e-5))
    found = ledger.spent(1e-5).enforced
    ledger.close()
    return found


def test_what_is_left_is_the_cap_less_what_the_ledger_says(window, desk):
    spent = spend(desk)
    page = window(VERA).get("/budget").text
    assert f"{4 - spent:.2f} of 4.00 epsilon is left" in page
    assert "run-a" in page
    assert "Epsilon left after each release" in page
    assert page.count("<tr") >= 4


def test_raising_takes_two_people_and_signs_the_policy_anew(window, desk):
    said = {"epsilon_total": "5", "reason": "a second study"}
    assert window(ANA).post("/budget/propose", data=said).status_code == 303
    assert desk.policy.epsilon_total == 4.0
    page = window(ANA).get("/budget").text
    assert "Confirm, and sign" not in page
    page = window(BEN).get("/budget").text
    seen = page.split('name="seen" value="')[1].split('"')[0]
    own = window(ANA).post("/budget/proposals/1/confirm", data={"seen": seen})
    assert own.status_code == 403
    assert desk.policy.epsilon_total == 4.0
    done = window(BEN).post("/budget/proposals/1/confirm", data={"seen": seen})
    assert done.status_code == 303
    assert desk.policy.epsilon_total == 5.0
    again = window(BEN).post("/budget/proposals/1/confirm", data={"seen": seen})
    assert again.status_code == 422
    acts = [one.act for one in desk.acts.all()]
    assert "signed a policy" in acts
    assert desk.acts.check(desk.folder.keys.public("north").signing) == len(acts)


def test_what_was_shown_is_what_is_confirmed(window, desk):
    window(ANA).post("/budget/propose", data={"epsilon_total": "5", "reason": "why"})
    wrong = window(BEN).post("/budget/proposals/1/confirm", data={"seen": "0" * 64})
    assert wrong.status_code == 403
    assert desk.policy.epsilon_total == 4.0
    # and where the policy was changed meanwhile, the proposal is stale
    page = window(BEN).get("/budget").text
    seen = page.split('name="seen" value="')[1].split('"')[0]
    from aegis.operations.hospital.repolicing import put_in_force

    put_in_force(desk.folder, policy_text("north", strict("vitals")), desk.identity)
    stale = window(BEN).post("/budget/proposals/1/confirm", data={"seen": seen})
    assert stale.status_code == 403
    assert desk.policy.epsilon_total == 1.0


@pytest.mark.parametrize("value", ["", "many", "-1", "0", "nan", "inf", "1e9", "4", "3.5", "5; 6"])
def test_a_total_that_is_none_is_refused_with_its_field(window, desk, value):
    said = {"epsilon_total": value, "reason": "why"}
    answer = window(ANA).post("/budget/propose", data=said)
    assert answer.status_code == 422
    assert 'href="#epsilon_total"' in answer.text
    assert desk.policy.epsilon_total == 4.0


def test_a_proposal_needs_its_reason(window):
    answer = window(ANA).post("/budget/propose", data={"epsilon_total": "5", "reason": " "})
    assert answer.status_code == 422
    assert 'href="#reason"' in answer.text


@pytest.mark.parametrize("person", [OTTO, VERA])
def test_others_may_look_and_not_raise(window, person):
    assert window(person).get("/budget").status_code == 200
    for path in ("propose", "proposals/1/confirm", "proposals/1/refuse"):
        assert window(person).post(f"/budget/{path}").status_code == 403


def test_a_stricter_policy_is_signed_at_once(window, desk):
    page = window(ANA).get("/policy").text
    before = page.split('name="before" value="')[1].split('"')[0]
    text = desk.folder.policy.read_text().replace("minimum_rows = 20", "minimum_rows = 50")
    answer = window(ANA).post("/policy", data={"text": text, "before": before})
    assert answer.status_code == 303
    assert desk.policy.minimum_rows == 50
    stale = window(ANA).post("/policy", data={"text": text, "before": before})
    assert stale.status_code == 422


def test_a_looser_policy_waits_for_a_second_person(window, desk):
    page = window(ANA).get("/policy").text
    before = page.split('name="before" value="')[1].split('"')[0]
    text = desk.folder.policy.read_text().replace('["masked", "grouped"]', '["open", "masked"]')
    answer = window(ANA).post("/policy", data={"text": text, "before": before, "reason": "why"})
    assert answer.status_code == 303
    assert "open" not in desk.policy.trust
    assert "leave_masked" in desk.acts.all(1)[0].said + desk.acts.all(1)[0].act


@pytest.mark.parametrize(
    "text",
    ["", "not toml [", 'version = 1\nhospital = "south"\ntasks = ["vitals"]', "x" * 70_000,
     'version = 1\nhospital = "north"\ntasks = ["vitals"]\nepsilon_totl = 3'],
)  # fmt: skip
def test_an_unsound_policy_changes_nothing(window, desk, text):
    before = window(ANA).get("/policy").text.split('name="before" value="')[1].split('"')[0]
    answer = window(ANA).post("/policy", data={"text": text, "before": before})
    assert answer.status_code == 422
    assert desk.policy.epsilon_total == 4.0


def test_a_policy_nobody_signed_closes_the_hospital_and_says_so(window, desk):
    desk.folder.policy.write_text(desk.folder.policy.read_text() + "\n# changed\n")
    assert isinstance(desk.policy, Closed)
    assert "takes part in nothing" in window(VERA).get("/policy").text
    assert window(VERA).get("/h").status_code == 200


def test_one_person_signs_nothing_while_the_policy_in_force_cannot_be_read(window, desk):
    """What is looser than the policy that counted may be stricter than the usual one."""
    from dataclasses import replace

    from aegis.hospital.policy import Policy
    from aegis.operations.hospital.repolicing import file_sha256, put_in_force

    strictest = replace(strict("vitals"), epsilon_total=0.1, scores="withheld", trust=("masked",))
    put_in_force(desk.folder, policy_text("north", strictest), desk.identity)
    assert desk.policy.epsilon_total == 0.1
    desk.folder.policy.write_text(desk.folder.policy.read_text() + "\n# half signed\n")
    assert isinstance(desk.policy, Closed)
    usual = policy_text("north", replace(Policy(), tasks=("vitals",)))
    said = {"text": usual, "before": file_sha256(desk.folder), "reason": "again"}
    assert window(ANA).post("/policy", data=said).status_code == 303
    assert isinstance(desk.policy, Closed)
    assert "Confirm, and sign" in window(BEN).get("/budget").text


def test_what_loosens_is_named():
    strictest = strict("vitals")
    assert loosened(strictest, strictest) == []
    found = set(loosened(strictest, for_public_data()))
    assert {"epsilon_total", "trust", "mechanisms", "scores", "approval", "demonstration"} <= found
    assert needs_two(strictest, for_public_data())
    assert not needs_two(for_public_data(), strictest)
