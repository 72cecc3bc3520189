"""The overview, the hospitals and the training page: what they say, and who may press what."""

from __future__ import annotations

import gzip
import html
import json
import re
from contextlib import closing

import pytest

from aegis.console.coordinator import live
from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.pages.plan_form import groups
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.next_plan import path_of
from aegis.console.people.roles import RIGHTS, THIS_MACHINE, Right, Role
from aegis.console.reading import NEVER, NOT_YET
from aegis.console.window.spoken import spoken
from aegis.errors import BadInput
from aegis.events import HospitalAbsent, HospitalFlagged
from aegis.plan import Plan
from aegis.report.wording import interval_of
from aegis.states import Idle
from aegis.store.home import Home
from aegis.store.journal import Journal
from tests.console.asking import PEOPLE, Asking
from tests.console.coordinator.a_run import ARun, Connected

NAMES = ("aster", "birch", "cedar")
BROWSER = {"accept": "text/html"}


def asking(desk, role=None):
    if "app" not in desk.extra:
        desk.extra["app"] = coordinator_app(desk)
    return Asking(desk.extra["app"], *([] if role is None else [PEOPLE[role]]))


def heading(answer):
    found = re.findall(r"<h1[^>]*>(.*?)</h1>", answer.text, re.S)
    assert len(found) == 1
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", found[0])).split())


@pytest.fixture
def empty(tmp_path):
    return Desk.of(Home(tmp_path / "new").prepare())


@pytest.fixture
def run(tmp_path):
    return ARun(tmp_path, NAMES, dict.fromkeys(NAMES, True))


@pytest.fixture
def finished(finished_home):
    return Desk.of(finished_home.home)


def test_where_nothing_is_yet_a_first_step_is_offered(empty):
    page = asking(empty).get("/")
    assert heading(page) == "Nothing has been trained here yet"
    assert "Start Federation" in page.text
    assert "rehearsal" in page.text
    assert "Start Federation" not in asking(empty, "viewer").get("/").text
    assert heading(asking(empty).get("/agents")) == "No hospital has joined yet"
    assert heading(asking(empty).get("/training")) == "Nothing is going on"


def test_the_heading_says_where_the_run_stands(run):
    page = asking(run.desk)
    run.opens()
    assert heading(page.get("/")) == "Breast cancer: round 1 of 40"
    run.closes()
    run.opens()
    assert heading(page.get("/")) == "Breast cancer: round 2 of 40"
    assert heading(page.get("/training")) == "Round 2 of 40"
    steering.pause(run.desk, run.NAME)
    assert heading(page.get("/")) == "Breast cancer: paused after round 1 of 40"
    steering.resume(run.desk, run.NAME)
    steering.stop(run.desk, run.NAME)
    assert heading(page.get("/")) == "Breast cancer: stopping; the model of round 1 is kept"


def test_the_overview_shows_the_results_own_numbers(finished, finished_home):
    for name in (finished_home.private, finished_home.open):
        document = json.loads((finished_home.home.results(name) / "result.json").read_text())
        text = html.unescape(asking(finished).get(f"/?run={name}").text)
        assert f"{document['global']['auc']:.3f}" in text
        pair = interval_of(document["global"], "auc")
        assert pair is None or f"{pair[0]:.3f} to {pair[1]:.3f}" in text
        spent = document["privacy"]["epsilon"]
        assert spent is None or f"{spent:.2f}" in text
        assert f"run={name}" in re.search(r'hx-sse:connect="([^"]*)"', text)[1]


def test_one_warning_at_most_and_the_gravest_first(run):
    run.opens()
    run.tell(HospitalFlagged(run.NAME, 1, "birch", "norm", 9.0, "a norm nine times the median"))
    run.closes()
    text = asking(run.desk).get("/").text
    assert text.count('class="note warn"') == 1
    assert "a norm nine times the median" in text


def test_a_missing_hospital_is_counted_in_the_figures_and_in_the_strip(run):
    run.opens()
    run.tell(HospitalAbsent(run.NAME, 1, "cedar", "no answer"))
    run.closes(["cedar"])
    run.opens()
    text = html.unescape(asking(run.desk).get("/").text)
    assert "Round 1: 1 missing, 0 set aside" in text
    assert "Round 2: going on" in text


def test_without_scores_of_single_hospitals_the_page_says_why(run):
    run.opens()
    run.closes(scores={})
    assert "the run has not ended" in asking(run.desk).get("/").text


def test_a_failed_run_does_not_ask_to_wait_for_what_never_comes(run):
    run.opens()
    run.closes(scores={})
    run.fails("the disk is full")
    assert run.desk.reading.document(run.NAME)["fairness_reason"] == NEVER
    nothing_to_wait_for(run.desk)


@pytest.mark.parametrize("rounds", [0, 1])
def test_nor_does_a_run_whose_process_failed_without_a_last_word(run, rounds):
    run.opens()
    if rounds:
        run.closes()
    failed = Connected(dict.fromkeys(NAMES, True), error="the disk is full")
    desk = Desk.of(run.home, failed)
    assert heading(asking(desk).get("/")) == "Breast cancer: this run failed"
    nothing_to_wait_for(desk)
    page = asking(desk).get("/technical").text
    assert "This run ended early: failed" in page
    assert "the disk is full" in page
    again = Desk.of(run.home, Connected(failed.members, run.NAME, error="the disk is full"))
    assert NOT_YET in asking(again).get("/").text  # it is gone on with


def test_nor_does_a_run_that_was_stopped_before_any_hospital_was_asked(tmp_path):
    run = ARun(tmp_path, (), dict.fromkeys(NAMES, True))
    with closing(Journal(run.home.database)) as journal:
        journal.save(run.NAME, Idle(), [])
        journal.give_command(run.NAME, "stop")
    nothing_to_wait_for(Desk.of(run.home, Connected(dict.fromkeys(NAMES, True))))


def nothing_to_wait_for(desk):
    said = ""
    for path in ("/", "/fairness", "/technical", "/clinical", "/privacy"):
        text = asking(desk).get(path).text
        for words in (NOT_YET, "when the run has ended", "is known when"):
            assert words not in text, path
        said += text
    assert said.count(NEVER) > 5


def test_what_a_hospital_reads_out_stands_on_the_training_page(run):
    run.opens()
    assert f"<code>{spoken(run.plan.sha256)}</code>" in asking(run.desk).get("/training").text


def test_a_rehearsal_is_read_out_to_nobody(tmp_path):
    run = ARun(tmp_path, NAMES)
    run.opens()
    assert spoken(run.plan.sha256) not in asking(run.desk).get("/training").text


@pytest.mark.parametrize("role", list(Role))
def test_buttons_and_entries_are_there_for_whom_they_work(run, role):
    rights = RIGHTS[role]
    run.opens()
    page = asking(run.desk, role.value)
    overview, training = page.get("/").text, page.get("/training").text
    assert ('form="steer"' in overview) is (Right.STEER in rights)
    assert ("Start Federation" in overview) is (Right.START in rights)
    assert ("Latest audit entries" in overview) is (Right.AUDIT_READ in rights)
    assert ('action="/training/plan"' in training) is (Right.CONFIGURE in rights)
    assert ('id="log"' in training) is (Right.LOG_READ in rights)
    for text in (overview, training):
        name = re.search(r'hx-sse:connect="/live/([^"?]*)', text)[1]
        assert live.NEEDS[name] in rights
        parts = live.PAGES[name](run.desk, Sight(), None)
        assert all(f'id="{key}"' in text for key in parts)


@pytest.mark.parametrize("name", ["overview-steer", "overview-audit", "training-log"])
def test_a_stream_needs_the_right_of_what_it_shows(run, name):
    assert asking(run.desk, "viewer").get(f"/live/{name}").status_code == 403


def test_what_was_typed_is_not_lost_and_the_fault_names_its_field(empty):
    page = asking(empty)
    typed = {one.key: one.value for group in groups(steering.draft(empty)) for one in group.fields}
    typed |= {"federated.num_rounds": "-3", "seed": "29"}
    answer = page.post("/training/plan", data=typed, headers=BROWSER)
    assert answer.status_code == 422
    assert 'href="#f-federated-num_rounds"' in answer.text
    assert 'name="federated.num_rounds" value="-3"' in answer.text
    assert 'name="seed" value="29"' in answer.text
    assert not path_of(empty.home).exists()
    checked = page.post("/training/check", data=typed)
    assert "do not go together" in checked.text
    assert "<html" not in checked.text
    kept = page.post("/training/plan", data=typed | {"federated.num_rounds": "7"}, headers=BROWSER)
    assert kept.status_code == 303
    assert steering.draft(empty).said == {"federated.num_rounds": 7, "seed": 29}
    assert page.post("/training/default").status_code == 303
    assert steering.draft(empty).said == {}


def test_a_pasted_plan_is_kept_or_refused_whole(empty):
    page = asking(empty)
    bad = page.post("/training/yaml", data={"plan": "task: heart\noops: 1\n"}, headers=BROWSER)
    assert bad.status_code == 422
    assert "oops: 1" in bad.text
    assert page.post("/training/yaml", data={"plan": "task: heart\n"}).status_code == 303
    assert steering.draft(empty).said == {"task": "heart"}


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ({"rounds": "0"}, 422),
        ({"rounds": "many"}, 422),
        ({"rounds": "٣"}, 422),
        ({"rounds": "9" * 30}, 422),
        ({"where": "elsewhere"}, 422),
        ({"where": "hospitals"}, 409),  # no coordinator runs here
    ],
)
def test_a_start_that_cannot_be_is_refused_and_nothing_begins(empty, typed, status):
    answer = asking(empty).post("/training/start", data=typed, headers=BROWSER)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert not empty.reading.names()


@pytest.mark.parametrize(
    "said",
    [
        {"task": "table", "data.path": "/etc/passwd", "data.label": "x", "data.positive": "1"},
        {"model.start": "../secret.npz"},
    ],
)
def test_a_rehearsal_reads_no_file_of_this_machine(empty, said):
    with pytest.raises(BadInput, match="names a file"):
        steering.start(empty, Plan(**said), "rehearsal", THIS_MACHINE)
    assert not empty.reading.names()


def test_stopping_takes_two_clicks_and_no_dialog(run):
    run.opens()
    page = asking(run.desk)
    link = re.search(r'<a class="btn stop" href="([^"]*)"', page.get("/").text)[1]
    asked = page.get(link, headers=BROWSER)
    assert heading(asked).startswith("Stop breast cancer")
    assert page.post("/training/stop", data={"run": run.NAME}).status_code == 303
    assert run.desk.reading.stored(run.NAME).command == "stop"
    assert "btn stop" not in page.get("/").text


@pytest.mark.parametrize(
    ("path", "typed", "status"),
    [
        ("/training/steer", {}, 400),
        ("/training/steer", {"pause": "nothing"}, 404),
        ("/training/stop", {"run": "../../etc"}, 404),
        ("/agents/invite", {"name": "aster"}, 409),
        ("/agents/admit", {"name": "aster", "fingerprint": "x"}, 409),
        ("/agents/aster/revoke", {"reason": "x"}, 404),
    ],
)
def test_what_cannot_be_done_is_said_with_its_status(empty, path, typed, status):
    answer = asking(empty).post(path, data=typed, headers=BROWSER)
    assert answer.status_code == status


def test_a_finished_run_cannot_be_steered(finished, finished_home):
    page = asking(finished)
    answer = page.post("/training/steer", data={"pause": finished_home.open}, headers=BROWSER)
    assert answer.status_code == 409
    assert "is over" in answer.text


def test_nobody_is_sent_elsewhere_after_a_form(run):
    for back in ("//evil.example", "https://evil.example", "/\\evil.example"):
        data = {"pause": run.NAME, "back": back}
        answer = asking(run.desk).post("/training/steer", data=data)
        assert answer.headers["location"] == "/training"


def test_the_pages_stay_within_their_budgets(finished, run):
    run.opens()
    run.closes()
    for desk in (finished, run.desk):
        for path in ("/", "/agents", "/training"):
            page = asking(desk).get(path)
            assert len(gzip.compress(page.content)) <= 15_000, path
            assert len(re.findall(r"<[a-z]", page.text)) <= 1_500, path
            ids = re.findall(r' id="([^"]*)"', page.text)
            assert len(ids) == len(set(ids)), path
            assert not re.search(r' style=| on[a-z]+="|<style|<script>', page.text), path
        for name in ("overview-steer", "training-steer", "agents"):
            frame = "".join(live.PAGES[name](desk, Sight(), None).values())
            assert len(gzip.compress(frame.encode())) <= 5_000, name
