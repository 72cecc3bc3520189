"""Results: the own model, the shared model here, predictions, and what joining gains."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.hospital.live import Parts, live
from aegis.console.hospital.pages.curves import history_curves, history_table
from aegis.console.hospital.pages.results_shown import (
    Results,
    confusion,
    gain_plot,
    gained,
    results,
    score_table,
)
from aegis.console.hospital.pages.typed import Misfit, outside, pasted, typed_rows
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.exports import as_file
from aegis.console.window.rendering import fragment, render
from aegis.errors import AegisError, BadInput, RunAborted
from aegis.operations.hospital.alone import own_model
from aegis.operations.hospital.judging import chances, fitted_own, fitted_shared
from aegis.report.gains import gains
from aegis.report.tables import Table
from aegis.report.wording import points
from aegis.tasks.task import Schema, find_task

router = APIRouter(include_in_schema=False)
PAGE = 25
TABS = (
    ("/results", "Train alone"),
    ("/results/own", "Own results"),
    ("/results/shared", "Shared model"),
    ("/results/predict", "Predict"),
    ("/results/gain", "My gain"),
)


@router.get("/results")
def alone(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _alone(request, desk_of(request), person)


@router.post("/results/train")
def train(request: Request, person: Annotated[Person, Depends(may(Right.TRAIN_ALONE))]) -> Response:
    desk = desk_of(request)
    try:
        desk.train()
    except RunAborted as error:
        return _alone(request, desk, person, 409, [("train", str(error))])
    return RedirectResponse("/results", 303)


@live("results")
def parts(desk: HospitalDesk, rights: frozenset[Right]) -> Parts:
    found = _training(desk)
    return {"training_status": fragment("partials/training_status.html", **found)}


@router.get("/results/own")
def own(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    desk = desk_of(request)
    found = results(desk)
    judged = found.own_judged
    return render(
        request,
        "hospital/results_own.html",
        tabs=TABS,
        found=found,
        scores=score_table(_only_own(found)) if judged is not None else None,
        confusion=None if judged is None else confusion(desk, judged, "Own model"),
        curves=() if found.own is None else history_curves(found.own.history, found.own.best_round),
        table=None if found.own is None else history_table(found.own.history, found.own.best_round),
    )


@router.get("/results/shared")
def shared(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    desk = desk_of(request)
    found = results(desk)
    judged = found.shared_judged
    return render(
        request,
        "hospital/results_shared.html",
        tabs=TABS,
        found=found,
        scores=score_table(found) if judged is not None else None,
        confusion=None if judged is None else confusion(desk, judged, "Shared model"),
    )


@router.get("/results/gain")
def gain(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    desk = desk_of(request)
    found = results(desk)
    document = gained(desk, found)
    return render(
        request,
        "hospital/results_gain.html",
        tabs=TABS,
        found=found,
        gains=None if document is None else gain_plot(document),
        sentence="" if document is None else sentence(document),
        scores=score_table(found) if document is not None else None,
        noisy=found.shared is not None and found.shared.plan.privacy.enabled,
        no_comparison=found.why_own or found.why_shared or "the models know different rows",
    )


@router.get("/results/predict")
def predict(
    request: Request,
    person: Annotated[Person, Depends(may(Right.PREDICT))],
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    return _predict(request, desk_of(request), page)


@router.get("/results/predictions.{kind}")
def export(
    kind: str, request: Request, person: Annotated[Person, Depends(may(Right.PREDICT))]
) -> Response:
    from aegis.console.reading import NotFound

    if kind not in ("csv", "json"):
        raise NotFound("predictions are exported as csv or json")
    desk = desk_of(request)
    columns, rows = _rows(results(desk))
    return as_file(kind, f"{desk.name}-predictions", columns, rows)


@router.post("/results/predict")
async def typed(
    request: Request, person: Annotated[Person, Depends(may(Right.PREDICT))]
) -> Response:
    """One typed patient, or some pasted ones: looked at, answered, and forgotten."""
    try:
        form = await request.form(max_files=0, max_fields=1200, max_part_size=2**17)
    except ValueError as error:  # of the parser, which quotes what it could not read
        raise BadInput("the form cannot be read", way_out="Send it again") from error
    given = {key: str(value) for key, value in form.multi_items()}
    return await run_in_threadpool(_typed, request, desk_of(request), given)


def _alone(
    request: Request,
    desk: HospitalDesk,
    person: Person,
    status: int = 200,
    said: list[tuple[str, str]] | None = None,
) -> Response:
    return render(
        request,
        "hospital/results.html",
        status,
        live="/live/results",
        tabs=TABS,
        said=said or [],
        may_train=person.can(Right.TRAIN_ALONE),
        **_training(desk),
    )


def _training(desk: HospitalDesk) -> dict[str, Any]:
    from aegis.operations.hospital.alone import own_plan, plan_here

    plan, why = None, ""
    try:
        plan = own_plan(plan_here(desk.folder))
    except AegisError as error:
        why = error.value
    return {
        "training": desk.training,
        "own": own_model(desk.folder),
        "plan": plan,
        "why": why,
        "task": find_task(desk.folder.registered.task).title,
    }


def _only_own(found: Results) -> Results:
    return Results(found.own, None, found.own_judged, None, found.why_own, "")


def sentence(document: dict[str, Any]) -> str:
    """The gain in words: what was compared, on how many, how sure."""
    found = gains(document)[0]
    if found.difference is None:
        return "The two models cannot be compared on these patients."
    words = {
        "better": "The shared model is better here than the own one",
        "worse": "The shared model is worse here than the own one",
        "no clear difference": "There is no clear difference between the two models here",
        "not comparable": "The two models cannot be compared here",
    }
    by = points(found.difference.value, found.difference.interval)
    return f"{words[found.word]}: {by} in accuracy on {found.examples:,} test patients."


def _rows(found: Results) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Test rows with what each model says of them."""
    models = [
        (name, judged)
        for name, judged in (("own", found.own_judged), ("shared", found.shared_judged))
        if judged is not None
    ]
    if not models:
        return ("row", "actual"), []
    actual = models[0][1].actual
    models = [(name, one) for name, one in models if len(one.actual) == len(actual)]
    columns = ["row", "actual"]
    for name, _ in models:
        columns += [f"{name}_prediction", f"{name}_probability"]
    rows = []
    for at in range(len(actual)):
        row: list[Any] = [at + 1, int(actual[at])]
        for _, one in models:
            chance = one.chances[at]
            value = float(chance) if one.chances.ndim == 1 else float(np.max(chance))
            row += [int(one.said[at]), round(value, 6)]
        rows.append(tuple(row))
    return tuple(columns), rows


def _predict(
    request: Request,
    desk: HospitalDesk,
    page: int = 1,
    status: int = 200,
    said: list[tuple[str, str]] | None = None,
    given: dict[str, str] | None = None,
    answer: dict[str, Any] | None = None,
) -> Response:
    found = results(desk)
    columns, rows = _rows(found)
    pages = max(1, -(-len(rows) // PAGE))
    page = min(page, pages)
    part = rows[(page - 1) * PAGE : page * PAGE]
    titles = {
        "row": ("Test row", False),
        "actual": ("What is", True),
        "own_prediction": ("Own model says", True),
        "own_probability": ("Own probability", True),
        "shared_prediction": ("Shared model says", True),
        "shared_probability": ("Shared probability", True),
    }
    table = Table(
        f"{len(rows):,} test patients, page {page} of {pages}",
        tuple(titles[name] for name in columns),
        tuple(tuple(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) for row in part),
        "1 is the positive class. Research use only: no prediction here is for a patient's care.",
    )
    schema = _schema(desk)
    return render(
        request,
        "hospital/results_predict.html",
        status,
        tabs=TABS,
        found=found,
        table=table if rows else None,
        page=page,
        pages=pages,
        columns=schema.columns if len(schema.columns) <= 60 else (),
        typing=bool(schema.columns) and (found.own is not None or found.shared is not None),
        positive=find_task(desk.folder.registered.task).positive,
        said=said or [],
        given=given or {},
        answer=answer,
    )


def _typed(request: Request, desk: HospitalDesk, given: dict[str, str]) -> Response:
    schema = _schema(desk)
    kept = {
        key: value[:80] for key, value in given.items() if key.startswith("c") and key != "csrf"
    }
    try:
        text = given.get("pasted", "")
        if text.strip():
            rows = typed_rows(schema, pasted(schema, text), "pasted")
        else:
            cells = {
                column.name: given.get(f"c{at}", "") for at, column in enumerate(schema.columns)
            }
            if not any(value.strip() for value in cells.values()):
                raise Misfit([("c0", "Type at least one value, or paste rows")])
            rows = typed_rows(schema, [cells])
    except Misfit as error:
        return _predict(request, desk, 1, 422, error.faults, kept)
    found = results(desk)
    said: list[tuple[str, Any]] = []
    if found.own is not None:
        fitted, _, _ = fitted_own(desk.folder, found.own)
        said.append(("Own model", chances(fitted, rows)))
    if found.shared is not None:
        fitted, _, _ = fitted_shared(desk.folder, found.shared)
        said.append(("Shared model", chances(fitted, rows)))
    columns = (("Row", False), *((f"{name}, probability", True) for name, _ in said))
    table = Table(
        "What the models say",
        columns,
        tuple(
            (str(at + 1), *(f"{float(np.max(values[at])):.3f}" for _, values in said))
            for at in range(len(rows))
        ),
    )
    answer = {"table": table, "remarks": outside(schema, rows)}
    return _predict(request, desk, 1, 200, [], kept, answer)


def _schema(desk: HospitalDesk) -> Schema:
    from aegis.console.hospital.pages.approval import rows_of

    dataset = rows_of(desk)
    if dataset is not None and dataset.schema is not None:
        return dataset.schema
    return find_task(desk.folder.registered.task).schema
