"""Commands as people and scripts type them: exit codes, one JSON object, errors in few lines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aegis.store.journal import Journal

ROOT = Path(__file__).parents[2]
S1 = ROOT / "tests" / "plan" / "fixtures" / "s1.yaml"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AEGIS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_the_demo_prints_the_comparison_and_writes_the_files(home, aegis):
    code, out, err = aegis("demo")
    assert code == 0
    for wanted in ("Shared model", "Own", "Verdict", "report.html", "Not medical software"):
        assert wanted in out
    assert "[ROUND 1] accuracy:" in err
    assert "Loss reduced by" in out
    assert list(home.glob("results/*/aegis_results.png"))


def test_json_is_one_object_on_stdout(home, aegis):
    code, out, err = aegis("demo", "--json")
    document = json.loads(out)
    assert code == 0
    assert out.count("\n") == 1
    assert document["status"] == "completed"
    assert "[ROUND" not in err


def test_a_plan_runs_and_set_changes_it(home, aegis):
    plan = ROOT / "examples" / "wisconsin.yaml"
    code, out, _ = aegis("run", plan, "--set", "federated.num_rounds=2", "--json")
    assert code == 0
    assert json.loads(out)["rounds"] == 2


def test_a_run_can_be_shown_listed_and_reported_again(home, aegis):
    run = json.loads(aegis("demo", "--json")[1])["run"]
    assert run in aegis("report", "--list")[1]
    assert "Shared model" in aegis("report", "latest")[1]
    assert json.loads(aegis("report", run, "--json")[1])["run"] == run
    code, out, _ = aegis("report", run, "--html", "again.html")
    assert code == 0
    assert Path("again.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "again.html" in out


def test_models_are_listed_shown_and_verified(home, aegis):
    document = json.loads(aegis("demo", "--json")[1])
    sha256 = document["model_sha256"]
    assert sha256[:12] in aegis("models", "list")[1]
    shown = aegis("models", "show", sha256[:8])[1]
    assert "parameters        31" in shown
    assert "30 -> 1" in shown
    assert aegis("models", "verify")[0] == 0
    path = Path(document["files"]["model"])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    code, _, err = aegis("models", "verify", sha256[:8])
    assert code == 1
    assert "changed or damaged" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "nowhere.yaml"], "cannot be read"),
        (["run"], "no plan was named"),
        (["run", "--resume", "nobody"], "holds no run"),
        (["simulate", "hart"], "did you mean heart|use task: heart|heart"),
        (["simulate", "heart"], "AEGIS_DATA_DIR"),
        (["simulate", "--set", "federated.num_round=5"], "federated.num_rounds"),
        (["simulate", "--set", "training.solver"], "has no value"),
        (["simulate", "--hospitals", "0"], "federated.num_clients"),
        (["simulate", "--rounds", "many"], "--rounds"),
        (["bench", "nothing"], "no benchmark is called"),
        (["models", "show", "0000"], "holds no model yet"),
        (["report", "latest"], "holds no run yet"),
        (["data", "fetch", "heart"], "--into"),
        (["data", "describe", "hart"], "heart"),
        (["run", "x.yaml", "--transport", "pigeon"], "pigeon"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_input_exits_with_2_says_so_in_a_line_or_two_and_writes_nothing(
    home, aegis, words, expected
):
    code, out, err = aegis(*words)
    assert code == 2
    assert any(part in err for part in expected.split("|")), err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 3
    assert not home.exists()
    code, out, _ = aegis(*words, "--json")
    assert code == 2
    assert set(json.loads(out)["error"]) == {"value", "need", "way_out"}


def test_a_run_that_cannot_go_on_exits_with_3_and_says_how_to(home, aegis):
    delta = ["--set", "privacy.epsilon_budget=1", "--set", "privacy.delta=0.01"]
    code, _, err = aegis("simulate", *delta)
    assert code == 3
    assert "hospitals joined" in err
    assert "Start the missing hospitals, let people there approve the plan that waits" in err
    assert "Traceback" not in err


def test_a_stored_model_is_attacked_and_a_safe_one_exits_with_0(home, aegis):
    run = json.loads(aegis("demo", "--json")[1])["run"]
    code, out, _ = aegis("audit", "membership", run)
    assert "PRIVACY AUDIT REPORT - Membership Inference Attack Results" in out
    assert "POSITIVE CONTROL" in out
    safe = "VERDICT: SAFE" in out
    assert code == (0 if safe else 1)
    code, out, _ = aegis("audit", "membership", "latest", "--json")
    assert json.loads(out)["positive_control"]["caught"] is True
    code, _, err = aegis("audit", "membership", "0000")
    assert code == 2
    assert "no model version or run" in err


def test_s1s_plan_is_answered_honestly_and_the_suggestion_runs(home, aegis):
    code, _, err = aegis("plan", "check", S1, "--suggest", "sound.yaml")
    assert code == 2
    assert "trimmed_mean" in err
    assert "mask" in err
    code, out, _ = aegis("plan", "check", "sound.yaml")
    assert code == 0, out
    small = ("data.synthetic=true", "federated.num_rounds=1", "training.local_epochs=1")
    told = [word for key in small for word in ("--set", key)]
    code, out, err = aegis("run", "sound.yaml", *told, "--no-comparison", "--json")
    assert code == 0, err
    assert json.loads(out)["status"] == "completed"


def test_explain_names_the_origin_of_every_value(home, aegis, monkeypatch):
    monkeypatch.setenv("DP_CLIP_NORM", "2.5")
    rows = json.loads(aegis("plan", "explain", S1, "--set", "seed=3", "--json")[1])["keys"]
    origin = {row["key"]: row["origin"] for row in rows}
    assert origin["seed"] == "--set"
    assert origin["privacy.max_grad_norm"] == "environment DP_CLIP_NORM"
    assert origin["federated.num_rounds"].startswith("file s1.yaml")
    assert "image" in origin["task"] or "simple_cnn" in origin["task"]


def test_data_are_listed_and_described_without_a_file(home, aegis):
    assert "breast_cancer" in aegis("data", "list")[1]
    assert "569 rows" in aegis("data", "describe", "breast_cancer")[1]
    assert "SYNTHETIC" in aegis("data", "describe", "heart", "--synthetic")[1]


def test_the_doctor_finds_a_healthy_installation_and_a_broken_one(home, aegis, monkeypatch):
    code, out, _ = aegis("doctor")
    assert code == 0, out
    monkeypatch.setenv("AEGIS_DATA_DIR", "/nowhere")
    code, out, _ = aegis("doctor", "--json")
    assert code == 1
    assert not json.loads(out)["healthy"]


def test_an_interrupted_run_is_gone_on_with_by_name(home, tmp_path):
    environment = {**os.environ, "AEGIS_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.prove.crashing", home, "plan.yaml", "after", "4"]
    (tmp_path / "plan.yaml").write_text("task: breast_cancer\n")
    path = [*command[:4], tmp_path / "plan.yaml", *command[5:]]
    subprocess.run(path, cwd=ROOT, env=environment, capture_output=True)
    journal = Journal(home / "federated_learning.db")
    (run,) = journal.runs()
    journal.close()
    aegis = Path(sys.executable).with_name("aegis")
    done = subprocess.run(
        [aegis, "report", run], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert f"aegis run --resume {run}" in done.stderr
    done = subprocess.run(
        [aegis, "run", "--resume", run, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == run
