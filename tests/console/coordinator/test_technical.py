"""The rounds as a table, searched, exported and equal to the result; live while a run goes on."""

import csv
import io
import json
import re
import sqlite3
from html import unescape

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.live import PAGES
from aegis.console.coordinator.pages.curves import MOST_LINES, beside, explored, figures
from aegis.console.coordinator.pages.rounds import (
    COLUMNS,
    Asked,
    chosen,
    page_number,
    paged,
    rounds_of,
)
from aegis.console.coordinator.pages.technical import SET, plan_rows
from aegis.console.spending import NO_NOISE, Spending, spending_by_round
from aegis.console.window.exports import csv_text, neutral
from aegis.events import HospitalJoined, RoundClosed, RunStarted
from aegis.plan import load_plan
from aegis.states import Idle
from aegis.store.home import Home
from aegis.store.journal import Journal
from tests.console.asking import Asking, belongs
from tests.report.conftest import build

PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def ask(finished_home):
    return Asking(coordinator_app(Desk.of(finished_home.home)))


def document_of(finished_home, run):
    return json.loads((finished_home.home.results(run) / "result.json").read_text())


def table(html, caption):
    """The body of the table with this caption, cell by cell."""
    found = re.search(rf"<caption[^>]*>[^<]*{caption}.*?</table>", html, re.DOTALL)[0]
    rows = re.findall(r"<tr role=\"row\">(.*?)</tr>", found.split("</thead>")[1], re.DOTALL)
    return [[unescape(re.sub(r"<[^>]+>", "", cell)) for cell in
             re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]  # fmt: skip


def test_the_table_shows_what_the_result_holds(ask, finished_home):
    document = document_of(finished_home, finished_home.private)
    page = ask.get(f"/technical?run={finished_home.private}", headers=PAGE).text
    rows = table(page, "Rounds 1 to")
    history = {str(one["round"]): one for one in document["history"]}
    assert len(rows) == min(20, len(history))
    assert rows[0][0] == str(document["rounds"])
    for cells in rows:
        metrics = history[cells[0]]["global"]
        assert cells[1].replace("\xa0", " ") == f"{100 * metrics['accuracy']:.1f} %"
        assert cells[2:4] == [f"{metrics['auc']:.3f}", f"{metrics['log_loss']:.3f}"]
    assert rows[0][6] == f"{document['privacy']['epsilon']:.3f}"


def test_the_files_hold_every_round_to_the_last_digit(ask, finished_home):
    document = document_of(finished_home, finished_home.private)
    got = ask.get(f"/technical/rounds.csv?run={finished_home.private}")
    assert got.headers["content-type"].startswith("text/csv")
    assert "attachment" in got.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(got.text)))
    listed = ask.get(f"/technical/rounds.json?run={finished_home.private}").json()
    assert len(rows) == len(listed) == document["rounds"]
    for row, one, closed in zip(rows, listed, document["history"], strict=True):
        assert int(row["round"]) == one["round"] == closed["round"]
        for name in ("accuracy", "auc", "log_loss", "f1"):
            assert float(row[name]) == one[name] == closed["global"][name]
    assert listed[-1]["epsilon"] == pytest.approx(document["privacy"]["epsilon"], rel=1e-12)
    assert [one["epsilon"] for one in listed] == sorted(one["epsilon"] for one in listed)


def test_a_search_is_in_the_address_and_in_the_file(ask, finished_home):
    run = finished_home.open
    page = ask.get(f"/technical?run={run}&q=2-3&sort=first", headers=PAGE).text
    assert [cells[0] for cells in table(page, "Rounds 1 to")] == ["2", "3"]
    rows = ask.get(f"/technical/rounds.json?run={run}&q=2-3").json()
    assert [one["round"] for one in rows] == [2, 3]
    nothing = ask.get(f"/technical?run={run}&q=nobody&show=missing", headers=PAGE).text
    assert "No round fits this search" in nothing
    for odd in ("page=0", "page=-1", "page=" + "9" * 5000, "page=x", "sort=drop", "show=%00"):
        assert ask.get(f"/technical?run={run}&{odd}", headers=PAGE).status_code == 200


def test_formulas_are_text_and_numbers_stay_numbers():
    risky = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "\uff1d1", "\uff20x"]
    assert [neutral(cell) for cell in risky] == [f"'{cell}" for cell in risky]
    assert neutral(-0.5) == -0.5
    assert neutral(None) == ""
    text = csv_text(["a"], [["=cmd|' /C calc'!A0"], [-0.5], ['say "x"']])
    assert list(csv.reader(io.StringIO(text))) == [
        ["a"],
        ["'=cmd|' /C calc'!A0"],
        ["-0.5"],
        ['say "x"'],
    ]


def test_missing_hospitals_are_found_by_name_and_filter():
    rows = rounds_of(build(rounds=7), Spending())
    assert [row["round"] for row in chosen(rows, Asked(words="VA"))] == [3]
    assert [row["round"] for row in chosen(rows, Asked(show="missing"))] == [3]
    best = chosen(rows, Asked(sort="log_loss"))
    assert best[0]["log_loss"] == min(row["log_loss"] for row in rows)
    assert list(rows[0]) == list(COLUMNS)


def test_that_others_were_missing_is_said_without_their_names():
    whole = build(rounds=7)
    seen = {**whole, "history": [{**one, "absent": []} for one in whole["history"]]}
    rows = rounds_of(seen, Spending(), whole)
    assert [row["missing"] for row in rows] == ["", "", "1 not named", "", "", "", ""]


def test_pages_hold_every_round_once():
    rows = rounds_of(build(rounds=53), Spending())
    seen = []
    for number in (1, 2, 3):
        page = paged(rows, Asked(page=number))
        seen += [row["round"] for row in page.rows]
    assert seen == list(range(53, 0, -1))
    assert paged(rows, Asked(page=99)).page == 3
    assert [page_number(text) for text in ("7", "0", "", None, "1" * 9, "١")] == [7, 1, 1, 1, 1, 1]


def test_each_chart_has_its_table_and_absence_its_reason():
    rows = rounds_of(build(rounds=30), Spending(reason=NO_NOISE, noise_reason=NO_NOISE))
    found = figures(rows, Spending(reason=NO_NOISE, noise_reason=NO_NOISE))
    drawn = [one for one in found if one.chart is not None]
    assert [one.title for one in drawn] == ["Log-loss", "AUC", "Accuracy"]
    assert all(one.table.rows[0][0] == "1" and one.table.rows[-1][0] == "30" for one in drawn)
    assert {one.absent for one in found if one.chart is None} == {NO_NOISE, "it is not recorded"}


def test_hospitals_are_compared_on_any_metric_the_worst_first_the_small_withheld():
    result = build(rounds=5, centres={f"h{n:02d}": (40, 20, 0.5) for n in range(12)})
    result["hospitals"][0]["test_examples"] = 9
    found = beside(result, "accuracy")
    assert len(found.charts) == 6  # a round tells of eight hospitals, one small and one with it
    last = {name: one["accuracy"] for name, one in result["history"][-1]["hospitals"].items()}
    del last["h00"], last["h01"]
    assert [chart.title for chart in found.charts] == sorted(last, key=last.get)
    assert found.table.rows[-2:] == (
        ("h00", "fewer than 10", "withheld", "withheld", "withheld"),
        ("h01", "withheld", "withheld", "withheld", "withheld"),
    )
    assert len(found.charts) <= MOST_LINES
    for one in result["history"]:
        one["hospitals"] = {}
    assert "sum of their scores only" in beside(result, "auc").absent


def test_the_explore_chart_has_a_table_and_no_mean_for_who_sees_one_hospital():
    drawn, shown = explored(build(rounds=20), "auc", True)
    assert drawn["series"] == ["Shared model, all patients", "Mean of hospitals"]
    assert {len(column) for column in drawn["data"]} == {20}
    assert len(shown.rows) == 8
    assert len(explored(build(rounds=20), "auc", False)[0]["series"]) == 1


def test_a_key_says_where_its_value_comes_from():
    plan = load_plan(None, {"task": "breast_cancer", "training.l2": "0.25"}).plan
    rows = {key: (value, origin) for key, value, origin in plan_rows(plan)}
    assert rows["training.l2"] == ("0.25", SET)
    assert rows["task"][1] == SET
    assert rows["server.tau"][1] != SET
    assert rows.keys() == plan.values.keys()


def test_files_are_downloads_and_only_those_of_the_list(ask, finished_home):
    run = finished_home.open
    got = ask.get(f"/technical/files/report.html?run={run}")
    assert got.headers["content-disposition"] == f'attachment; filename="{run}-report.html"'
    assert got.content == (finished_home.home.results(run) / "report.html").read_bytes()
    for name in ("..%2f..%2ffederated_learning.db", "ledgers", "x"):
        assert ask.get(f"/technical/files/{name}?run={run}").status_code == 404
    own = Asking(ask.app, belongs("hospital_01"))
    assert own.get(f"/technical/files/result.json?run={run}").status_code == 403
    assert own.get(f"/technical/files/plan.json?run={run}").status_code == 200


def test_a_ledger_elsewhere_or_damaged_gives_a_reason_and_no_figure(tmp_path):
    noisy = load_plan(None, {"privacy.enabled": "true", "privacy.mechanism": "dp_sgd",
                             "privacy.noise_multiplier": "1.5", "trust": "open"}).plan  # fmt: skip
    found = spending_by_round(tmp_path, "run", noisy)
    assert not found.epsilon
    assert "its total when the run has ended" in found.reason
    assert "1.5" in found.noise_reason
    (tmp_path / "ledgers").mkdir()
    (tmp_path / "ledgers" / "h1.db").write_bytes(b"not a database")
    assert not spending_by_round(tmp_path, "run", noisy).epsilon
    with sqlite3.connect(tmp_path / "ledgers" / "h2.db") as db:
        db.execute("CREATE TABLE rows (number, kind, run, round, detail)")
        detail = '{"event":"PoissonGaussian","noise_multiplier":1.5,"sampling_rate":0.1,"steps":5}'
        db.executemany("INSERT INTO rows VALUES (?,?,?,?,?)",
                       [(n, "reserved", "run", n, detail) for n in (1, 2, 3)])  # fmt: skip
    db.close()
    found = spending_by_round(tmp_path, "run", noisy)
    assert dict(found.noise) == {1: 1.5, 2: 1.5, 3: 1.5}
    assert list(found.epsilon) == [1, 2, 3]
    assert found.epsilon[1] < found.epsilon[2] < found.epsilon[3]
    assert "Renyi" in found.how
    hidden = spending_by_round(tmp_path, "run", noisy, lambda name: name == "h9")
    assert not hidden.epsilon


@pytest.fixture
def going_on(tmp_path):
    """A run of which two rounds are closed."""
    home, plan = Home(tmp_path).prepare(), load_plan(None, {"task": "breast_cancer"}).plan
    journal = Journal(home.database)
    run = "20261122-120000-breast_cancer-abcdef"
    journal.open_run(run, plan.task, plan.to_json(), plan.sha256, {})
    events = [RunStarted(run, plan.task, plan.sha256, 16, 20, plan.trust)]
    events += [HospitalJoined(run, name, 40, 20) for name in ("north", "south")]
    for number in (1, 2):
        one = {
            "accuracy": 0.5 + number / 10,
            "auc": 0.6 + number / 10,
            "log_loss": 0.5,
            "examples": 40,
        }
        own = {"north": one, "south": {**one, "auc": 0.9}}
        events.append(RoundClosed(run, number, "ab" * 32, one, own, learning_rate=0.1))
    journal.save(run, Idle(), events)
    journal.close()
    return Desk.of(home), run


def test_while_a_run_goes_on_figures_and_table_move_as_one(going_on):
    desk, run = going_on
    ask = Asking(coordinator_app(desk))
    page = ask.get("/technical", headers=PAGE)
    assert page.status_code == 200
    assert 'hx-sse:connect="/live/technical"' in page.text
    parts = PAGES["technical"](desk, Sight(), run)
    assert set(parts) == {"standing", "rounds-part", "figures-part", "beside-part"}
    for key, html in parts.items():
        assert f'id="{key}"' in page.text
        assert " ".join(html.split()) in " ".join(page.text.split())
    still = ask.get("/technical?q=1", headers=PAGE).text
    assert "hx-sse:connect" not in still
    assert "does not change while you read" in still
    for path in ("/clinical", "/fairness"):
        text = ask.get(path, headers=PAGE).text
        assert "the run goes on" in text or "when the run has ended" in text
    assert ask.get(f"/technical/files/result.json?run={run}").status_code == 404


def test_before_any_run_each_page_says_what_to_do(tmp_path):
    ask = Asking(coordinator_app(Desk.of(Home(tmp_path).prepare())))
    for path in ("/clinical", "/technical", "/fairness", "/experiments"):
        answer = ask.get(path, headers=PAGE)
        assert answer.status_code == 200
        assert 'href="/training"' in answer.text.split("<main")[1]
    assert ask.get("/technical/rounds.csv").status_code == 404
    assert ask.get("/technical?run=nothing", headers=PAGE).status_code == 404
