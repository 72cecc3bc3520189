"""The first page: is the run healthy, and is it worth going on?"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aegis.console.coordinator.desk import Desk, Sight, current, desk_of, picked
from aegis.console.coordinator.live import Parts, live
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.rendering import fragment, render
from aegis.report import verdict
from aegis.report.drawings import curves, gain_rows, round_cells

router = APIRouter()
PARTS = ("status", "figures", "learning", "rounds")


@router.get("/", include_in_schema=False)
def overview(
    request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    desk, run = desk_of(request), picked(request)
    found = content(desk, Sight.of(person), run)
    pinned = f"?run={run}" if request.query_params.get("run") else ""
    return render(request, "coordinator/overview.html", live=f"/live/overview{pinned}", **found)


@live("overview")
def parts(desk: Desk, sight: Sight, run: str | None) -> Parts:
    found = content(desk, sight, run or current(desk))
    return {name: fragment(f"partials/{name}.html", **found) for name in PARTS}


def content(desk: Desk, sight: Sight, run: str | None) -> dict[str, Any]:
    """What the page and its stream show of ``run``."""
    state = desk.state()
    if run is None:
        return {"run": None, "state": state, "line": None, "document": None}
    document = desk.reading.document(run)
    return {
        "run": run,
        "state": state,
        "line": desk.reading.line(run),
        "document": document,
        "figures": verdict.figures(document),
        "curves": curves(document),
        "gains": gain_rows(document),
        "cells": round_cells(document),
    }
