"""What both models come to on this hospital's test rows; worked out once for each pair of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aegis.console.hospital.desk import HospitalDesk
from aegis.errors import AegisError
from aegis.operations.hospital.alone import Own, Shared, division, own_model, shared_model
from aegis.operations.hospital.judging import Judged, gain, judge_own, judge_shared
from aegis.report.drawings import GainPlot, gain_rows
from aegis.report.tables import Table
from aegis.report.wording import counted
from aegis.tasks.task import find_task

SCORES = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("auc", "AUC"),
    ("precision", "Precision"),
    ("recall", "Recall (sensitivity)"),
    ("f1", "F1"),
    ("average_precision", "Average precision"),
    ("log_loss", "Log-loss (lower is better)"),
)


@dataclass(frozen=True)
class Results:
    """A model or a judgement is None where there is none; ``why`` then says so."""

    own: Own | None
    shared: Shared | None
    own_judged: Judged | None
    shared_judged: Judged | None
    why_own: str = ""
    why_shared: str = ""

    @property
    def paired(self) -> bool:
        """Whether both were judged on the same rows."""
        return self.own_judged is not None and self.shared_judged is not None


def results(desk: HospitalDesk) -> Results:
    own, shared = own_model(desk.folder), shared_model(desk.folder)
    key = (
        "results",
        None if own is None else own.sha256 + own.division,
        None if shared is None else (shared.meta.run, shared.meta.time, shared.meta.round),
        desk.folder.registered.text(),
    )
    kept = desk.kept.get("results")
    if kept is not None and kept[0] == key:
        found: Results = kept[1]
        return found
    found = _judged(desk, own, shared)
    desk.kept["results"] = (key, found)
    return found


def _judged(desk: HospitalDesk, own: Own | None, shared: Shared | None) -> Results:
    ours = theirs = None
    why_own, why_shared = "", ""
    if shared is None:
        why_shared = "no shared model has reached this hospital yet"
    else:
        try:
            theirs = judge_shared(desk.folder, shared)
        except AegisError as error:
            why_shared = _said(error)
    if own is None:
        why_own = "this hospital has not trained a model of its own yet"
    else:
        try:
            plan = shared.plan if shared is not None else None
            ours = judge_own(desk.folder, own, plan)
        except AegisError as error:
            why_own = _said(error)
    return Results(own, shared, ours, theirs, why_own, why_shared)


def _said(error: AegisError) -> str:
    """Its words may not quote a row: those of ``rows`` and ``alone`` do not."""
    return f"{error.value}" + (f" ({error.need})" if error.need else "")


def score_table(found: Results) -> Table:
    """Both models beside each other, on the same rows where both were judged."""
    columns: list[tuple[str, bool]] = [("On your test patients", False)]
    models: list[Judged] = []
    if found.own_judged is not None:
        columns.append(("Own model", True))
        models.append(found.own_judged)
    if found.shared_judged is not None:
        columns.append(("Shared model", True))
        models.append(found.shared_judged)
    rows = tuple(
        (title, *(_figure(model.figures, key) for model in models))
        for key, title in SCORES
        if any(model.figures.get(key) is not None for model in models)
    )
    count = len(models[0].actual) if models else 0
    return Table(
        f"Judged on {counted(count, 'test patient')} that no model was trained on",
        tuple(columns),
        rows,
        "Intervals are 95 % intervals over these patients.",
    )


def _figure(figures: dict[str, Any], key: str) -> str:
    value = figures.get(key)
    if value is None:
        return "not defined here"
    pair = figures.get(f"{key}_ci95")
    said = f"{value:.3f}"
    return said if not pair else f"{said} ({pair[0]:.3f} to {pair[1]:.3f})"


def confusion(desk: HospitalDesk, judged: Judged, model: str) -> Table | None:
    """Who is what and was called what; two classes only."""
    if judged.chances.ndim != 1:
        return None
    positive = find_task(desk.folder.registered.task).positive
    truth, said = judged.actual == 1, judged.said == 1
    rows = (
        (f"{positive}: yes", f"{int((truth & said).sum()):,}", f"{int((truth & ~said).sum()):,}"),
        (f"{positive}: no", f"{int((~truth & said).sum()):,}", f"{int((~truth & ~said).sum()):,}"),
    )
    columns = (("What is", False), ("Called yes", True), ("Called no", True))
    return Table(f"{model}: who was called what, at probability one half", columns, rows)


def gained(desk: HospitalDesk, found: Results) -> dict[str, Any] | None:
    """The paired difference, as a result document of one hospital."""
    if found.own_judged is None or found.shared_judged is None:
        return None
    if found.own is None or found.shared is None:
        return None
    if found.own.division != division(desk.folder, found.shared.plan):
        return None
    row = gain(found.own_judged, found.shared_judged)
    return {"comparison": {"hospitals": [{"name": desk.name, **row}]}, "hospitals": []}


def gain_plot(document: dict[str, Any]) -> GainPlot | None:
    return gain_rows(document)
