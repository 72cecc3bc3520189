"""``aegis data check``: what is wrong, where, and a plan that runs."""

from __future__ import annotations

import json

import pytest

from aegis.cli.app import run_command
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.tasks.tables.checking import examine
from tests.tasks.test_table import lines


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "kidneys.csv"
    path.write_text(lines(4, 80).replace("P3,", "P3,").replace("male,", "male\t,"))
    return path


def test_the_suggested_plan_runs(file, tmp_path):
    found = examine(file, group="patient id")
    assert (found.label, found.positive, found.guessed) == ("class", "ckd", ("label", "positive"))
    assert not found.faults
    plan = tmp_path / "plan.yaml"
    plan.write_text(found.plan)
    federation = Federation.of(load_plan(plan).plan, None)
    assert len(federation.sites) == 3
    assert sum(len(s.train) + len(s.test) for s in federation.sites.values()) == 80


def test_a_folder_of_two_is_an_open_federation_of_two(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(lines(ord(name)))
    plan = tmp_path / "plan.yaml"
    plan.write_text(examine(tmp_path).plan)
    assert set(Federation.of(load_plan(plan).plan, None).sites) == {"a", "b"}


def test_faults_and_remarks_have_a_place(file):
    text = file.read_text().splitlines()
    text[5] = text[5].replace(",", ",350,", 1).rsplit(",", 1)[0]
    file.write_text("\n".join([*text, text[-1], "P9,41"]))
    [(name, fault)] = examine(file).faults
    assert (name, str(fault)) == ("kidneys.csv", "row 83: 2 cells, the header has 5")
    file.write_text("\n".join(["age,class", "350,ckd"] + [f"{40 + i},no" for i in range(40)] * 2))
    found = [str(problem) for _, problem in examine(file, "class", "ckd").remarks]
    assert "row 2, column age: 350 lies far from all others" in found
    assert "row 43: the same as an earlier row, as are 40 in all" in found
    assert "1.2% of the rows are positive, so accuracy alone would mislead" in found


def test_stages_of_a_disease_are_positive_above_zero(file):
    rows = [f"{30 + i % 50},{i % 5}.0" for i in range(60)]
    file.write_text("\n".join(["age,num", *rows]))
    found = examine(file)
    assert (found.label, found.positive, found.faults) == ("num", "> 0", [])


def test_zeros_that_nobody_comes_near_are_asked_about(file):
    rows = [f"{0 if i % 9 == 0 else 90 + i},{'ckd' if i % 4 else 'no'}" for i in range(60)]
    file.write_text("\n".join(["glucose,class", *rows]))
    remarks = examine(file, "class", "ckd").remarks
    [problem] = [problem for _, problem in remarks if problem.column]
    assert str(problem) == (
        "column glucose: 7 zeros, all others are 91 or more; do they mean missing?"
    )


def test_the_command_prints_schema_and_plan(file, capsys):
    assert run_command(["data", "check", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["usable"] is True
    kinds = {column["name"]: column["kind"] for column in document["columns"]}
    assert kinds == {"age": "number", "sex": "category", "stage": "category", "patient id": None}
    assert run_command(["data", "check", str(file), "--label", "class"]) == 0
    shown = capsys.readouterr().out
    assert "left out: it names patients" in shown
    assert "patients have several rows; say --group patient id" in shown
    assert "task: table" in shown


def test_the_command_refuses_what_is_unusable_with_2(file, capsys):
    assert run_command(["data", "check", str(file), "--label", "stages"]) == 2
    assert "kidneys.csv has no column stages" in capsys.readouterr().out
    file.write_bytes(b"PK\x03\x04")
    assert run_command(["data", "check", str(file)]) == 2
    assert "a zip archive or an Excel workbook" in capsys.readouterr().err
