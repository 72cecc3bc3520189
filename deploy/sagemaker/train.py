"""Entry point for a SageMaker training job: one plan, all its hospitals simulated on one instance.

What SageMaker's training toolkit says of a job is read from its environment, and nothing else:

    SM_HPS                 hyperparameters as JSON: "plan" names a plan file, others are its keys
                           ("compare", "audit": false leaves out what takes longest)
    SM_CHANNEL_PLAN        a folder with that file (else it is one of the examples)
    SM_CHANNEL_TRAINING    a folder with data sets, or with the file or folder that data.path names
    SM_MODEL_DIR           gets the model, its card and privacy statement, and the plan
    SM_OUTPUT_DATA_DIR     gets the result: report, history, pictures
    SM_OUTPUT_DIR          gets "failure", with the reason, where it cannot go on
    SM_HOSTS               must be one: a federation of several instances is a coordinator's work
    SM_CHANNELS, SM_NUM_GPUS, SM_NUM_CPUS, SM_CURRENT_HOST   are told in the log

    python train.py        also takes --KEY VALUE for each, as the toolkit passes them
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, BadInput
from aegis.plan import Plan, load_plan
from aegis.simulation import local

ROOT = "/opt/ml"
LIMIT = 1024  # letters of a failure's reason that SageMaker shows
EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = ("plan", "compare", "audit")
PASSED_ON = ("sagemaker_", "model_dir")  # what the toolkit itself puts among them


def hyperparameters(environment: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
    """As text, from SM_HPS or from ``--KEY VALUE``; where both say a key, they must agree."""
    try:
        said = json.loads(environment.get("SM_HPS") or "{}")
    except ValueError as error:
        raise BadInput(f"SM_HPS is no JSON ({error})") from error
    if not isinstance(said, dict):
        raise BadInput("SM_HPS is no JSON object", "one value for each hyperparameter")
    found = {str(key): _text(value) for key, value in said.items()}
    if len(arguments) % 2 or not all(word.startswith("--") for word in arguments[::2]):
        raise BadInput(f"{' '.join(arguments)!r}", "--KEY VALUE for each hyperparameter")
    for word, value in zip(arguments[::2], arguments[1::2], strict=True):
        key = word.removeprefix("--")
        if found.setdefault(key, value) != value:
            raise BadInput(f"{key} is {found[key]} in SM_HPS and {value} as an argument")
    return {key: value for key, value in found.items() if not key.startswith(PASSED_ON)}


def plan_of(environment: Mapping[str, str], said: Mapping[str, str]) -> Plan:
    """The job's plan; a relative ``data.path`` is one in the channel ``training``."""
    name = said.get("plan", "")
    path = None
    if name:
        folders = [environment.get("SM_CHANNEL_PLAN"), str(EXAMPLES)]
        tried = [Path(folder) / name for folder in folders if folder]
        path = next((one for one in tried if one.is_file()), None)
        if path is None:
            raise BadInput(
                f"there is no plan {name!r}",
                "a file of the channel 'plan', or one of Aegis's examples",
                f"Tried: {', '.join(map(str, tried))}",
            )
    settings = {key: value for key, value in said.items() if key not in OWN}
    plan = load_plan(path, settings, environment, None).plan
    channel = environment.get("SM_CHANNEL_TRAINING")
    if plan.data.path and channel:
        settings["data.path"] = str(Path(channel) / plan.data.path)
        plan = load_plan(path, settings, environment, None).plan
    return plan


def train(environment: Mapping[str, str], arguments: Sequence[str]) -> dict[str, Any]:
    """The result of the run; its files lie where SageMaker collects them."""
    hosts = json.loads(environment.get("SM_HOSTS") or '["algo-1"]')
    if len(hosts) != 1:
        raise BadInput(
            f"this job has {len(hosts)} instances",
            "one: it simulates all hospitals itself",
            "Set instance_count=1; for hospitals apart see docs/deploying.md",
        )
    for name in ("SM_CURRENT_HOST", "SM_CHANNELS", "SM_NUM_CPUS", "SM_NUM_GPUS"):
        print(f"{name} {environment.get(name, '')}", flush=True)
    said = hyperparameters(environment, arguments)
    plan = plan_of(environment, said)
    model_dir = Path(environment.get("SM_MODEL_DIR") or f"{ROOT}/model")
    out = Path(environment.get("SM_OUTPUT_DATA_DIR") or f"{ROOT}/output/data")
    channel = environment.get("SM_CHANNEL_TRAINING")
    data = Path(channel) if channel and not plan.data.path else None
    with tempfile.TemporaryDirectory() as home:
        document = local.run(
            plan,
            home=Path(home),
            data_directory=data,
            out=out,
            compare=_switched(said, "compare"),
            audit=_switched(said, "audit"),
            told=lambda text: print(text, flush=True),
        ).document
        stored = Path(document["files"]["model"])
        model_dir.mkdir(parents=True, exist_ok=True)
        for path in sorted(stored.parent.glob(f"{stored.stem}*")):
            shutil.copy2(path, model_dir / path.name.replace(stored.stem, "model"))
        shutil.copy2(document["files"]["plan"], model_dir / "plan.json")
    return document


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        document = train(environment, arguments)
    except Exception as error:
        reason = str(error) if isinstance(error, AegisError) else traceback.format_exc()
        print(f"aegis: {reason}", file=sys.stderr)
        failure = Path(environment.get("SM_OUTPUT_DIR") or f"{ROOT}/output") / "failure"
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(reason[-LIMIT:], encoding="utf-8")
        return error.exit_code if isinstance(error, AegisError) else 1
    shown = {
        "run": document["run"],
        "rounds": document["rounds"],
        "accuracy": document["global"]["accuracy"],
        "auc": document["global"].get("auc"),
        "model_sha256": document["model_sha256"],
    }
    # one line a metric, for the regular expressions of a job's metric definitions
    for key in ("accuracy", "auc"):
        if shown[key] is not None:
            print(f"aegis_{key}={shown[key]:.6f};")
    print(json.dumps(shown))
    return 0


def _switched(said: Mapping[str, str], key: str) -> bool:
    text = said.get(key, "true").lower()
    if text not in ("true", "false"):
        raise BadInput(f"{key} is {text!r}", "true or false")
    return text == "true"


def _text(value: object) -> str:
    """SageMaker hands every hyperparameter over as text, the toolkit gives it its type back."""
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
