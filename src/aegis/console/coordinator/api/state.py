"""Where the federation stands, what it may be told, its models, and its figures for Prometheus.

GET  /api/state      one document, read by scripts and by ``aegis run --coordinator``
POST /api/control    start, stop, pause, resume
GET  /api/models     every model version with the figures of its card
GET  /metrics        for a Prometheus scraper
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from aegis.console.coordinator.api.exposition import CONTENT_TYPE, exposition
from aegis.console.coordinator.api.plan_said import plan_said
from aegis.console.coordinator.api.training import invalid
from aegis.console.coordinator.desk import Desk, Sight, desk_of
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.next_plan import Unsound, drafted
from aegis.console.coordinator.runs.standing import models_of, standing_of
from aegis.console.people.rights import NotAllowed, Person, Right, may
from aegis.errors import BadInput

router = APIRouter(tags=["State"])


class Control(BaseModel):
    """``action`` with ``plan`` (a plan file's text, or the same as JSON), or ``command`` with
    ``max_rounds`` and ``task``, which change the prepared plan. Only a start has a plan."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["start", "pause", "resume", "stop"] | None = None
    plan: dict[str, Any] | str | None = None
    command: Literal["start", "pause", "resume", "stop"] | None = None
    max_rounds: int | None = Field(None, ge=1, le=100_000)
    task: str | None = Field(None, max_length=100)


class Told(BaseModel):
    run: str
    status: str


class Stands(BaseModel):
    """The first names are the coordinator's own, the later ones those that dashboards know."""

    model_config = ConfigDict(extra="allow")

    state: str
    run: str | None
    round: int
    rounds: int | None
    hospitals: list[dict[str, Any]]
    error: str | None
    status: str
    current_round: int
    max_rounds: int | None
    total_agents: int
    connected_agents: int
    rounds_history: list[dict[str, Any]]
    agent_metrics: dict[str, dict[str, Any]]
    global_model: dict[str, Any] | None
    privacy_state: dict[str, dict[str, Any]]
    model_versions: list[dict[str, Any]]


class Models(BaseModel):
    models: list[dict[str, Any]]


@router.get("/api/state", summary="Where the federation stands", responses={200: {"model": Stands}})
def state(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Any:
    return standing_of(desk_of(request), Sight.of(person))


@router.post("/api/control", summary="Start, stop, pause or resume", response_model=Told)
def control(
    wish: Control, request: Request, person: Annotated[Person, Depends(may(Right.STEER))]
) -> Any:
    if (wish.action is None) == (wish.command is None):
        raise BadInput("neither or both of 'action' and 'command'", "one of them")
    if (wish.action or wish.command) == "start":
        if not person.can(Right.START):
            raise NotAllowed(person, Right.START)
        return _start(desk_of(request), wish, person)
    return _tell(desk_of(request), str(wish.action or wish.command))


@router.get("/api/models", summary="Every model version", responses={200: {"model": Models}})
def models(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Any:
    return {"models": models_of(desk_of(request))}


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, person: Annotated[Person, Depends(may(Right.METRICS))]) -> Response:
    text = exposition(standing_of(desk_of(request), Sight.of(person)))
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


def _start(desk: Desk, wish: Control, person: Person) -> Any:
    if wish.command is not None:
        changed = {"task": wish.task, "federated.num_rounds": wish.max_rounds}
        said = {key: value for key, value in changed.items() if value is not None}
        try:
            plan = drafted({**steering.draft(desk).said, **said}).sound()
        except Unsound as unsound:
            return invalid(unsound)
        return {"run": steering.start(desk, plan, None, person), "status": "started"}
    if not wish.plan:
        raise BadInput("a start needs a plan", "the text of a plan file, as 'plan'")
    plan = plan_said(wish.plan)
    return {"run": steering.start(desk, plan, "hospitals", person), "status": "started"}


def _tell(desk: Desk, word: str) -> dict[str, Any]:
    run = steering.present_run(desk)
    if run is None:
        raise BadInput(f"there is no run to {word}", way_out="Start one")
    match word:
        case "pause":
            steering.pause(desk, run)
        case "resume":
            steering.resume(desk, run)
        case _:
            steering.stop(desk, run)
    return {"run": run, "status": word}
