"""Compare runs: a list that can be searched, and two to four of them side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from aegis.console.coordinator.desk import desk_of
from aegis.console.coordinator.pages.compared import KINDS, overlaid, overlaid_table, with_interval
from aegis.console.coordinator.pages.listed import (
    COLUMNS,
    MOST,
    NOISES,
    SORTS,
    STATUSES,
    TRUSTS,
    Asked,
    chosen,
    experiment_of,
    lines_of,
    page_of,
    read_ahead,
    row,
)
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.window.exports import as_file
from aegis.console.window.rendering import render
from aegis.report.tables import Table
from aegis.report.wording import mapping
from aegis.store.experiments import Experiment, differences

router = APIRouter()
CURVES = (
    ("accuracy", "Accuracy by round"),
    ("auc", "AUC by round"),
    ("log_loss", "Log-loss by round"),
)
METRICS = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("auc", "AUC"),
    ("average_precision", "Average precision"),
    ("log_loss", "Log-loss"),
)
SAME_DATA = ("task", "seed", "data", "federated.num_clients", "federated.partition")


@router.get("/experiments", include_in_schema=False)
def page(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    asked, desk = Asked.of(request.query_params), desk_of(request)
    shown = page_of(desk, asked)
    answer = render(
        request,
        "coordinator/experiments.html",
        asked=asked,
        page=shown,
        statuses=STATUSES,
        trusts=TRUSTS,
        noises=NOISES,
        sorts=SORTS,
        most=MOST,
        fault=request.query_params.get("fault") == "ticks",
    )
    if shown.pages > 1:
        answer.background = BackgroundTask(read_ahead, desk)
    return answer


@router.get("/experiments/compare", include_in_schema=False)
def compare(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    """``runs`` is a,b,..; a form's runs=a&runs=b is sent on to that."""
    said = request.query_params.getlist("runs")
    runs = list(dict.fromkeys(name for text in said for name in text.split(",") if name))
    if not 2 <= len(runs) <= MOST:
        return RedirectResponse("/experiments?fault=ticks#faults", 303)
    if len(said) > 1:
        return RedirectResponse(f"/experiments/compare?{urlencode({'runs': ','.join(runs)})}", 303)
    desk = desk_of(request)
    known = set(desk.reading.names())
    for name in runs:
        if name not in known:
            raise NotFound(
                f"no run is called {name!r:.80}", way_out="See /experiments for all runs"
            )
    found = [experiment_of(desk, name) for name in runs]
    return render(request, "coordinator/compare.html", **beside(found))


def beside(found: Sequence[Experiment]) -> dict[str, Any]:
    """What the page shows of two to four experiments."""
    apart = differences(found)
    names = tuple(one.run for one in found)
    documents = [one.result for one in found]
    return {
        "runs": [
            (name, kind, mapping(doc))
            for name, kind, doc in zip(names, KINDS, documents, strict=False)
        ],
        "same_model": apart["same_model"],
        "noisy": any(one.noisy for one in found),
        "none_hash": None in apart["model_sha256"],
        "plan": _keys("Keys of the plan that differ", names, apart["plan"], "null"),
        "environment": _keys(
            "What they were made with, where it differs",
            names,
            apart["environment"],
            "not recorded",
        ),
        "metrics": Table(
            "The final shared model, with 95 % intervals",
            (("Metric", False), *((name, False) for name in names)),
            (
                *(
                    (label, *(with_interval(document, metric) for document in documents))
                    for metric, label in METRICS
                ),
                ("Epsilon spent", *(_epsilon(document) for document in documents)),
            ),
        ),
        "same_patients": not any(
            key == part or key.startswith(f"{part}.") for key in apart["plan"] for part in SAME_DATA
        ),
        "curves": [
            (drawn, overlaid_table(documents, metric, title))
            for metric, title in CURVES
            if (drawn := overlaid(documents, metric, title)) is not None
        ],
    }


def _epsilon(document: Any) -> str:
    privacy = mapping(mapping(document).get("privacy"))
    spent = privacy.get("epsilon")
    if spent is None:
        none = privacy.get("mechanism") == "none"
        return "no noise was added" if none else str(privacy.get("reason") or "not recorded")
    return f"{spent:.4g} (delta {privacy.get('delta'):g})"


def _keys(caption: str, names: Sequence[str], rows: dict[str, list[Any]], nothing: str) -> Table:
    return Table(
        caption,
        (("Key", False), *((name, False) for name in names)),
        tuple(
            (key, *(nothing if cell is None else json.dumps(cell) for cell in cells))
            for key, cells in rows.items()
        ),
    )


def _export(request: Request, kind: str) -> Response:
    desk = desk_of(request)
    lines = chosen(lines_of(desk).of(desk.reading.names()), Asked.of(request.query_params))
    return as_file(kind, "experiments", COLUMNS, (row(line) for line in lines))


@router.get("/experiments.csv", include_in_schema=False)
def as_csv(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _export(request, "csv")


@router.get("/experiments.json", include_in_schema=False)
def as_json(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _export(request, "json")
