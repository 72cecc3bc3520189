"""Both models on this hospital's own test rows, which neither was trained on.

The own model and the shared one are judged apart and compared row by row, only where both know the
same division of the rows; whichever was trained on another one is not judged at all.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.benefit import benefit
from aegis.coordinator.steps import Study
from aegis.errors import AegisError, BadInput
from aegis.evaluation.classes import called, is_tableau
from aegis.evaluation.histogram import score
from aegis.evaluation.intervals import interval
from aegis.evaluation.metrics import metrics
from aegis.hospital.node import Node
from aegis.hospital.site import Site
from aegis.operations.hospital import kept
from aegis.operations.hospital.alone import (
    Own,
    Shared,
    division,
    path_of,
    plan_here,
    site_here,
)
from aegis.operations.hospital.folder import HospitalFolder
from aegis.operations.hospital.received import weights_of
from aegis.plan import Plan
from aegis.simulation.comparison import Fitted
from aegis.tasks.models import model_sha256
from aegis.tasks.task import Rows

INTERVALS = ("accuracy", "auc")


@dataclass(frozen=True)
class Judged:
    """One model on this hospital's test rows. ``figures`` are its metrics with 95 % intervals for
    accuracy and AUC; ``chances`` (n,) of the positive class, or (n, classes)."""

    sha256: str
    figures: dict[str, Any]
    chances: NDArray[np.float64]
    said: NDArray[np.int64]
    actual: NDArray[np.int64]


def judge_own(folder: HospitalFolder, own: Own, plan: Plan | None = None) -> Judged:
    """The own model on the test rows. Raises ``BadInput`` where it may have been trained on some of
    them."""
    wanted = plan or own.plan
    if own.division != division(folder, plan or plan_here(folder)):
        raise BadInput(
            "the own model was trained on another division of the rows",
            "rows that are judged must be new to the model",
            "Train alone again",
        )
    study = Study(own.plan, (rows := site_here(folder, wanted, own.by_coin)).schema)
    weights = kept.weights_of(path_of(folder))
    return _judged(Fitted(study, own.preparation, weights), rows.test, own.sha256)


def judge_shared(folder: HospitalFolder, shared: Shared) -> Judged:
    fitted, rows, digest = fitted_shared(folder, shared)
    return _judged(fitted, rows.test, digest)


def gain(own: Judged, shared: Judged) -> dict[str, Any]:
    """Shared minus own in accuracy on the same test rows, with its paired interval."""
    right = {"alone": own.said == own.actual, "federated": shared.said == shared.actual}
    return benefit(right)


def fitted_shared(folder: HospitalFolder, shared: Shared) -> tuple[Fitted, Site, str]:
    """The shared model as this hospital would use it, its rows, and the model's digest."""
    rows = site_here(folder, shared.plan)
    study = Study(shared.plan, rows.schema)
    weights = weights_of(folder, shared.meta)
    digest = model_sha256(study.model(shared.meta.preparation), weights)
    preparation = shared.meta.preparation
    if shared.plan.data.standardize == "site" and rows.schema.image is None:
        preparation = Node(rows).localised(preparation)
    return Fitted(study, preparation, weights), rows, digest


def fitted_own(folder: HospitalFolder, own: Own) -> tuple[Fitted, Site, str]:
    rows = site_here(folder, own.plan, own.by_coin)
    weights = kept.weights_of(path_of(folder))
    return Fitted(Study(own.plan, rows.schema), own.preparation, weights), rows, own.sha256


def chances(fitted: Fitted, rows: Rows) -> NDArray[np.float64]:
    """(n,) probabilities of the positive class, or (n, classes)."""
    logits = np.asarray(fitted.logits(rows), dtype=np.float64)
    if logits.ndim == 1:
        return np.asarray(0.5 + 0.5 * np.tanh(logits / 2))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _judged(fitted: Fitted, rows: Rows, sha256: str) -> Judged:
    if not len(rows):
        raise BadInput("no row is held out for a test", way_out="Register more rows")
    logits = fitted.logits(rows)
    histogram, loss = score(logits, rows.labels)
    figures: dict[str, Any] = dict(metrics(histogram, loss))
    for name in INTERVALS:
        if figures.get(name) is not None and not (is_tableau(histogram) and name == "auc"):
            with suppress(AegisError):
                found = interval([histogram], name)
                figures[f"{name}_ci95"] = None if found is None else list(found)
    said = np.asarray(called(logits), dtype=np.int64)
    return Judged(sha256, figures, chances(fitted, rows), said, rows.labels)
