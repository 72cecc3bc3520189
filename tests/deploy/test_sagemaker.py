"""The SageMaker entry point, run here in the layout that SageMaker gives a job. Nothing of AWS."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aegis.errors import BadInput

SCRIPT = Path(__file__).parents[2] / "deploy" / "sagemaker" / "train.py"


def _module():
    spec = importlib.util.spec_from_file_location("sagemaker_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train = _module()


@pytest.fixture
def job(tmp_path):
    """/opt/ml of a job with one instance, as environment."""
    ml = tmp_path / "ml"
    (ml / "input" / "data" / "plan").mkdir(parents=True)
    return {
        "SM_MODEL_DIR": str(ml / "model"),
        "SM_OUTPUT_DIR": str(ml / "output"),
        "SM_OUTPUT_DATA_DIR": str(ml / "output" / "data"),
        "SM_CHANNEL_PLAN": str(ml / "input" / "data" / "plan"),
        "SM_CHANNELS": '["plan"]',
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_NUM_CPUS": "2",
        "SM_NUM_GPUS": "0",
    }


def test_a_job_trains_a_plan_of_its_channel_and_leaves_everything_where_it_is_collected(job):
    plan = Path(job["SM_CHANNEL_PLAN"]) / "mine.yaml"
    plan.write_text("task: breast_cancer\ntraining:\n  solver: newton\n  l2: 1.0\n")
    said = {"plan": "mine.yaml", "federated.num_rounds": 3, "seed": "17", "compare": False}
    job["SM_HPS"] = json.dumps(said | {"audit": False})
    done = subprocess.run(
        [sys.executable, SCRIPT, "--federated.num_rounds", "3", "--model_dir", "s3://elsewhere"],
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **job},
        cwd=job["SM_CHANNEL_PLAN"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    kept = json.loads((Path(job["SM_MODEL_DIR"]) / "plan.json").read_text())
    result = json.loads((Path(job["SM_OUTPUT_DATA_DIR"]) / "result.json").read_text())
    assert kept["seed"] == 17
    assert kept["federated"]["num_rounds"] == 3
    assert said["model_sha256"] == result["model_sha256"]
    assert f"aegis_accuracy={said['accuracy']:.6f};" in done.stdout
    models = sorted(path.name for path in Path(job["SM_MODEL_DIR"]).iterdir())
    assert "model.safetensors" in models
    assert "model.privacy.json" in models
    assert (Path(job["SM_OUTPUT_DATA_DIR"]) / "report.html").exists()
    assert list(Path(job["SM_CHANNEL_PLAN"]).iterdir()) == [plan]  # nothing is left beside


def test_a_file_in_the_training_channel_is_found_by_the_plans_own_relative_path(job, tmp_path):
    channel = tmp_path / "training"
    channel.mkdir()
    (channel / "rows.csv").write_text("a,label\n1,yes\n2,no\n")
    job["SM_CHANNEL_TRAINING"] = str(channel)
    said = {"task": "table", "data.path": "rows.csv", "data.label": "label"}
    plan = train.plan_of(job, said | {"data.positive": "yes"})
    assert plan.data.path == str(channel / "rows.csv")


@pytest.mark.parametrize(
    ("changed", "arguments", "reason"),
    [
        ({"SM_HOSTS": '["algo-1", "algo-2"]'}, [], "2 instances"),
        ({"SM_HPS": "{"}, [], "SM_HPS is no JSON"),
        ({"SM_HPS": "[]"}, [], "no JSON object"),
        ({"SM_HPS": '{"plan": "absent.yaml"}'}, [], "no plan 'absent.yaml'"),
        ({"SM_HPS": '{"federated.num_round": 3}'}, [], "num_rounds"),
        ({"SM_HPS": '{"seed": 1}'}, ["--seed", "2"], "seed is 1 in SM_HPS and 2"),
        ({}, ["--seed"], "--KEY VALUE"),
        ({"SM_HPS": '{"audit": "perhaps"}'}, [], "true or false"),
    ],
)
def test_a_job_that_cannot_go_on_says_why_where_sagemaker_looks(job, changed, arguments, reason):
    assert train.main(arguments, job | changed) == 2
    failure = (Path(job["SM_OUTPUT_DIR"]) / "failure").read_text()
    assert reason in failure
    assert len(failure) <= 1024
    assert not Path(job["SM_MODEL_DIR"]).exists()


def test_what_the_toolkit_adds_is_no_plan_key():
    hps = json.dumps({"sagemaker_program": "train.py", "model_dir": "s3://x", "seed": 3})
    assert train.hyperparameters({"SM_HPS": hps}, ["--seed", "3"]) == {"seed": "3"}
    with pytest.raises(BadInput):
        train.hyperparameters({}, ["seed", "3"])
