"""The audit log: what happened, and is the log intact?"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.coordinator.desk import Desk, Sight, current, desk_of
from aegis.console.coordinator.records import (
    happened,
    log_checks,
    log_proofs,
    log_standing,
    logbook,
)
from aegis.console.coordinator.records.own_log import tell
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.events import Exported
from aegis.report.tables import Table
from aegis.report.wording import counted
from aegis.store.exported import exported

router = APIRouter()
MOST_PRINTED = 20_000
Reader = Annotated[Person, Depends(may(Right.AUDIT_READ))]


@router.get("/audit", include_in_schema=False)
def audit(request: Request, person: Reader) -> Response:
    found = content(desk_of(request), Sight.of(person), dict(request.query_params))
    return render(request, "coordinator/audit.html", **found)


@router.get("/audit/print", include_in_schema=False)
def printed(request: Request, person: Reader) -> Response:
    """All entries that the filters let through, oldest first, for paper."""
    asked = {**request.query_params, "page": "1"}
    found = content(desk_of(request), Sight.of(person), asked, MOST_PRINTED)
    found["rows"] = list(reversed(found["rows"]))
    return render(request, "coordinator/audit_print.html", **found)


@router.post("/audit/verify", include_in_schema=False)
def verify_now(request: Request, person: Reader, run: Annotated[str, Form()] = "") -> Response:
    desk = desk_of(request)
    log = picked_log(desk, run)
    if log in (None, logbook.ALL):
        raise BadInput("no log was named", "one log is verified at a time", "Choose a run first")
    log_checks.check(desk, str(log), person.name)
    return RedirectResponse(f"/audit?{urlencode({'run': str(log)})}#checked", 303)


@router.post("/audit/export", include_in_schema=False)
def export(request: Request, person: Reader, run: Annotated[str, Form()] = "") -> Response:
    """All evidence that the coordinator holds of a run, as one file; put on record first."""
    desk = desk_of(request)
    if Sight.of(person).only is not None:
        raise CheckFailed(
            "the file holds figures of all hospitals",
            "whoever belongs to one hospital sees that one’s only",
        )
    log = picked_log(desk, run)
    if log in (None, logbook.ALL):
        raise BadInput("no log was named", "one log is exported at a time", "Choose a run first")
    data = exported(log_checks.evidence_of(desk, str(log)))
    digest = hashlib.sha256(data).hexdigest()
    tell(desk.home, Exported(logbook.run_of(str(log)), f"audit evidence by {person.name}", digest))
    name = f"aegis-audit-{log}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Sha256": digest}
    return Response(data, media_type="application/json", headers=headers)


@router.get("/audit/{log}/{number}", include_in_schema=False)
def entry(log: str, number: int, request: Request, person: Reader) -> Response:
    desk = desk_of(request)
    if picked_log(desk, log) != log or log == logbook.ALL:
        raise NotFound(f"no log is called {log!r:.80}", way_out="See /audit for all logs")
    found = log_proofs.proven(desk, Sight.of(person), log, number)
    return render(
        request,
        "coordinator/audit_entry.html",
        found=found,
        proves=happened.proves(found.fields),
        proves_not=happened.proves_not(found.fields),
        witnesses=witness_table(found.witnesses),
        command=command(log),
    )


def picked_log(desk: Desk, asked: str) -> str | None:
    """The log that is asked for; without a name the present run's. Raises ``NotFound``."""
    names = [logbook.log_name(run) for run in logbook.logs(desk)]
    if asked in ("", "latest"):
        run = current(desk)
        return run if run in names else next(iter(names), None)
    if asked != logbook.ALL and asked not in names:
        raise NotFound(f"no log is called {asked!r:.80}", way_out="See /audit?run=all for all logs")
    return asked


def content(
    desk: Desk, sight: Sight, asked: dict[str, str], size: int = logbook.PAGE
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "log": None,
        "logs": [],
        "broken": "",
        "kinds": sorted(happened.KINDS.items(), key=lambda pair: pair[1]),
        "asked": {key: asked.get(key, "") for key in ("kind", "hospital", "text")},
    }
    try:
        log = picked_log(desk, asked.get("run") or asked.get("log", ""))
        found["logs"] = [logbook.log_name(run) for run in logbook.logs(desk)]
        if log is None:
            return found
        return found | _of_log(desk, sight, log, found["asked"], asked.get("page", "1"), size)
    except NotFound:
        raise
    except AegisError as error:  # a log that cannot be read is what this page is for
        return found | {"log": None, "broken": str(error)}


def _of_log(
    desk: Desk, sight: Sight, log: str, asked: dict[str, str], page: str, size: int
) -> dict[str, Any]:
    number = int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 7 else 1
    standings = [
        log_standing.standing(desk, one)
        for one in ([logbook.log_name(run) for run in logbook.logs(desk)][:100])
        if log in (logbook.ALL, one)
    ]
    total, rows = logbook.rows(desk, sight, log, **asked, page=max(1, number), size=size)
    entries = sum(one.size for one in standings)
    kept = {"run": log} | {key: value for key, value in asked.items() if value}
    pages = max(1, -(-total // size))
    return {
        "log": log,
        "standing": standings[0] if len(standings) == 1 else None,
        "standings": standings,
        "said": said(standings, log),
        "looked": log_checks.checked(desk, log),
        "rows": rows,
        "total": total,
        "entries": entries,
        "page": number,
        "pages": pages,
        "query": urlencode(kept),
        "hospitals": sorted(
            {name for one in standings for name in one.hospitals if sight.sees(name)}
        ),
        "witnesses": witness_table(standings[0].witnesses) if len(standings) == 1 else None,
        "command": command(log),
        "export_command": f"aegis audit export {log} --out audit.json",
        "whole": sight.only is None,
    }


def said(standings: list[log_standing.Standing], log: str) -> dict[str, str]:
    """The headline: how many entries, whether complete, and checked by whom."""
    size = sum(one.size for one in standings)
    broken = [one for one in standings if one.bad or (one.checkpoints and not one.signed)]
    many = f"{size:,} entries" if size != 1 else "1 entry"
    if broken:
        first = broken[0]
        why = first.bad or "the last checkpoint does not carry the coordinator’s signature"
        where = f" of {first.log}" if log == logbook.ALL else ""
        return {
            "kind": "bad",
            "word": "Does not hold",
            "head": f"This log{where} does not hold. First bad: {why}.",
            "below": "It must not be relied on. Keep the files as they are, and restore a "
            "backup into another folder to compare: aegis backup restore.",
        }
    if log == logbook.ALL:
        return {
            "kind": "ok",
            "word": "Complete",
            "head": f"{many} in {counted(len(standings), 'log')}, all of them in their places",
            "below": "Every entry is in its place and under the root that its checkpoint signs.",
        }
    one = standings[0]
    late = one.size - one.covered
    asked = len(one.witnesses)
    by = ""
    if asked:
        when = "" if one.seconds is None else f" {_clock(one.seconds)}"
        by = f"; checked by {one.cosigned} of {asked} witnesses{when}"
    if late:
        return {
            "kind": "info",
            "word": "Growing" if not one.closed else "Not signed",
            "head": f"{many}, the last {late:,} not signed yet{by}",
            "below": "The next checkpoint covers them.",
        }
    whole = "complete" if one.closed or not one.run else "so far without a gap"
    return {
        "kind": "ok",
        "word": "Complete" if one.closed else "Without a gap",
        "head": f"{many}, {whole}{by}",
        "below": (
            "The coordinator’s own log says how long this one was at its end: nothing can be cut "
            "off it."
            if one.closed
            else (
                "What belongs to no run: promotions, exports, keys, and how each run’s log ended. "
                "The coordinator alone signs it."
                if not one.run
                else "The run has not ended, or its log is not closed yet."
            )
        ),
    }


def _clock(seconds: float) -> str:
    from aegis.console.window.formats import utc

    return utc(float(seconds))


def witness_table(witnesses: tuple[log_standing.Witness, ...]) -> Table | None:
    if not witnesses:
        return None
    return Table(
        "Who cosigned the last checkpoint",
        (("Hospital", False), ("Cosigned", False), ("Key", False)),
        tuple(
            (
                one.name,
                _clock(one.seconds) if one.seconds else f"No: {one.word}",
                one.fingerprint,
            )
            for one in witnesses
        ),
        "A witness signs only what continues the log it has seen before.",
    )


def command(log: str) -> str:
    """What an auditor types who does not trust this page."""
    return (
        "aegis audit verify"
        if log in (logbook.ALL, logbook.OWN_NAME)
        else f"aegis audit verify {log}"
    )
