"""Asking before training: the sum of all hospitals, what stays on disk, and when they say no."""

import json
import math
import sqlite3

import numpy as np
import pytest

from aegis.coordinator.questions import ask_all, summed
from aegis.coordinator.steps import Study
from aegis.errors import BadInput, DataError, RunAborted
from aegis.hospital.ledger import Ledger
from aegis.messages import WITHHELD, Absence, Counts, Enrolled, Refusal
from aegis.plan import load_plan
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import SystemNoise
from aegis.simulation.asking import ask
from aegis.tasks.question import Question, question
from aegis.tasks.task import DataOptions, Dataset, Rows, find_task
from aegis.tasks.topics import Topics
from tests.federations import data_directory

TASK = find_task("breast_cancer")
TOPICS = Topics(TASK.schema, TASK.positive)
BY_DIAGNOSIS = Question("histogram", ("diagnosis",))
SENTINEL = 17.123456789


def _plan(**more):
    return load_plan(None, {"task": "breast_cancer", **more}).plan


@pytest.fixture
def silent(monkeypatch):
    """NOT PRIVATE: noise that is none, to see what is under it."""
    monkeypatch.setattr(
        SystemNoise, "gaussian_on_grid", lambda self, sd, shape: np.zeros(shape, np.int64)
    )


def _radius():
    return TASK.load(DataOptions()).rows.inputs["mean radius"]


def _log(home):
    text = (home / "logs" / "queries.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_all_hospitals_together_count_what_numpy_counts(tmp_path, silent):
    document = ask(_plan(), BY_DIAGNOSIS, home=tmp_path)
    assert [cell["count"] for cell in document["cells"]] == [357, 212]
    radius = _radius()
    found = ask(_plan(), Question("count", where="mean radius > 15"), home=tmp_path)
    assert found["cells"][0]["count"] == (radius > 15).sum()


def test_the_noise_of_the_sum_is_that_of_five_hospitals(tmp_path):
    document = ask(_plan(), BY_DIAGNOSIS, epsilon=0.5, home=tmp_path)
    sd = math.sqrt(5 * (gaussian_sigma(0.5, 1e-5) ** 2 + 1 / 12))
    assert document["noise_sd"] == pytest.approx(sd)
    for cell, true in zip(document["cells"], (357, 212), strict=True):
        assert abs(cell["count"] - true) < 6 * sd
        low, high = cell["ci95"]
        assert (low + high) / 2 == pytest.approx(cell["count"], abs=1)
        assert (high - low) / 2 == pytest.approx(1.96 * sd, abs=1)


def test_the_same_question_has_the_same_answer_and_is_charged_once(tmp_path):
    first = ask(_plan(), Question("count", where="mean radius>15"), home=tmp_path)
    again = ask(_plan(), Question("count", where=" mean radius > 15.0"), home=tmp_path)
    assert first["cells"] == again["cells"]
    assert first["question_sha256"] == again["question_sha256"]
    assert [h["charged"] for h in first["hospitals"]] == [0.1] * 5
    assert [h["charged"] for h in again["hospitals"]] == [0.0] * 5
    assert first["hospitals"][0]["spent"] == again["hospitals"][0]["spent"] > 0.1
    ledgers = sorted((tmp_path / "results" / "queries" / "breast_cancer" / "ledgers").glob("*.db"))
    assert len(ledgers) == 5


def test_questions_share_one_budget_and_the_last_one_is_refused_by_all(tmp_path):
    for radius in range(8, 13):
        wanted = Question("count", where=f"mean radius > {radius}")
        ask(_plan(), wanted, epsilon=0.4, home=tmp_path)
    asked, one_more = 5, Question("count", where="mean radius > 13")
    with pytest.raises(RunAborted, match="have spent epsilon") as ended:
        ask(_plan(), one_more, epsilon=0.4, home=tmp_path)
    assert ended.value.exit_code == 3
    assert "keep their answers" in ended.value.way_out
    ask(_plan(), Question("count", where="mean radius > 8"), epsilon=0.4, home=tmp_path)
    lines = _log(tmp_path)
    assert len(lines) == asked + 2
    assert len(lines[asked]["refused"]) == 5


def test_the_log_holds_the_question_and_no_count(tmp_path):
    ask(_plan(), BY_DIAGNOSIS, home=tmp_path)
    (line,) = _log(tmp_path)
    assert line["question"]["columns"] == ["diagnosis"]
    assert line["epsilon"] == 0.1
    assert len(line["answered"]) == 5
    assert set(line) == {
        "time", "task", "plan_sha256", "question", "question_sha256", "epsilon", "delta",
        "answered", "refused",
    }  # fmt: skip


def test_small_cells_are_never_shown(tmp_path, silent):
    document = ask(_plan(), Question("histogram", ("mean radius",), bins=20), home=tmp_path)
    true = np.histogram(np.clip(_radius(), 5, 30), bins=20, range=(5, 30))[0]
    for cell, count in zip(document["cells"], [*true, 0], strict=True):
        if count < 10:
            assert (cell["count"], cell["ci95"], cell["shown"]) == (None, None, "fewer than 10")
        else:
            assert cell["shown"] == str(count)


def test_public_data_without_noise_are_called_not_private(tmp_path):
    document = ask(_plan(), BY_DIAGNOSIS, without_noise=True, home=tmp_path)
    assert document["privacy"]["label"].startswith("NOT PRIVATE")
    assert document["privacy"]["epsilon"] is None
    assert not list(tmp_path.rglob("*.db"))
    for cell, true in zip(document["cells"], (357, 212), strict=True):
        exact = cell["withheld_by"] == 0
        assert (cell["count"] == true) if exact else (cell["count"] < true)
        assert cell["shown"] == (str(true) if exact else f"at least {cell['count']}")
    assert _log(tmp_path)[0]["epsilon"] is None


def test_data_that_are_not_bundled_are_not_counted_without_noise(tmp_path, monkeypatch):
    monkeypatch.setattr(type(TASK), "sources", ("somewhere",), raising=False)
    with pytest.raises(RunAborted, match="public demonstration data"):
        ask(_plan(), BY_DIAGNOSIS, without_noise=True, home=tmp_path)


def test_other_rows_under_the_same_names_do_not_get_a_budget_of_their_own(tmp_path):
    ask(_plan(), BY_DIAGNOSIS, home=tmp_path)
    with pytest.raises(DataError, match="begun for other rows"):
        ask(_plan(seed="3"), BY_DIAGNOSIS, home=tmp_path)
    ask(_plan(**{"data.test_fraction": "0.3"}), BY_DIAGNOSIS, home=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "price", "says"),
    [
        (Question("histogram", ("mean radios",)), {}, "mean radius"),
        (Question("count", where="radius >"), {}, "radius"),
        (BY_DIAGNOSIS, {"epsilon": math.nan}, "got nan"),
        (BY_DIAGNOSIS, {"epsilon": 0.0}, "above 0"),
        (BY_DIAGNOSIS, {"delta": 1e-3}, "at most 1e-05"),
        (BY_DIAGNOSIS, {"delta": math.nan}, "got nan"),
    ],
)
def test_an_unsound_question_is_refused_before_anything_is_written(tmp_path, wanted, price, says):
    with pytest.raises(BadInput, match=says):
        ask(_plan(), wanted, home=tmp_path / "home", **price)
    assert not (tmp_path / "home").exists()


def test_a_patient_s_value_is_in_no_file(tmp_path, monkeypatch):
    loaded = type(TASK).load
    sentinel = np.float64(SENTINEL)

    def marked(self, options):
        rows = loaded(self, options).rows
        inputs = {**rows.inputs, "mean radius": rows.inputs["mean radius"].copy()}
        inputs["mean radius"][:] = sentinel
        return Dataset(Rows(inputs, rows.labels, rows.attributes), "marked")

    monkeypatch.setattr(type(TASK), "load", marked)
    ask(_plan(), Question("histogram", ("mean radius",)), home=tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) >= 6
    for path, data in files.items():
        for form in (b"17.1234", sentinel.tobytes(), np.float32(sentinel).tobytes()):
            assert form not in data, path


def test_an_exact_count_is_in_no_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(
        SystemNoise, "gaussian_on_grid", lambda self, sd, shape: np.full(shape, 10**6 * 2**24)
    )
    ask(_plan(), BY_DIAGNOSIS, home=tmp_path)
    for path in tmp_path.rglob("*.db"):
        opened = Ledger.open(path, _origin(path))
        (row,) = [row for row in opened.rows() if row.kind == "stored"]
        stored = opened.payload(row.run, row.round, row.purpose)
        cells = np.frombuffer(stored[-16:], "<i8")
        assert (cells >= 10**6).all(), path
        opened.close()


def _origin(path):
    with sqlite3.connect(path) as database:
        (found,) = database.execute("SELECT detail FROM rows WHERE number = 1").fetchone()
    database.close()
    return found


class Road:
    """Hospitals that answer what they were told to."""

    def __init__(self, **replies):
        self.replies = replies

    def hospitals(self):
        return tuple(self.replies)

    def ask(self, requests, deadline_s):
        first = any(type(request).__name__ == "Invite" for request in requests.values())
        if first:
            sha256 = TASK.schema.sha256
            return {name: Enrolled("run", 0, name, 100, 20, sha256) for name in requests}
        return {name: self.replies[name] for name in requests if self.replies[name] is not None}


def _counts(hospital, cells, sd=2.0, minimum=10, run="run"):
    return Counts(run, 0, hospital, np.array(cells), 100, sd, minimum)


def _asked(**replies):
    study = Study(_plan(), TASK.schema)
    by_diagnosis = question(TOPICS, "histogram", ["diagnosis"])
    return ask_all(study, Road(**replies), "run", by_diagnosis, TOPICS, 0.1, 1e-5)


def test_answers_that_are_not_sound_are_set_aside_and_named():
    answered = _asked(
        fine=_counts("fine", [50, 20]),
        refuses=Refusal("run", 0, "refuses", "not today"),
        away=Absence("away", "no connection"),
        mute=None,
        shape=_counts("shape", [1, 2, 3]),
        floats=_counts("floats", [1.5, 2.0]),
        other=_counts("somebody", [1, 2]),
        run=_counts("run", [1, 2], run="another"),
        noise=_counts("noise", [1, 2], sd=math.nan),
        huge=_counts("huge", [2**62, 2]),
        lowest=_counts("lowest", [-(2**63), 2]),
        negative=_counts("negative", [-5, 2], sd=0.0),
    )
    assert answered.noisy == ("fine",)
    assert answered.refused["refuses"] == "not today"
    assert answered.refused["away"] == "no connection"
    assert len(answered.refused) == 11
    assert all(answered.refused.values())
    assert [cell.count for cell in answered.cells] == [50, 20]


def test_the_largest_minimum_cell_holds_for_the_sum():
    told = [_counts("a", [15, 9]), _counts("b", [4, 30], minimum=20)]
    answered = summed(told, {})
    assert answered.minimum_cell == 20
    assert [cell.count for cell in answered.cells] == [None, 39]
    assert answered.noise_sd == pytest.approx(math.sqrt(8))


def test_minus_one_means_withheld_only_where_there_is_no_noise():
    noisy = summed([_counts("a", [WITHHELD, 50]), _counts("b", [50, 50])], {})
    assert [cell.count for cell in noisy.cells] == [49, 100]
    exact = summed([_counts("a", [WITHHELD, 50], 0.0), _counts("b", [50, 50], 0.0)], {})
    assert [(c.count, c.withheld_by) for c in exact.cells] == [(50, 1), (100, 0)]


def test_four_real_centres_answer_too(tmp_path, silent):
    plan = load_plan(None, {"task": "heart"}).plan
    wanted = Question("crosstab", ("cp", "diagnosis"), where="sex = female")
    document = ask(plan, wanted, home=tmp_path, data_directory=data_directory())
    assert sum(cell["count"] or 0 for cell in document["cells"]) > 100
    assert [h["name"] for h in document["hospitals"]] == [
        "cleveland", "hungarian", "switzerland", "va",
    ]  # fmt: skip
