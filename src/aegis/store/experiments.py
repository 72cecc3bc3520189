"""Experiments: for every run one file with all that is needed to make it again, and what came out.

    experiments/experiment_RUN.json

It holds the plan, the seed, the options, what the run was made with (versions, processor), its
events and its result. It is written when a run begins and again when it ends, whole each time, so
a run that died shows as one that never ended. Neither a path of this machine nor its name is in it.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, BadInput, DataError
from aegis.plan import Plan
from aegis.store.home import Home, write_whole
from aegis.store.journal import Journal

FORMAT = "aegis-experiment/1"
PACKAGES = ("aegis-fl", "numpy", "scipy", "dp-accounting", "cryptography", "torch", "pyspark")
SHOWN = ("accuracy", "balanced_accuracy", "auc", "log_loss")


@dataclass(frozen=True)
class Experiment:
    """``body`` is the file as it was read."""

    path: Path
    body: Mapping[str, Any]

    @property
    def run(self) -> str:
        return str(self.body["run"])

    @property
    def plan_json(self) -> str:
        return json.dumps(self.body["plan"])

    @property
    def status(self) -> str:
        return str(self.body["status"])

    @property
    def result(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.body.get("result") or {}
        return found

    @property
    def metrics(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.result.get("global") or {}
        return found

    @property
    def model_sha256(self) -> str | None:
        return self.result.get("model_sha256")

    @property
    def noisy(self) -> bool:
        """Whether privacy noise was in it, which is new in every run."""
        return bool(self.body["plan"]["privacy"]["enabled"])

    def summary(self) -> dict[str, Any]:
        epsilon = (self.result.get("privacy") or {}).get("epsilon")
        return {
            "run": self.run,
            "task": self.body["task"],
            "started": self.body["started"],
            "status": self.status,
            "plan_sha256": self.body["plan_sha256"],
            "model_sha256": self.model_sha256,
            "epsilon": epsilon,
            **{name: self.metrics.get(name) for name in SHOWN},
            "file": str(self.path),
        }


def begun(
    home: Home, run: str, task: str, started: str, plan_json: str, plan_sha256: str, options: Any
) -> Experiment:
    """Write the file of a run that begins, or goes on."""
    plan = json.loads(plan_json)
    kept = {k: v for k, v in dict(options).items() if k not in ("data_directory", "out")}
    body = {
        "format": FORMAT,
        "run": run,
        "task": task,
        "status": "running",
        "started": started,
        "seed": plan["seed"],
        "plan_sha256": plan_sha256,
        "plan": plan,
        "options": kept,
        "environment": environment(),
        "events": [],
        "result": None,
        "error": None,
    }
    experiment = Experiment(home.experiments / f"experiment_{run}.json", body)
    _write(experiment)
    return experiment


def ended(
    experiment: Experiment,
    status: str,
    result: Mapping[str, Any] | None,
    events: Sequence[tuple[int, str, Mapping[str, Any]]] = (),
    error: Mapping[str, str] | None = None,
) -> Experiment:
    """Write it again with what came out. Files are named by their last part only."""
    shown = None
    if result is not None:
        files = {name: Path(path).name for name, path in (result.get("files") or {}).items()}
        shown = {**result, "files": files}
    body = {
        **experiment.body,
        "status": status,
        "events": [list(event) for event in events],
        "result": shown,
        "error": error,
    }
    found = Experiment(experiment.path, body)
    _write(found)
    return found


@contextmanager
def recorded(
    home: Home, journal: Journal, run: str, *, events: bool
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Keeps the run's experiment file; the caller hands in the result when there is one. A run that
    fails is on file with its reason; one that is killed, as running. ``events``: they go on file
    too (the journal has them in any case)."""
    stored = journal.run(run)
    plan = Plan.from_json(stored.plan_json)
    file = begun(
        home, run, stored.task, stored.started, stored.plan_json, plan.sha256, stored.options
    )

    def told() -> list[tuple[int, str, dict[str, Any]]]:
        return journal.events(run) if events else []

    def done(result: Mapping[str, Any]) -> None:
        ended(file, str(result["status"]), result, told())

    try:
        yield done
    except AegisError as error:
        with suppress(AegisError):  # a full disk is the reason already, not what follows from it
            ended(file, "aborted", None, told(), error.as_json())
        raise


def environment() -> dict[str, Any]:
    """What numbers may depend on. No package is imported for it."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": found,
    }


def listed(home: Home) -> tuple[list[Experiment], list[str]]:
    """All experiments, oldest first, and a sentence for each file that cannot be read."""
    found, broken = [], []
    for path in sorted(home.experiments.glob("experiment_*.json")):
        try:
            found.append(read(path))
        except DataError as error:
            broken.append(str(error))
    return sorted(found, key=lambda one: (str(one.body.get("started")), one.run)), broken


def find(home: Home, name: str) -> Experiment:
    """By file, by run or its beginning, or ``latest``. Raises ``BadInput``."""
    path = Path(name)
    if path.suffix == ".json":
        return read(path)
    paths = sorted(home.experiments.glob("experiment_*.json"))
    runs = {one.stem.removeprefix("experiment_"): one for one in paths}
    if name == "latest" and runs:
        return listed(home)[0][-1]
    fitting = [run for run in runs if run == name] or [r for r in runs if r.startswith(name)]
    if len(fitting) == 1:
        return read(runs[fitting[0]])
    raise BadInput(
        f"{len(fitting)} experiments begin with {name}" if fitting else f"no experiment is {name}",
        f"there are {len(runs)} in {home.experiments}",
        "See: aegis experiments list",
    )


def read(path: Path) -> Experiment:
    """Raises ``DataError`` for a file that is no experiment."""
    try:
        body = json.loads(path.read_bytes())
        if body["format"] != FORMAT:
            raise ValueError(f"its format is {body['format']}")
        for key, kind in (("run", str), ("plan", dict), ("environment", dict), ("status", str)):
            if not isinstance(body[key], kind):
                raise ValueError(f"its {key} is {body[key]!r:.40}")
        bool(body["plan"]["privacy"]["enabled"])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} is no experiment, or it is damaged ({error})",
            way_out="The journal still has the run: aegis report --list",
        ) from error
    return Experiment(path, body)


def differences(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """What two or more experiments do not share: plan keys, environment; their metrics beside each
    other, and whether they came to the same weights."""
    plans = [_flat(one.body["plan"]) for one in experiments]
    made = [_flat(one.body["environment"]) for one in experiments]
    hashes = [one.model_sha256 for one in experiments]
    return {
        "runs": [one.run for one in experiments],
        "plan": _apart(plans),
        "environment": _apart(made),
        "metrics": {
            name: [one.metrics.get(name) for one in experiments]
            for name in (*SHOWN, "examples")
            if any(one.metrics.get(name) is not None for one in experiments)
        },
        "epsilon": [(one.result.get("privacy") or {}).get("epsilon") for one in experiments],
        "model_sha256": hashes,
        "same_model": None not in hashes and len(set(hashes)) == 1,
    }


def _apart(flat: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    keys = sorted({key for one in flat for key in one})
    rows = {key: [one.get(key) for one in flat] for key in keys}
    return {key: row for key, row in rows.items() if any(cell != row[0] for cell in row)}


def _flat(document: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def _write(experiment: Experiment) -> None:
    text = json.dumps(experiment.body, separators=(",", ":"), allow_nan=False)
    write_whole(experiment.path, text.encode())
