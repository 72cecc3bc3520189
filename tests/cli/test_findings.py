"""The command line around benefit and checklists, on invented patients."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AEGIS = Path(sys.executable).with_name("aegis")
SMALL = ("--set", "data.synthetic=true", "--set", "evaluation.every=0")


def aegis(home, *arguments, code=0):
    done = subprocess.run(
        [AEGIS, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "AEGIS_HOME": str(home)},
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    arguments = ("simulate", "heart", "--rounds", "4", *SMALL, "--leave-one-out", "--json")
    document = json.loads(aegis(folder, *arguments))
    (folder / "document.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def document(home):
    return json.loads((home / "document.json").read_text())


def test_each_hospital_is_left_out_once_when_asked(document):
    names = [row["name"] for row in document["leave_one_out"]["hospitals"]]
    assert names == [h["name"] for h in document["hospitals"]]


def test_fairness_lies_beside_the_result(document):
    path = Path(document["files"]["fairness"])
    assert path.name == "fairness.json"
    stored = json.loads(path.read_text())
    assert stored["run"] == document["run"]
    assert stored["attributes"] == document["fairness"]["attributes"]
    assert {one["attribute"] for one in stored["attributes"]} == {"hospital", "sex", "age"}


@pytest.mark.parametrize("name", ["check.md", "check.json"])
def test_the_checklist_is_written_as_its_name_says(name, home, tmp_path, document):
    path = tmp_path / name
    aegis(home, "report", "latest", "--tripod", str(path))
    text = path.read_text(encoding="utf-8")
    assert document["run"] in text
    if name.endswith(".json"):
        assert len(json.loads(text)["items"]) == 52


def test_a_checklist_of_no_known_kind_is_refused(home, tmp_path):
    aegis(home, "report", "latest", "--tripod", str(tmp_path / "check.docx"), code=2)
    assert not list(tmp_path.iterdir())
