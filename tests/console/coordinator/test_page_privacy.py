"""The privacy page: what was spent, what could leak, and what an epsilon means."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.pages import privacy as page_privacy
from aegis.console.coordinator.pages.budgets import (
    Charge,
    bound_table,
    budgets,
    charges,
    disagreement,
    questions,
)
from aegis.console.reading import Reading
from aegis.report.disclosure import right_guesses
from aegis.store.home import Home
from tests.console.asking import PEOPLE, Asking, belongs

VIEWER = PEOPLE["viewer"]


@pytest.fixture(scope="session")
def desk(finished_home):
    return Desk.of(finished_home.home)


@pytest.fixture(scope="session")
def asking(desk):
    return Asking(coordinator_app(desk), VIEWER)


def bar(desk, run, sight=Sight(), **changed):  # noqa: B008
    document = dict(desk.reading.document(run))
    document["hospitals"] = [dict(one) | changed for one in document["hospitals"][:1]]
    found = budgets(desk, document, sight)
    return found[0] if found else None


def test_each_bar_is_the_result_s_own_figure(asking, desk, finished_home):
    document = desk.reading.document(finished_home.private)
    found = budgets(desk, document, Sight())
    assert {one.hospital: one.spent for one in found} == {
        one["name"]: one["epsilon"] for one in document["hospitals"]
    }
    page = asking.get(f"/privacy?run={finished_home.private}").text
    for one in found:
        assert one.cap == document["privacy"]["budget"]
        assert f"<strong>{one.spent:.2f}</strong> spent of {one.cap:.2f} epsilon" in page
    assert f"Every hospital spent epsilon {document['privacy']['epsilon']:.2f}" in page


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (0.5, "Within budget"),
        (0.79, "Within budget"),
        (0.81, "Little left"),
        (1.0, "Spent as planned"),
        (1.25, "Above the plan"),
    ],
)
def test_a_bar_says_in_a_word_how_much_is_left(desk, finished_home, monkeypatch, share, word):
    monkeypatch.setattr("aegis.console.coordinator.pages.budgets.charges", lambda journal, task: {})
    cap = desk.reading.document(finished_home.private)["privacy"]["budget"]
    found = bar(desk, finished_home.private, epsilon=share * cap, ledger_head=None)
    assert found.word == word
    assert found.spent_share == pytest.approx(min(100, 100 * share))
    if word == "Spent as planned":
        assert found.kind == "ok"
        assert "all that the plan allowed" in found.said


def test_a_result_that_differs_from_the_log_stops_with_a_word(desk, finished_home):
    assert "Ledger and copy disagree" not in bar(desk, finished_home.private).word
    spent = bar(desk, finished_home.private, epsilon=0.001)
    assert (spent.kind, spent.word) == ("bad", "Ledger and copy disagree")
    head = {"rows": 1, "sha256": "0" * 64}
    other = bar(desk, finished_home.private, ledger_head=head)
    assert "another state of the ledger" in other.said


def test_a_ledger_that_shrank_between_runs_is_named():
    def charge(run, rows):
        return Charge(run, 0.5, 1e-5, rows, "ab", "flower")

    hospital = {"epsilon": 0.5, "ledger_head": {"rows": 3, "sha256": "ab"}}
    assert disagreement(hospital, [charge("one", 2), charge("two", 3)], "two") == ""
    said = disagreement(hospital, [charge("one", 9), charge("two", 3)], "two")
    assert "a ledger only grows" in said


def test_runs_add_up_and_only_those_of_the_same_task(desk, finished_home):
    with desk.reading.journal() as journal:
        found = charges(journal, "breast_cancer")
        assert charges(journal, "heart") == {}
    assert {one.run for many in found.values() for one in many} == {finished_home.private}
    first = budgets(desk, desk.reading.document(finished_home.private), Sight())[0]
    assert (first.runs, first.total) == (1, first.spent)


def test_a_run_without_noise_has_no_bar_but_a_reason(asking, finished_home):
    page = asking.get(f"/privacy?run={finished_home.open}").text
    assert "No noise was added, so nothing bounds what the model gives away" in page
    assert "There are no budgets to show: no noise was added in this run" in page
    assert 'class="budget"' not in page
    assert "Nothing was audited:" in page


def test_the_audit_is_shown_with_its_positive_control_and_grades_only_in_its_own_text(
    desk, finished_home
):
    audit = {
        "verdict": "safe",
        "passed": True,
        "interpretation": ["AUC \u2248 0.5 means the attacker is no better than random guessing."],
        "membership_inference_attack": {
            "rmia": {"auc": 0.51, "auc_ci95": [0.48, 0.54], "grade": "A", "grade_word": "Excellent"}
        },
        "positive_control": {"auc": 0.84, "auc_ci95": [0.8, 0.88], "caught": True, "needs": 0.65},
        "text": "  Privacy Grade:      A (Excellent)\n",
    }

    class Audited(Reading):
        def document(self, run):
            return super().document(run) | {"membership_audit": audit}

    other = Desk(desk.home, Audited(desk.home))
    page = Asking(coordinator_app(other), VIEWER).get("/privacy").text
    apart, text = re.search(r"(.*)<pre[^>]*Audit report[^>]*>(.*?)</pre>", page, re.S).groups()
    assert "Privacy Grade" in text
    assert "Grade" not in apart
    assert "Excellent" not in apart
    assert "reached AUC 0.840 (0.800 to 0.880)" in page
    assert "0.510 (0.480 to 0.540)" in page
    missed = {"positive_control": {"auc": 0.6, "auc_ci95": None, "caught": False, "needs": 0.65}}
    assert "cannot be relied on" in page_privacy.control_sentence(missed)
    assert "say nothing" in page_privacy.control_sentence({})


@given(st.floats(0.001, 50))
def test_the_bound_never_promises_more_than_it_can(epsilon):
    rows = dict(bound_table(epsilon).rows)
    (own,) = [label for label in rows if "this run" in label]
    if epsilon >= 5:
        assert "promises little" in rows[own]
    else:
        assert rows[own] == f"at most {right_guesses(epsilon)} in 100"


def test_what_each_round_cost_ends_at_what_was_spent(desk, finished_home):
    found = page_privacy.content(desk, Sight(), finished_home.private)
    spent = desk.reading.document(finished_home.private)["privacy"]["epsilon"]
    last = float(found["spend"].table.rows[-1][1])
    assert last == pytest.approx(spent, rel=1e-3)
    assert "the statistics" in found["spend"].table.rows[0][0]


def test_the_live_parts_are_what_the_page_holds(asking, desk, finished_home):
    page = " ".join(asking.get(f"/privacy?run={finished_home.private}").text.split())
    found = page_privacy.parts(desk, Sight(), finished_home.private)
    assert set(found) == {"privacy_status", "privacy_budgets", "privacy_spend"}
    for html in found.values():
        assert " ".join(html.split()) in page


def test_questions_are_listed_with_their_price_and_a_broken_line_is_said(own_home):
    found = own_home()
    line = {
        "time": "2026-11-22T09:00:00.000+00:00",
        "task": "breast_cancer",
        "plan_sha256": "",
        "question": {"kind": "count", "by": "age"},
        "question_sha256": "ab",
        "epsilon": 0.25,
        "delta": 1e-5,
        "answered": ["hospital_01", "hospital_02"],
        "refused": {"hospital_03": "its budget is spent"},
    }
    path = found.home.root / "logs" / "queries.jsonl"
    path.write_text(json.dumps(line) + "\n{broken\n", encoding="utf-8")
    desk = Desk.of(found.home)
    page = Asking(coordinator_app(desk), VIEWER).get("/privacy").text
    assert "epsilon 0.25, delta 1e-05" in page
    assert "2 of 3" in page
    assert "hospital_03: its budget is spent" in page
    assert "cannot be read" in page
    other = Asking(coordinator_app(desk), belongs("hospital_01")).get("/privacy").text
    assert "its budget is spent" not in other
    assert questions(found.home, Sight(), most=1)[0] == 2


def test_without_a_run_there_is_a_sentence_and_no_figure(tmp_path):
    page = Asking(coordinator_app(Desk.of(Home(tmp_path))), VIEWER).get("/privacy").text
    assert "Nothing has been spent yet" in page
    assert "No question has been asked" in page
