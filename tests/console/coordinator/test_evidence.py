"""A badge stands only where the run holds the evidence for it, and says what that is."""

from __future__ import annotations

import copy
import json
import re

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.pages import evidence
from aegis.console.coordinator.pages.evidence import WORDS, badges, badges_of
from tests.console.asking import PEOPLE, Asking, belongs

PAGES = ("/", "/clinical", "/privacy", "/fairness", "/technical", "/models")


@pytest.fixture(scope="session")
def desk(finished_home):
    return Desk.of(finished_home.home)


@pytest.fixture(scope="session")
def runs(finished_home):
    return (finished_home.private, finished_home.open)


def held(document, record):
    """What stands in the result where a badge says that its evidence is."""
    found = document
    for part in record.split("."):
        if part.endswith("[]"):
            return [one.get(record.partition(".")[2]) for one in document[part[:-2]]]
        found = found[part]
    return found


def by_key(found):
    return {one.key: one for one in found}


def test_every_badge_names_a_record_that_the_run_holds(desk, runs):
    for run in runs:
        document = desk.reading.document(run)
        digests = json.dumps(document) + json.dumps([e for _, _, e in desk.reading.events(run)])
        found = badges_of(desk, Sight(), run)
        assert {"log", "audit", "fairness", "model"} <= by_key(found).keys()
        for badge in found:
            record = held(document, badge.record)
            assert record not in (None, [], [None]), badge
            assert badge.run == run
            assert not badge.digest or badge.digest in digests
            assert badge.what
            assert badge.who
            assert badge.command.startswith("aegis ")
            assert badge.state in WORDS


def test_every_badge_on_every_page_is_one_of_the_run_s_and_leads_to_its_text(desk, runs):
    asking = Asking(coordinator_app(desk), PEOPLE["auditor"])
    for run in runs:
        known = {badge.path: badge for badge in badges_of(desk, Sight(), run)}
        text = asking.get(f"/privacy?run={run}").text
        shown = 0
        for path in PAGES:
            answer = asking.get(f"{path}?run={run}")
            if answer.status_code == 404:
                continue
            for link, inner in re.findall(
                r'<a class="badge" href="([^"]+)">(.*?)</a>', answer.text
            ):
                badge = known[link.replace("&amp;", "&")]
                assert badge.word.lower() in inner.lower()
                assert f'id="evidence-{badge.key}"' in text
                shown += 1
        assert shown >= len(known)
        for badge in known.values():
            assert badge.command in text


def test_what_the_log_s_verification_says_is_what_the_badges_say(desk, runs):
    run = runs[0]
    document = copy.deepcopy(dict(desk.reading.document(run)))
    records = desk.reading.events(run)
    sound = by_key(badges(document, records))
    assert {sound[key].state for key in ("log", "sums", "ledgers", "model")} == {"checked"}
    document["audit_log"] |= {"verified": False, "first_bad": "entry 7: changed"}
    broken = by_key(badges(document, records))
    assert {broken[key].state for key in ("log", "sums", "ledgers", "model")} == {"failed"}
    assert "entry 7" in broken["log"].what


def test_an_open_run_without_noise_says_what_does_not_apply(desk, runs):
    found = by_key(badges_of(desk, Sight(), runs[1]))
    assert found["sums"].state == "not_applicable"
    assert found["ledgers"].state == "not_applicable"
    assert "no noise" in found["ledgers"].what


def test_a_sum_that_is_missing_in_one_round_fails_its_badge(desk, runs):
    records = [
        (number, time, event)
        for number, time, event in desk.reading.events(runs[0])
        if not (event["event"] == "SumOpened" and event["round"] == 2)
    ]
    found = by_key(badges(desk.reading.document(runs[0]), records))
    assert found["sums"].state == "failed"
    assert "without one: 2" in found["sums"].what


@pytest.mark.parametrize(
    ("verdict", "state"),
    [("safe", "checked"), ("vulnerable", "failed"), ("inconclusive", "not_checked")],
)
def test_the_attack_test_s_badge_follows_its_verdict(desk, runs, verdict, state):
    document = dict(desk.reading.document(runs[1])) | {"membership_audit": {"verdict": verdict}}
    assert by_key(badges(document, ()))["audit"].state == state


@pytest.mark.parametrize(
    ("chances", "label"),
    [
        ([], "Fairness: checked"),
        ([True], "Fairness: limit exceeded, may be chance"),
        ([True, False], "Fairness: failed"),
    ],
)
def test_the_fairness_badge_says_what_the_sentence_says(desk, runs, chances, label):
    broken = [{"may_be_chance": one} for one in chances]
    fairness = {"fair": not broken, "violations": broken, "sentence": "By hospital it differs."}
    document = dict(desk.reading.document(runs[1])) | {"fairness": fairness}
    assert by_key(badges(document, ()))["fairness"].label == label


def test_without_a_record_there_is_no_badge(desk, runs):
    assert badges({"run": "r", "privacy": {}, "hospitals": []}) == ()
    document = dict(desk.reading.document(runs[0]))
    for key in ("audit_log", "audit_log_reason", "membership_audit", "membership_audit_reason"):
        document.pop(key, None)
    document["fairness"] = None
    assert badges(document, desk.reading.events(runs[0])) == ()


def test_a_run_that_goes_on_has_no_badges_yet(desk, runs):
    from aegis.console.reading import NOT_YET

    document = {"run": "r", "trust": "masked", "privacy": {"reason": NOT_YET, "mechanism": "none"}}
    for key in ("audit_log", "membership_audit", "fairness"):
        document |= {key: None, f"{key}_reason": NOT_YET}
    assert badges(document, desk.reading.events(runs[0])) == ()


def test_a_hospital_s_person_finds_no_other_hospital_in_a_badge(desk, runs):
    for run in runs:
        for badge in badges_of(desk, Sight("hospital_01"), run):
            said = " ".join(str(value) for value in vars(badge).values())
            assert not re.search(r"hospital_0[2-9]", said)
    page = Asking(coordinator_app(desk), belongs("hospital_01")).get(f"/privacy?run={runs[0]}").text
    assert "hospital_01" in page
    assert not re.search(r"hospital_0[2-9]", page)


def test_ledgers_of_hospitals_apart_are_not_said_to_be_checked(desk, runs):
    document = dict(desk.reading.document(runs[0])) | {"transport": "flower"}
    found = by_key(badges(document, desk.reading.events(runs[0])))
    assert found["ledgers"].state == "not_checked"
    assert evidence.WORDS["not_checked"] == ("off", "Not checked")
