"""What this hospital can learn by itself, and which shared model it was given.

The rows are divided in three as the shared plan divides them: trained on are the first, the best
round is picked by the second, and only the third, which neither model has seen, is judged. The own
model stays in this folder and is never mixed with the shared one. It is trained without noise:
nothing of it leaves, so there is nothing to hide.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aegis.coordinator.steps import Study
from aegis.errors import BadInput, DataError
from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.events import Event, RoundClosed
from aegis.hospital.decisions import Decisions
from aegis.hospital.node import Node
from aegis.hospital.site import Site
from aegis.operations.hospital import kept
from aegis.operations.hospital.folder import HospitalFolder
from aegis.operations.hospital.received import Received, received
from aegis.operations.hospital.rows import site
from aegis.plan import Plan, load_plan
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.comparison import Fitted, lone_plan
from aegis.states import Broadcasting, State, released
from aegis.store.journal import Forgetful
from aegis.tasks.models import model_sha256
from aegis.tasks.task import canonical
from aegis.transport.transport import InProcess
from aegis.wiring import federate

FOLDER = "own"
VALIDATION = 0.15


@dataclass(frozen=True)
class Own:
    """The model that this hospital trained alone. ``history`` has one entry a round: ``loss`` and
    ``accuracy`` on training rows, ``val_loss`` and ``val_accuracy`` on validation rows.
    ``by_coin`` says how rows were divided: as for the shared model's plan."""

    plan_json: str
    division: str
    preparation: str
    history: tuple[dict[str, Any], ...]
    best_round: int
    rows: dict[str, int]
    trained: str
    seconds: float
    sha256: str
    by_coin: bool = False

    @property
    def plan(self) -> Plan:
        return Plan.from_json(self.plan_json)

    @property
    def best_accuracy(self) -> float | None:
        """On validation rows, in the round that was kept."""
        best = (one for one in self.history if one["round"] == self.best_round)
        return next((one["val_accuracy"] for one in best), None)


@dataclass(frozen=True)
class Shared:
    """The shared model as it was received last, and the plan it was made by."""

    meta: Received
    plan: Plan


def shared_model(folder: HospitalFolder) -> Shared | None:
    """The latest shared model for the task of the registered data, or nothing."""
    task = canonical(folder.registered.task)
    with closing(Decisions(folder.decisions)) as decisions:
        for meta in received(folder):
            text = decisions.plan_of(meta.run)
            if text is None:
                continue
            plan = Plan.from_json(text)
            if plan.sha256 == meta.plan_sha256 and canonical(plan.task) == task:
                return Shared(meta, plan)
    return None


def plan_here(folder: HospitalFolder) -> Plan:
    """By what the rows are divided: the plan of the latest shared model, else the task's own."""
    found = shared_model(folder)
    if found is not None:
        return found.plan
    registered = folder.registered
    said = {"task": registered.task, "privacy.enabled": "false", "trust": "open"}
    if registered.task == "table":
        said |= {"data.path": registered.path, "data.label": registered.label}
        said |= {"data.positive": registered.positive} if registered.positive else {}
        said |= {"data.group": registered.group} if registered.group else {}
    return load_plan(None, said).plan


def own_plan(plan: Plan) -> Plan:
    """How this hospital trains alone where ``plan`` is the shared one: the same model on the same
    division, without noise, its best round picked on validation rows."""
    data = {name: value for name, value in plan.values.items() if name.startswith("data.")}
    data["data.validation_fraction"] = plan.data.validation_fraction or VALIDATION
    base = lone_plan(plan)
    if plan.privacy.enabled:  # its steps and rounds follow from the noise, which there is none of
        said = {"task": plan.task, "privacy.enabled": "false", "trust": "open"}
        if plan.task == "table":
            said |= {"data.label": plan.data.label or "label"}
        base = lone_plan(load_plan(None, said).plan)
    solver = base.training.solver
    changes: dict[str, Any] = {
        **data,
        "seed": plan.seed,
        "privacy.enabled": False,
        "privacy.mechanism": "none",
        "evaluation.every": 1,
        "evaluation.keep": "best",
        "evaluation.metric": "log_loss",
        "evaluation.gate": None,
    }
    if solver == "sgd":
        changes["training.schedule"] = "plateau"
    if data["data.standardize"] == "site":
        changes["data.standardize"] = "federated"  # of one hospital: its own
    return base.edited(changes)


def division(folder: HospitalFolder, plan: Plan) -> str:
    """A name for the way the rows are divided: two models are compared only where it is one."""
    data, kind = plan.data, plan.federated.partition
    parts = [folder.registered.text(), plan.seed, data.test_fraction, data.rows, data.sites]
    if folder.registered.share:
        parts += [kind.by, kind.alpha, plan.federated.num_clients]
    elif plan.privacy.enabled:
        parts.append("by coin")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def train_alone(
    folder: HospitalFolder, told: Callable[[int, int], None] = lambda done, of: None
) -> Own:
    """Train, pick the best round, keep the model. Raises ``DataError`` where the rows cannot be
    used, ``RunAborted`` where nothing is learned from them."""
    shared = plan_here(folder)
    plan = own_plan(shared)
    by_coin = shared.privacy.enabled
    rows = site_here(folder, plan, by_coin)
    if not len(rows.test) or not len(rows.validation):
        raise BadInput(
            f"{len(rows.train)} rows cannot be divided in three",
            "own training needs rows to learn from, to choose by and to judge on",
            "Register more rows",
        )
    study = Study(plan, rows.schema)
    began, watch = time.monotonic(), _Watch(study, rows, told)
    road = InProcess({rows.name: Node(rows, policy=PUBLIC)})
    final = federate(study, f"alone-{rows.name}", road, watch, [watch.hear])
    progress = final.progress
    model = study.model(progress.preparation)
    found = Own(
        plan.to_json(),
        division(folder, shared),
        progress.preparation,
        tuple(watch.history[number] for number in sorted(watch.history)),
        _best(watch.history, final.round),
        {"train": len(rows.train), "validation": len(rows.validation), "test": len(rows.test)},
        datetime.now(UTC).isoformat(timespec="seconds"),
        round(time.monotonic() - began, 3),
        model_sha256(model, progress.weights),
        by_coin,
    )
    kept.keep(path_of(folder), asdict(found), released(progress))
    return found


def own_model(folder: HospitalFolder) -> Own | None:
    """What was trained last; nothing where it was trained on other data than are registered."""
    path = path_of(folder)
    if not path.exists():
        return None
    try:
        said = kept.document_of(path)
        return Own(**{**said, "history": tuple(said["history"])})
    except (DataError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a model", "Train again") from error


class _Watch(Forgetful):
    """Remembers of each round what a curve shows."""

    def __init__(self, study: Study, rows: Site, told: Callable[[int, int], None]) -> None:
        self._study, self._rows, self._told = study, rows, told
        self.history: dict[int, dict[str, Any]] = {}

    def save(self, run: str, state: State, events: Sequence[Event]) -> None:
        if not isinstance(state, Broadcasting) or state.final:
            return
        progress = state.progress
        fitted = Fitted(self._study, progress.preparation, released(progress))
        found = metrics(*score(fitted.logits(self._rows.train), self._rows.train.labels))
        said = {"round": progress.round, "loss": found["log_loss"], "accuracy": found["accuracy"]}
        self.history[progress.round] = {**said, "learning_rate": progress.learning_rate}
        self._told(progress.round, progress.rounds)

    def hear(self, event: Event) -> None:
        if isinstance(event, RoundClosed) and event.part == "validation":
            said = {"val_loss": event.metrics.get("log_loss")}
            said |= {"val_accuracy": event.metrics.get("accuracy")}
            said |= {"val_auc": event.metrics.get("auc")}
            self.history.setdefault(event.round, {"round": event.round}).update(said)


def _best(history: dict[int, dict[str, Any]], last: int) -> int:
    scored = [one for one in history.values() if one.get("val_loss") is not None]
    return min(scored, key=lambda one: float(one["val_loss"]))["round"] if scored else last


def site_here(folder: HospitalFolder, plan: Plan, by_coin: bool | None = None) -> Site:
    return site(folder.name, replace(folder.registered, engine="numpy"), plan, by_coin)


def path_of(folder: HospitalFolder) -> Path:
    return folder.root / FOLDER / f"model{kept.SUFFIX}"
