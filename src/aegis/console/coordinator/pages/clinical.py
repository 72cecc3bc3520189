"""The page for people who decide and treat: one sheet, plain words, evidence for every claim."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aegis.console.coordinator.desk import Desk, Sight, desk_of, picked
from aegis.console.coordinator.of_run import of_run
from aegis.console.coordinator.pages.evidence import badges_of
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.rendering import render
from aegis.report.clinical import STATUS, clinical
from aegis.store.home import setting

router = APIRouter()


@router.get("/clinical", include_in_schema=False)
def page(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    found = content(desk_of(request), Sight.of(person), picked(request))
    address = str(request.url.replace(query="", fragment=""))
    return render(request, "coordinator/clinical.html", address=address, **found)


def content(desk: Desk, sight: Sight, run: str | None) -> dict[str, Any]:
    found = of_run(desk, sight, run)
    if found is None:
        return {"of": None, "sheet": None, "badges": (), "approval": STATUS, "contact": ""}
    return {
        "of": found,
        "sheet": clinical(found.document, sight.sees),
        "badges": badges_of(desk, sight, found.run),
        "approval": STATUS,
        "contact": setting("AEGIS_CONTACT"),
    }
