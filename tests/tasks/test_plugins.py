"""Plug-ins: dropped in, found by name, loaded by nobody who should not."""

from __future__ import annotations

import json

import pytest

from aegis.cli.app import run_command
from aegis.errors import BadInput, DataError
from aegis.hospital.node import Node
from aegis.hospital.policy import Policy
from aegis.messages import Enrolled, Invite, Refusal
from aegis.plan import Plan, check_plan
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks.plugins import is_plugin
from aegis.tasks.task import DataOptions, find_task, task_names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_PLUGINS_DIR", str(tmp_path / "plugins"))
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    assert run_command(["models", "new", "sepsis"]) == 0
    return tmp_path / "plugins" / "sepsis"


ONE_FILE = """
from dataclasses import dataclass
import numpy as np
from aegis.tasks.task import Column, Dataset, Rows, Schema

@dataclass(frozen=True)
class Stroke:
    name = "stroke"
    title = "Strokes"
    positive = "stroke"
    credits = "invented"
    schema = Schema((Column("age", "number", "age", "years", 0, 120),))
    preset = {"federated": {"num_clients": 3, "num_rounds": 4, "partition": {"by": "iid"}},
              "training": {"solver": "newton", "l2": 1.0}}

    def load(self, options):
        draw = np.random.default_rng(options.seed)
        age = draw.normal(60, 12, 150)
        labels = (draw.random(150) < 1 / (1 + np.exp(-(age - 60) / 6))).astype(np.int64)
        return Dataset(Rows({"age": age}, labels), "invented", synthetic=True)

task = Stroke()
"""


def test_a_folder_dropped_in_trains_by_its_name(folder, tmp_path):
    assert "sepsis" in task_names()
    assert is_plugin("sepsis")
    assert not is_plugin("heart")
    done = run(Plan(task="sepsis"), audit=False, compare=False, files=False)
    assert done.document["task"] == "sepsis"
    assert done.document["data"]["synthetic"] is True
    assert done.document["global"]["auc"] > 0.75
    [(name, value)] = done.document["own_figures"].items()
    assert name == "share of the ill above a probability of 0.2"
    assert 0.5 < value <= 1


def test_its_own_rows_are_read_from_the_plans_path(folder, tmp_path):
    (tmp_path / "rows.csv").write_text("age,marker,sex,label\n50,3,male,1\n61,,female,0\n")
    found = find_task("sepsis").load(DataOptions(path=tmp_path / "rows.csv"))
    assert found.rows.inputs["age"].tolist() == [50, 61]
    assert found.rows.labels.tolist() == [1, 0]
    assert not found.synthetic


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("350,3,male,1", "row 1 of sepsis, age is 350; it is 0 to 120"),
        ("50,3,m,1", "row 1 of sepsis, sex is m; it is one of female, male"),
        ("50,3,male,2", "row 1 of sepsis has the label 2; labels are 0 to 1"),
        ("fifty,3,male,1", "row 1 of sepsis cannot be read: ValueError"),
    ],
)
def test_its_rows_are_checked_like_any_others(folder, tmp_path, row, sentence):
    path = tmp_path / "rows.csv"
    path.write_text(f"age,marker,sex,label\n50,3,male,1\n{row}\n")
    with pytest.raises(DataError) as refusal:
        find_task("sepsis").load(DataOptions(path=path))
    assert sentence in str(refusal.value)


def test_one_file_with_a_task_is_enough(folder):
    (folder.parent / "stroke.py").write_text(ONE_FILE)
    done = run(Plan(task="stroke"), audit=False, compare=False, files=False)
    assert done.document["global"]["auc"] > 0.7
    (folder.parent / "empty.py").write_text("x = 1\n")
    with pytest.raises(BadInput, match=r"empty.py has no task in it; a variable called task"):
        find_task("empty")


@pytest.mark.parametrize("part", ["dataset.py", "model.py", "hyperparams.py", "evaluate.py"])
def test_a_missing_file_is_named(folder, part, capsys):
    (folder / part).unlink()
    with pytest.raises(BadInput, match=rf"sepsis has no {part}; it needs dataset.py, model.py"):
        find_task("sepsis")
    assert run_command(["simulate", "sepsis"]) == 2
    assert f"has no {part}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "text", "sentence"),
    [
        ("model", "", "model.py of sepsis has no MODEL"),
        ("dataset", "class CustomDataset:\n    pass\n", "does not say what its rows hold"),
        ("hyperparams", 'HYPERPARAMS = {"lerning_rate": 1}', "Did you mean learning_rate?"),
        ("hyperparams", "HYPERPARAMS = 3", "is no mapping"),
        ("evaluate", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("evaluate", "raise SystemExit(3)", "cannot be loaded: SystemExit"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(folder, part, text, sentence):
    (folder / f"{part}.py").write_text(text)
    with pytest.raises(BadInput) as refusal:
        find_task("sepsis")
    assert sentence in str(refusal.value)


def test_a_hyperparameter_that_no_plan_knows_is_a_fault_of_the_plan(folder, capsys):
    (folder / "hyperparams.py").write_text('HYPERPARAMS = {"training.lerning_rate": 1}')
    assert run_command(["simulate", "sepsis"]) == 2
    told = capsys.readouterr().err
    assert "lerning_rate" in told
    assert "preset of sepsis" in told


def test_a_changed_file_counts_at_once(folder):
    assert find_task("sepsis").title == "A task of my own"
    path = folder / "dataset.py"
    path.write_text(path.read_text().replace("A task of my own", "Sepsis in the first hour"))
    assert find_task("sepsis").title == "Sepsis in the first hour"


def test_code_that_everybody_may_write_is_not_loaded(folder):
    (folder / "model.py").chmod(0o666)
    with pytest.raises(BadInput, match=r"everybody on this machine may write .*model.py"):
        find_task("sepsis")


def test_a_plug_in_cannot_take_a_name_that_is_taken(folder, capsys):
    for name, sentence in (("heart", "a task is called heart already"), ("../x", "is no name")):
        assert run_command(["models", "new", name]) == 2
        assert sentence in capsys.readouterr().err
    (folder.parent / "heart").mkdir()
    assert not is_plugin("heart")
    assert find_task("heart").title != "heart"


def _marked(folder) -> None:
    """Loading it leaves a mark beside it."""
    path = folder / "dataset.py"
    mark = "\nPath(__file__).with_name('loaded').touch()\n"
    path.write_text(path.read_text() + mark)


def test_a_coordinator_that_names_a_plug_in_loads_no_code_at_a_hospital(folder):
    plan = Plan(task="sepsis", trust="open")
    check_plan(plan)
    site = next(iter(Federation.of(plan, None).sites.values()))
    invite = Invite("run", plan.sha256, plan.to_json())
    _marked(folder)
    strict = {"approval": "automatic", "trust": ("open",), "mechanisms": ("none",)}
    for policy, sentence in (
        (Policy(tasks=("heart",), **strict), "the task sepsis is not among those of this"),
        (Policy(tasks=("sepsis",), **strict), "the task sepsis is a plug-in, and not among"),
        (Policy(tasks=("any",), plugins=("other",), **strict), "sepsis is a plug-in, and not"),
    ):
        reply = Node(site, policy=policy).answer(invite)
        assert isinstance(reply, Refusal)
        assert sentence in reply.reason
        assert not (folder / "loaded").exists(), "a coordinator made this hospital run code"
    allowed = Policy(tasks=("sepsis",), plugins=("sepsis",), **strict)
    assert isinstance(Node(site, policy=allowed).answer(invite), Enrolled)


def test_a_task_that_is_not_here_is_refused_at_the_hospital(folder):
    plan = Plan(task="sepsis", trust="open")
    site = next(iter(Federation.of(plan, None).sites.values()))
    invite = Invite("run", plan.sha256, plan.to_json())
    folder.rename(folder.parent / "elsewhere")
    policy = Policy(tasks=("any",), plugins=("any",), approval="automatic", trust=("open",))
    reply = Node(site, policy=policy).answer(invite)
    assert isinstance(reply, Refusal)
    assert reply.reason == "there is no task sepsis at this hospital"


def test_the_list_of_tasks_runs_nobodys_code(folder, capsys):
    _marked(folder)
    capsys.readouterr()
    assert run_command(["data", "list", "--json"]) == 0
    rows = {row["task"]: row for row in json.loads(capsys.readouterr().out)["tasks"]}
    assert rows["sepsis"]["credits"] == f"a plug-in: {folder}"
    assert not (folder / "loaded").exists()


def test_nothing_is_loaded_from_a_folder_where_everybody_may_put_a_plug_in(folder):
    folder.parent.chmod(0o777)
    with pytest.raises(BadInput, match="everybody on this machine may write"):
        find_task("sepsis")
