"""How did it learn? The rounds as a table first, then as charts; and all that repeats the run.

A list that somebody filtered is not swapped under the reader: then the page stands still, and says
so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aegis.console.coordinator.desk import Desk, Sight, current, desk_of, picked
from aegis.console.coordinator.live import Parts, live
from aegis.console.coordinator.of_run import OfRun, of_run
from aegis.console.coordinator.pages.curves import (
    METRIC_NAMES,
    beside,
    explored,
    figures,
    metric_of,
)
from aegis.console.coordinator.pages.rounds import (
    COLUMNS,
    SHOWS,
    SORTS,
    Asked,
    cells,
    chosen,
    headings,
    paged,
    rounds_of,
)
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.spending import Spending, spending_by_round
from aegis.console.window.exports import as_file, download
from aegis.console.window.rendering import fragment, render
from aegis.errors import AegisError, CheckFailed
from aegis.plan import Plan, parse_plan
from aegis.report.provenance import glossary, origins, repeating, sureness
from aegis.report.run_tables import overall_scores
from aegis.report.tables import Table
from aegis.report.usefulness_page import UsefulnessPart, usefulness_part
from aegis.report.wording import mapping
from aegis.store.experiments import find

router = APIRouter()
# File: media type, what it is, whether it names hospitals with their figures.
FILES: Mapping[str, tuple[str, str, bool]] = {
    "result.json": ("application/json", "Everything that was measured", True),
    "history.csv": ("text/csv", "One row a round, as it was written", False),
    "plan.json": ("application/json", "The plan, every key", False),
    "report.html": ("text/html", "The report, one page that opens offline", True),
    "privacy_statement.html": ("text/html", "The privacy statement", True),
    "fairness.json": ("application/json", "Groups and gaps", True),
    "mia_privacy_audit.json": ("application/json", "The membership attack tests", True),
    "aegis_results.png": ("image/png", "Accuracy over rounds, as a picture", False),
    "local_against_federated.png": ("image/png", "Own and shared models, as a picture", True),
}


@router.get("/technical", include_in_schema=False)
def page(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    query, run = request.query_params, picked(request)
    asked, metric = Asked.of(query), metric_of(query.get("metric"))
    found = content(desk_of(request), Sight.of(person), run, asked, metric)
    still = not asked.plain or metric != "auc"
    pinned = f"?run={run}" if query.get("run") else ""
    follows = found["of"] is not None and found["of"].goes_on and not still
    return render(
        request,
        "coordinator/technical.html",
        live=f"/live/technical{pinned}" if follows else None,
        still=still,
        **found,
        **(around(desk_of(request), found["of"], Sight.of(person), metric) if found["of"] else {}),
        every_key=query.get("keys") == "all",
    )


@live("technical")
def parts(desk: Desk, sight: Sight, run: str | None) -> Parts:
    found = content(desk, sight, run or current(desk), Asked(), "auc")
    if found["of"] is None:
        return {}
    return {
        "standing": fragment("partials/technical_standing.html", **found),
        "rounds-part": fragment("partials/technical_rounds.html", **found),
        "figures-part": fragment("partials/technical_figures.html", **found),
        "beside-part": fragment("partials/technical_beside.html", **found),
    }


def content(desk: Desk, sight: Sight, run: str | None, asked: Asked, metric: str) -> dict[str, Any]:
    """What changes while a run goes on."""
    of = of_run(desk, sight, run)
    if of is None:
        return {"of": None}
    spending = _spending(desk, sight, of)
    rows = rounds_of(of.seen, spending, of.document)
    private = bool(spending.epsilon)
    shown = paged(rows, asked)
    total = f"{shown.total:,} rounds" if shown.total != 1 else "1 round"
    table = Table(
        f"Rounds {shown.first} to {shown.last} of {shown.found}, of {total} in this run",
        headings(private),
        tuple(cells(row, private) for row in shown.rows),
        _noise_note(spending),
    )
    return {
        "of": of,
        "asked": asked,
        "shown": shown,
        "table": table,
        "spending": spending,
        "charts": figures(rows, spending),
        "beside": beside(of.seen, metric),
    }


def around(desk: Desk, of: OfRun, sight: Sight, metric: str) -> dict[str, Any]:
    """What does not change: figures of the end, the plan, where it comes from, files."""
    plan = desk.reading.plan(of.run)
    drawn, explore_table = explored(of.document, metric, sight.only is None)
    keys = plan_rows(plan)
    return {
        "shows": SHOWS,
        "sorts": SORTS,
        "metrics": tuple(METRIC_NAMES.items()),
        "metric": metric,
        "explore": drawn,
        "explore_table": explore_table,
        "scores": overall_scores(of.document),
        "sure": sureness(of.document),
        "usefulness": _usefulness(of),
        "own_keys": _plan_table("Set for this run", [row for row in keys if row[2] == SET]),
        "other_keys": _plan_table("As the task or Aegis has it", [r for r in keys if r[2] != SET]),
        "origins": origins(of.seen),
        "environment": _environment(desk, of.run),
        "repeating": repeating({**of.document, "files": {"plan": "plan.json"}}),
        "glossary": glossary(of.document),
        "files": _files(desk, of.run, sight),
    }


def _usefulness(of: OfRun) -> UsefulnessPart | None:
    """Without the picture of a hundred patients, which is the clinical page's."""
    part = usefulness_part(of.seen)
    return None if part is None else replace(part, per_hundred=None)


SET = "set for this run"


def plan_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """(key, value, origin) of every key. A plan is stored with its values only: what equals the
    task's own value is said to come from there."""
    try:
        usual = parse_plan(None, {"task": plan.task})
        values, origin = usual.plan.values, usual.origins
    except AegisError:
        values, origin = {}, {}
    found = []
    for key, value in plan.values.items():
        same = key in values and values[key] == value and key != "task"
        found.append((key, json.dumps(value), origin.get(key, SET) if same else SET))
    return found


def _plan_table(caption: str, rows: list[tuple[str, str, str]]) -> Table:
    return Table(caption, (("Key", False), ("Value", False), ("Origin", False)), tuple(rows))


def _noise_note(spending: Spending) -> str:
    if not spending.epsilon:
        return f"Epsilon by round is not available: {spending.reason}."
    return (
        f"Noise and epsilon are those of {spending.where}; epsilon is the total after the round, "
        f"the statistics round included ({spending.how})."
    )


def _spending(desk: Desk, sight: Sight, of: OfRun) -> Spending:
    return spending_by_round(
        desk.home.results(of.run), of.run, desk.reading.plan(of.run), sight.sees
    )


def _environment(desk: Desk, run: str) -> list[tuple[str, str]]:
    try:
        made = mapping(find(desk.home, run).body.get("environment"))
    except AegisError as error:
        return [("Environment", f"not recorded: {error.value}")]
    found = [
        (name.capitalize(), str(made[name]))
        for name in ("python", "system", "machine", "processors")
        if made.get(name) is not None
    ]
    return found + [(name, str(version)) for name, version in mapping(made.get("packages")).items()]


def _files(desk: Desk, run: str, sight: Sight) -> list[tuple[str, str, str]]:
    """(file, what it is, its size), of those that are there and may be had."""
    folder = desk.reading.folder(run)
    found = []
    for name, (_, said, personal) in FILES.items():
        path = folder / name
        if path.is_file() and not (personal and sight.only is not None):
            found.append((name, said, f"{path.stat().st_size / 1024:,.0f} KiB"))
    return found


def _export(request: Request, person: Person, kind: str) -> Response:
    of = of_run(desk_of(request), Sight.of(person), picked(request))
    if of is None:
        raise NotFound("no run has been made here yet", way_out="Start one at /training")
    spending = _spending(desk_of(request), Sight.of(person), of)
    rows = chosen(
        rounds_of(of.seen, spending, of.document),
        Asked.of({"sort": "first", **request.query_params}),
    )
    return as_file(
        kind, f"rounds-{of.run}", COLUMNS, ([row[key] for key in COLUMNS] for row in rows)
    )


@router.get("/technical/rounds.csv", include_in_schema=False)
def rounds_csv(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _export(request, person, "csv")


@router.get("/technical/rounds.json", include_in_schema=False)
def rounds_json(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _export(request, person, "json")


@router.get("/technical/files/{name}", include_in_schema=False)
def file(
    name: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    run, known = picked(request), FILES.get(name)
    if run is None or known is None:
        raise NotFound(f"a run has no file {name!r:.40}", f"it may have: {', '.join(FILES)}")
    kind, _, personal = known
    if personal and Sight.of(person).only is not None:
        raise CheckFailed(
            f"{name} holds figures of every hospital",
            "a hospital's own people see those of their hospital only",
            "Ask the coordinator's people for what you need of it",
        )
    path = desk_of(request).reading.folder(run) / name
    if not path.is_file():
        raise NotFound(f"the run {run} has no file {name}")
    return download(path.read_bytes(), f"{run}-{name}", kind)
