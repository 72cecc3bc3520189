"""What left this hospital, and what people here did: complete lists, paged, never a value."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.exports import as_file
from aegis.console.window.rendering import render
from aegis.errors import AegisError
from aegis.report.tables import Table

router = APIRouter(include_in_schema=False)
PAGE = 50
COLUMNS = ("time", "run", "round", "asked", "sent", "bytes", "reason")
MEANING = {
    "Enrolled": "who we are: numbers of patients, digests, our public key",
    "Tally": "sums of columns",
    "Update": "this hospital's change of the model",
    "Masked": "a masked contribution to a sum",
    "Scores": "counts of how a model scored here",
    "Counts": "a noisy count",
    "Cosigned": "our signature under the coordinator's log",
    "Settled": "the charges of a run",
    "Refusal": "a no, with its reason",
    "Advertised": "keys for one sealed sum",
    "Shared": "sealed shares of a key, for the other hospitals",
    "Confirmed": "our signature under who is in a sum",
    "Unmasked": "shares that open a sum and no single contribution",
    "Checked": "that an opened sum is the one we helped to open",
}


@router.get("/log")
def log(
    request: Request,
    person: Annotated[Person, Depends(may(Right.LOG_READ))],
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    run: Annotated[str, Query(max_length=100)] = "",
    sent: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    return render(request, "hospital/log.html", **content(desk_of(request), page, run, sent))


@router.get("/log.{kind}")
def export(
    kind: str, request: Request, person: Annotated[Person, Depends(may(Right.LOG_READ))]
) -> Response:
    from aegis.console.reading import NotFound

    if kind not in ("csv", "json"):
        raise NotFound("the log is exported as csv or json")
    desk = desk_of(request)
    rows = [[line.get(name) for name in COLUMNS] for line in everything(desk.folder.sent)]
    return as_file(kind, f"{desk.name}-sent", COLUMNS, rows)


def content(desk: HospitalDesk, page: int, run: str, sent: str) -> dict[str, Any]:
    lines = everything(desk.folder.sent)
    kinds = Counter(str(line.get("sent")) for line in lines)
    runs = list(dict.fromkeys(str(line.get("run")) for line in reversed(lines)))[:50]
    total = sum(int(line.get("bytes") or 0) for line in lines)
    shown = [line for line in reversed(lines) if not run or line.get("run") == run]
    shown = [line for line in shown if not sent or line.get("sent") == sent]
    pages = max(1, -(-len(shown) // PAGE))
    page = min(page, pages)
    part = shown[(page - 1) * PAGE : page * PAGE]
    try:
        acts, sound = desk.acts.check(desk.folder.keys.public(desk.name).signing), ""
    except AegisError as error:
        acts, sound = 0, str(error)
    return {
        "count": len(lines),
        "bytes": total,
        "kinds": [(kind, number, MEANING.get(kind, "")) for kind, number in kinds.most_common()],
        "runs": runs,
        "run": run,
        "sent": sent,
        "page": page,
        "pages": pages,
        "found": len(shown),
        "table": _table(part),
        "acts": desk.acts.all(50),
        "act_count": acts,
        "act_fault": sound,
    }


def everything(path: Path) -> list[dict[str, Any]]:
    """All lines, in order; one that a crash cut short is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            found.append(said)
    return found


def _table(lines: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            str(line.get("time", ""))[:19].replace("T", " "),
            str(line.get("run", "")),
            str(line.get("round", "")),
            str(line.get("asked", "")),
            str(line.get("sent", "")),
            f"{line['bytes']:,}" if "bytes" in line else "not recorded",
            str(line.get("reason", "")),
        )
        for line in lines
    )
    columns = (
        ("Time (UTC)", False),
        ("Run", False),
        ("Round", True),
        ("Asked for", False),
        ("What left", False),
        ("Bytes", True),
        ("Reason", False),
    )
    return Table("Everything that left this hospital, the latest first", columns, rows)
