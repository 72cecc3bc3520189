"""What hospitals and command lines ask of a coordinator.

GET  /health              anybody: whether it is alive, and its clock
GET  /api/federation      anybody: the federation's public keys
POST /api/enrol           a hospital with a join code
POST /api/query           a charged question to all hospitals
GET  /api/results/RUN     a run's result, 404 until there is one
"""

from __future__ import annotations

import json
import re
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from aegis.console.coordinator.api.admissible import admissible
from aegis.console.coordinator.api.plan_said import plan_said
from aegis.console.coordinator.api.withholding import as_seen
from aegis.console.coordinator.desk import Desk, Sight, desk_of
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.errors import BadInput, RunAborted
from aegis.identity.enrolment import LARGEST_REQUEST
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.report.answers import DELTA, EPSILON
from aegis.tasks.question import Question
from aegis.version import __version__

router = APIRouter(tags=["Federation"])
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class Asked(BaseModel):
    """A question to all hospitals; ``plan`` names the task, ``epsilon`` the price at each."""

    model_config = ConfigDict(extra="forbid")

    plan: dict[str, Any] | str
    kind: Literal["count", "histogram", "crosstab"]
    columns: list[str] = Field([], max_length=10)
    bins: int | None = Field(None, ge=1, le=1000)
    where: str = Field("", max_length=2000)
    epsilon: float = Field(EPSILON, allow_inf_nan=False)
    delta: float = Field(DELTA, allow_inf_nan=False)


def running(desk: Desk) -> Coordinator:
    """The coordinator. Raises ``RunAborted`` where only finished runs are shown."""
    if desk.coordinator is None:
        raise RunAborted(
            "no coordinator runs in this process", way_out="Start one: aegis coordinator"
        )
    return desk.coordinator


@router.get("/health", summary="Whether the coordinator is alive, and its clock")
def health() -> dict[str, Any]:
    return {"status": "ok", "aegis": __version__, "time": time.time()}


@router.get("/api/federation", summary="The federation's public keys")
def federation(request: Request) -> dict[str, str]:
    coordinator = running(desk_of(request))
    registrar = coordinator.office.registrar
    return {
        "name": registrar.membership.federation,
        "authority": registrar.authority.hex,
        "root": coordinator.office.root.hex(),
        "road": coordinator.road,
    }


_ANY = {"application/json": {"schema": {"type": "object"}}}


@router.post(
    "/api/enrol",
    summary="A hospital with a join code",
    openapi_extra={"requestBody": {"content": _ANY}},
)
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


@router.post("/api/query", summary="A charged question to all hospitals")
def query(
    asked: Asked, request: Request, person: Annotated[Person, Depends(may(Right.ASK))]
) -> dict[str, Any]:
    admissible(asked.model_dump())
    wanted = Question(asked.kind, tuple(asked.columns), asked.bins, asked.where)
    coordinator = running(desk_of(request))
    return coordinator.ask(plan_said(asked.plan), wanted, asked.epsilon, asked.delta)


@router.get("/api/results/{run}", summary="A run's result, as it was written")
def result(
    run: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    desk, sight = desk_of(request), Sight.of(person)
    if NAME.fullmatch(run) is None:
        raise NotFound(f"{run!r:.60} is no name of a run")
    path = desk.home.results(run) / "result.json"
    if path.exists():
        data = path.read_bytes()
        if sight.only is None:
            return Response(data, media_type="application/json")
        return JSONResponse(as_seen(json.loads(data), sight))
    failed = desk.coordinator.failure(run) if desk.coordinator is not None else None
    if failed is not None:
        return JSONResponse({"error": RunAborted(failed).as_json()}, 409)
    raise NotFound(f"the run {run} has no result yet")
