"""A hospital's tile: one word for its state, and what follows from it."""

from __future__ import annotations

import gzip
import re

import pytest

from aegis.console.coordinator import live
from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Sight
from aegis.console.coordinator.pages.hospitals_now import Course, hospitals_now, rounded
from aegis.events import (
    BudgetSpent,
    HospitalAbsent,
    HospitalFlagged,
    ReplyQuarantined,
    RunEnded,
)
from tests.console.asking import Asking, belongs
from tests.console.coordinator.a_run import SCORES, ARun

NAMES = ("aster", "birch", "cedar", "dover")


@pytest.fixture
def run(tmp_path):
    return ARun(tmp_path, NAMES, dict.fromkeys(NAMES, True))


def asking(run, *person):
    if "app" not in run.desk.extra:
        run.desk.extra["app"] = coordinator_app(run.desk)
    return Asking(run.desk.extra["app"], *person)


def tiles(run, sight=None, wanted=""):
    found = hospitals_now(run.desk, sight or Sight(), run.NAME, wanted)
    return {one.name: one for one in found.tiles}


def test_a_hospital_trains_then_has_reported_then_waits_for_the_next_round(run):
    assert {one.word for one in tiles(run).values()} == {"Ready"}
    run.opens()
    assert {one.word for one in tiles(run).values()} == {"Training"}
    assert "awaited until" in tiles(run)["aster"].said
    run.closes()
    assert {one.word for one in tiles(run).values()} == {"Reported"}
    run.opens("aster", "birch", "cedar")
    assert tiles(run)["dover"].word == "Waiting"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("no answer within 60 s", "Late"),
        ("refused: the plan asks for more than the policy lets out", "Declined"),
        ("refused: its privacy budget is used up", "Sits out"),
    ],
)
def test_who_is_missing_is_late_declined_or_sits_out(run, reason, word):
    run.opens()
    run.tell(HospitalAbsent(run.NAME, 1, "birch", reason))
    run.closes(["birch"])
    assert tiles(run)["birch"].word == word
    assert tiles(run)["aster"].word == "Reported"
    assert tiles(run, wanted="missing").keys() == {"birch"}
    run.opens()
    assert tiles(run)["birch"].word == "Training"


def test_who_is_set_aside_or_flagged_is_found_by_the_filter(run):
    run.opens()
    run.tell(
        ReplyQuarantined(run.NAME, 1, "cedar", "an update with \x1b[31mNaN"),
        HospitalFlagged(run.NAME, 1, "dover", "norm", 9.1),
    )
    run.closes(["cedar"])
    found = tiles(run, wanted="flagged")
    assert found.keys() == {"cedar", "dover"}
    assert (found["cedar"].kind, found["cedar"].word) == ("bad", "Excluded")
    assert found["cedar"].said.isprintable()
    assert found["dover"].flags == ("Flagged in round 1",)


def test_who_is_gone_turns_grey_and_keeps_its_last_known_scores(tmp_path):
    run = ARun(tmp_path, NAMES, {name: name != "aster" for name in NAMES})
    run.opens()
    run.closes()
    gone = tiles(run)["aster"]
    assert (gone.away, gone.word, gone.kind) == (True, "Offline", "off")
    assert any("last known" in what for what, _ in gone.facts)
    assert "Nothing is sent" in gone.said
    assert tiles(run, wanted="offline").keys() == {"aster"}
    page = asking(run).get("/agents").text
    assert 'class="tile away"' in page
    assert "3 of 4 hospitals connected" in page


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ({"aster"}, "The round closes without those that are missing"),
        ({"aster", "birch"}, "No round can close until some are back: 3 are needed, 2 there."),
    ],
)
def test_the_overview_says_whether_a_round_can_close_without_the_missing(tmp_path, gone, said):
    run = ARun(tmp_path, NAMES, {name: name not in gone for name in NAMES})
    run.opens()
    assert said in asking(run).get("/").text


def test_scores_of_few_patients_and_small_numbers_are_withheld(run):
    run.opens()
    run.tell(run.joined("birch", examples=4))
    run.closes(scores={"birch": SCORES | {"examples": 9}, "cedar": SCORES, "dover": SCORES})
    said = dict(tiles(run)["birch"].facts)
    assert "withheld" in said["Scores here"]
    assert "fewer than 10" in said["Patients (rounded)"]
    assert dict(tiles(run)["aster"].facts)["Scores here"] == "not released"
    shown = [dict(tiles(run)[name].facts) for name in ("cedar", "dover")]
    assert sorted("AUC here" in facts for facts in shown) == [False, True]
    assert sorted("Scores here" in facts for facts in shown) == [False, True]
    [seen] = [facts for facts in shown if "AUC here" in facts]
    assert "0.950" in seen["AUC here"]


def test_what_was_spent_is_shown_only_where_a_ledger_said_it(tmp_path):
    private = {"privacy.enabled": "true", "privacy.epsilon_budget": "2.0"}
    run = ARun(tmp_path, NAMES, dict.fromkeys(NAMES, True), **private)
    assert tiles(run)["aster"].budget is None
    assert dict(tiles(run)["aster"].facts)["This run may spend"] == "2.00 epsilon"
    run.tell(BudgetSpent(run.NAME, "aster", 0.5, 0.6, 1e-5, 3, 3, "0" * 64))
    budget = tiles(run)["aster"].budget
    assert (budget.spent, budget.cap, budget.spent_share) == (0.5, 2.0, 25.0)
    assert tiles(run)["birch"].budget is None


def test_a_person_of_a_hospital_sees_that_hospitals_tile_only(run):
    run.opens()
    run.closes()
    found = hospitals_now(run.desk, Sight("birch"), run.NAME)
    assert [one.name for one in found.tiles] == ["birch"]
    assert found.withheld
    for path in ("/agents", "/", "/agents/birch"):
        page = asking(run, belongs("birch")).get(path)
        assert page.status_code == 200
        assert not [name for name in ("aster", "cedar", "dover") if name in page.text], path
    assert asking(run, belongs("birch")).get("/agents/aster").status_code == 404


def test_patients_are_rounded_to_two_figures():
    assert [rounded(n) for n in (163, 1647, 25, 99)] == [
        "about 160",
        "about 1,600",
        "about 20",
        "about 100",
    ]


def test_events_of_another_version_break_nothing():
    assert Course.of([(1, "2026-11-22T10:00:00", {"event": "Unheard"})]).hospitals == []


def test_an_ended_run_says_what_became_of_each(run):
    run.opens()
    run.closes()
    run.tell(RunEnded(run.NAME, "completed", "all done", 1, 1, "1" * 64))
    page = asking(run).get("/agents/aster").text
    assert "1 of 1" in page


def test_fifty_hospitals_stay_within_the_budgets(tmp_path):
    names = [f"hospital-{number:02d}" for number in range(50)]
    run = ARun(tmp_path, names, dict.fromkeys(names, True))
    for _ in range(3):
        run.opens()
        run.closes(names[:2])
    page = asking(run).get("/agents")
    assert page.status_code == 200
    assert len(gzip.compress(page.content)) <= 15_000
    assert len(re.findall(r"<[a-z]", page.text)) <= 1_500
    frame = "".join(live.PAGES["agents"](run.desk, Sight(), None).values())
    assert len(gzip.compress(frame.encode())) <= 5_000
    assert len(frame) < live.MOST_FRAME
    overview = asking(run).get("/")
    assert len(gzip.compress(overview.content)) <= 15_000
