"""What hospitals and command lines ask of a coordinator.

    GET  /health              anybody: whether it is alive, and its clock
    GET  /api/federation      anybody: the federation's public keys
    POST /api/enrol           a hospital with a join code
    POST /api/query           a charged question to all hospitals
    GET  /api/results/RUN     a run's result, 404 until there is one
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from aegis.console.coordinator.desk import Desk, desk_of
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.errors import BadInput, RunAborted
from aegis.identity.enrolment import LARGEST_REQUEST
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.plan import Plan, load_plan
from aegis.report.answers import DELTA, EPSILON
from aegis.tasks.question import Question
from aegis.version import __version__

router = APIRouter()


class Asked(BaseModel):
    """A question to all hospitals; ``plan`` names the task, ``epsilon`` the price at each."""

    model_config = ConfigDict(extra="forbid")

    plan: dict[str, Any] | str
    kind: Literal["count", "histogram", "crosstab"]
    columns: list[str] = []
    bins: int | None = None
    where: str = ""
    epsilon: float = EPSILON
    delta: float = DELTA


def running(desk: Desk) -> Coordinator:
    """The coordinator. Raises ``RunAborted`` where only finished runs are shown."""
    if desk.coordinator is None:
        raise RunAborted(
            "no coordinator runs in this process", way_out="Start one: aegis coordinator"
        )
    return desk.coordinator


@router.get("/health")
def health() -> dict[str, Any]:
    return {"status": "ok", "aegis": __version__, "time": time.time()}


@router.get("/api/federation")
def federation(request: Request) -> dict[str, str]:
    coordinator = running(desk_of(request))
    registrar = coordinator.office.registrar
    return {
        "name": registrar.membership.federation,
        "authority": registrar.authority.hex,
        "root": coordinator.office.root.hex(),
        "road": coordinator.road,
    }


@router.post("/api/enrol")
async def enrol(request: Request) -> Response:
    coordinator = running(desk_of(request))
    try:
        data = await request.body()
    except ClientDisconnect:  # nobody is there to be answered, and nothing to be logged
        return Response(status_code=400)
    if len(data) > LARGEST_REQUEST:
        raise BadInput(f"a request of {len(data)} bytes", f"at most {LARGEST_REQUEST}")
    source = request.client.host if request.client else ""
    welcome = await run_in_threadpool(coordinator.desk.enrol, data, source)
    return Response(welcome, media_type="application/json")


@router.post("/api/query")
def query(
    asked: Asked, request: Request, person: Annotated[Person, Depends(may(Right.ASK))]
) -> dict[str, Any]:
    wanted = Question(asked.kind, tuple(asked.columns), asked.bins, asked.where)
    coordinator = running(desk_of(request))
    return coordinator.ask(plan_said(asked.plan), wanted, asked.epsilon, asked.delta)


@router.get("/api/results/{run}")
def result(
    run: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    desk = desk_of(request)
    if "/" in run or "\\" in run or run.startswith("."):
        raise BadInput(f"{run!r:.60} is no name of a run")
    path = desk.home.results(run) / "result.json"
    if path.exists():
        return Response(path.read_bytes(), media_type="application/json")
    failed = desk.coordinator.failure(run) if desk.coordinator is not None else None
    if failed is not None:
        return JSONResponse({"error": RunAborted(failed).as_json()}, 409)
    raise NotFound(f"the run {run} has no result yet")


def plan_said(said: dict[str, Any] | str) -> Plan:
    """Only what was sent counts: this machine's environment has no say."""
    text = said if isinstance(said, str) else json.dumps(said)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return load_plan(path, {}, {}, None).plan
