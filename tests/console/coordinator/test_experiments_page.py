"""A list of runs that is searched, sorted and paged in its address, and runs beside each other."""

import csv
import io
import json
import re
import shutil
import sqlite3
from contextlib import closing, contextmanager
from html import unescape

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.pages.compared import overlaid, overlaid_table
from aegis.console.coordinator.pages.listed import (
    MOST,
    Asked,
    chosen,
    experiment_of,
    lines_of,
    page_of,
)
from aegis.console.coordinator.pages.listed import (
    PAGE as MOST_SHOWN,
)
from aegis.console.reading import Line
from aegis.store.experiments import differences
from tests.console.asking import Asking
from tests.report.conftest import build

PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def ask(finished_home):
    return Asking(coordinator_app(Desk.of(finished_home.home)))


def lines(many):
    return [
        Line(f"run-{n:03d}", "heart" if n % 2 else "vitals", f"2026-01-{n % 28 + 1:02d}T00:00:00",
             "completed" if n % 3 else "stopped", n, n, "open", n % 5 == 0, "inprocess",
             {"auc": None if n == 4 else (n * 37 % 101) / 101}, f"{n:064x}")
        for n in range(many)
    ]  # fmt: skip


def test_the_list_shows_each_run_with_its_own_figures(ask, finished_home):
    page = ask.get("/experiments", headers=PAGE).text
    for run in (finished_home.private, finished_home.open):
        document = json.loads((finished_home.home.results(run) / "result.json").read_text())
        row = re.search(rf'<tr role="row"><th[^>]*><a href="/technical\?run={run}".*?</tr>', page)[
            0
        ]
        last = document["history"][-1]["global"]
        assert f">{last['auc']:.3f}<" in row
        assert f">{100 * last['accuracy']:.1f}\xa0%<" in row
        assert f">{document['rounds']}<" in row
    first = ask.get("/experiments?sort=first&noise=yes", headers=PAGE).text
    assert finished_home.private in first
    assert finished_home.open not in first
    assert "No run fits" in ask.get("/experiments?q=nothing-like-it", headers=PAGE).text


def test_files_hold_what_the_list_shows(ask, finished_home):
    rows = list(csv.DictReader(io.StringIO(ask.get("/experiments.csv?noise=no").text)))
    assert [row["run"] for row in rows] == [finished_home.open]
    listed = ask.get("/experiments.json").json()
    assert [one["run"] for one in listed] == [finished_home.open, finished_home.private]


def test_filters_and_orders():
    every = lines(60)
    assert chosen(every, Asked()) == every
    assert {line.task for line in chosen(every, Asked(words="HEART"))} == {"heart"}
    assert {line.status for line in chosen(every, Asked(status="stopped"))} == {"stopped"}
    ranked = [line.metrics["auc"] for line in chosen(every, Asked(sort="auc"))]
    assert ranked[-1] is None
    assert ranked[:-1] == sorted(ranked[:-1], reverse=True)
    asked = Asked.of({"q": " a ", "status": "x", "sort": "auc", "page": "3"})
    assert asked == Asked("a", sort="auc", page=3)
    assert asked.query(page=1) == "?q=a&sort=auc"
    assert Asked().query() == ""


def test_two_to_four_runs_are_compared_as_their_files_say(ask, finished_home):
    runs = [finished_home.private, finished_home.open]
    sent = ask.get(f"/experiments/compare?runs={runs[0]}&runs={runs[1]}", headers=PAGE)
    assert sent.status_code == 303
    page = ask.get(sent.headers["location"], headers=PAGE).text
    assert "came to different models" in page
    desk = Desk.of(finished_home.home)
    apart = differences([experiment_of(desk, run) for run in runs])
    part = page.split('id="plan"')[1].split("</table>")[0]
    for key, cells in apart["plan"].items():
        row = re.search(rf">{re.escape(key)}<.*?</tr>", part, re.DOTALL)[0]
        for cell in cells:
            assert json.dumps(cell) in unescape(row)
    for run in runs:
        document = json.loads((finished_home.home.results(run) / "result.json").read_text())
        low, high = document["global"]["ci95"]["auc"]
        assert f"{document['global']['auc']:.4f} ({low:.4f} to {high:.4f})" in page
    assert "Privacy noise is new in every run" in page


def test_the_same_run_twice_or_five_are_sent_back(ask, finished_home):
    for query in (
        "",
        f"runs={finished_home.open}",
        "&".join(f"runs=r{n}" for n in range(MOST + 1)),
    ):
        answer = ask.get(f"/experiments/compare?{query}", headers=PAGE)
        assert answer.status_code == 303
        assert "Tick two to four runs" in ask.get(answer.headers["location"], headers=PAGE).text
    missing = ask.get(f"/experiments/compare?runs={finished_home.open},nothing", headers=PAGE)
    assert missing.status_code == 404


def test_equal_models_are_said_to_be_equal(own_home):
    home = own_home()
    with sqlite_of(home) as (db, columns):
        row = db.execute("SELECT * FROM runs WHERE run=?", (home.open,)).fetchone()
        copied = tuple(
            "again" if name == "run" else cell for name, cell in zip(columns, row, strict=True)
        )
        db.execute(f"INSERT INTO runs VALUES ({','.join('?' * len(row))})", copied)
    shutil.copytree(home.home.results(home.open), home.home.results("again"))
    ask = Asking(coordinator_app(Desk.of(home.home)))
    page = ask.get(f"/experiments/compare?runs={home.open},again", headers=PAGE).text
    assert "came to the same model, to the bit" in page
    assert "Nowhere: every key is the same" in page
    assert "tested on the same patients" in page


def test_four_curves_differ_by_dash_and_a_run_without_scores_is_said():
    documents = [build(rounds=5 + 10 * n) | {"run": f"run-{n}"} for n in range(MOST)]
    documents[3]["history"] = []
    drawn = overlaid(documents, "auc", "AUC by round")
    assert [line.kind for line in drawn.lines] == ["shared", "own", "pooled"]
    assert "run-3: not scored" in drawn.finding
    table = overlaid_table(documents, "auc", "AUC by round")
    assert table.rows[0][0] == "1"
    assert table.rows[-1][0] == "25"
    assert table.rows[-1][1] == "not scored"
    assert overlaid([{"history": []}], "auc", "AUC") is None


def test_a_list_of_many_runs_is_read_a_page_at_a_time_and_over_runs_once(own_home, monkeypatch):
    home = own_home()
    with sqlite_of(home) as (db, columns):
        rows = db.execute("SELECT * FROM runs").fetchall()
        at = columns.index("run")
        for n in range(118):
            row = rows[n % 2]
            db.execute(
                f"INSERT INTO runs VALUES ({','.join('?' * len(row))})",
                (*row[:at], f"{row[at]}-{n:03d}", *row[at + 1 :]),
            )
    desk = Desk.of(home.home)
    read = []
    true = desk.reading.line_in
    monkeypatch.setattr(
        desk.reading, "line_in", lambda journal, run: (read.append(run), true(journal, run))[1]
    )
    assert len(page_of(desk, Asked()).lines) == MOST_SHOWN == len(read)
    assert page_of(desk, Asked(sort="auc")).found == 120 == len(read)
    assert page_of(desk, Asked(sort="task", page=9)).page == 3
    assert len(read) == 120
    assert len(lines_of(desk).of([])) == 0


@contextmanager
def sqlite_of(home):
    """The journal's file, open for additions."""
    with closing(sqlite3.connect(home.home.database)) as db:
        yield db, [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        db.commit()
