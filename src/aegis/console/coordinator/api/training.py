"""Watching and steering a run as a dashboard does: the routes that MedFedAgent's dashboard had.

    GET  /api/data                     all a dashboard shows of the present run
    GET  /api/metrics                  its columns to draw, and a summary
    POST /api/training/start           begin: the prepared plan, with what the body changes
    POST /api/training/pause|resume    between two steps
    POST /api/training/stop            ends within the round, the model is kept
    POST /api/training/reset           forget the prepared plan and the lines of the log
    GET  /api/training/status|logs|round_history
    GET  /api/training/config          every key of the next run's plan; POST changes some

Without ``?run=`` a GET is about the present run: the one that goes on, else the latest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from aegis.console.coordinator.api.admissible import admissible
from aegis.console.coordinator.api.dashboard import data_of, metrics_of, nothing
from aegis.console.coordinator.api.plan_said import plan_said
from aegis.console.coordinator.api.withholding import as_seen, hidden_from, without
from aegis.console.coordinator.desk import Desk, Sight, desk_of
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.going_on import document_of
from aegis.console.coordinator.runs.latest import latest_of
from aegis.console.coordinator.runs.next_plan import Draft, Unsound, drafted
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.spending import spending_by_round
from aegis.errors import RunAborted
from aegis.plan.layers import defaults, flatten
from aegis.plan.sentences import unknown_key

router = APIRouter(tags=["Training"])
Reader = Annotated[Person, Depends(may(Right.READ))]
Named = Annotated[
    str | None, Query(description="A run's name; without it the present run.", max_length=200)
]

# MedFedAgent's names of what a plan calls otherwise.
SHORT: Mapping[str, str] = {
    "num_rounds": "federated.num_rounds",
    "num_clients": "federated.num_clients",
    "epsilon_budget": "privacy.epsilon_budget",
    "noise_multiplier": "privacy.noise_multiplier",
    "max_grad_norm": "privacy.max_grad_norm",
    "delta": "privacy.delta",
    "enable_dp": "privacy.enabled",
    "local_epochs": "training.local_epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.learning_rate",
}
_PRIVATE = ("privacy.epsilon_budget", "privacy.noise_multiplier")


class Start(BaseModel):
    """What this run changes of the prepared plan; ``plan`` stands in for it. Where it runs is
    decided, unless ``where`` says so, by whether hospitals have joined."""

    model_config = ConfigDict(extra="forbid")

    num_rounds: int | None = Field(None, ge=1, le=100_000, examples=[10])
    num_clients: int | None = Field(None, ge=1, le=1000, examples=[5])
    epsilon_budget: float | None = Field(None, gt=0, allow_inf_nan=False, examples=[1.0])
    noise_multiplier: float | None = Field(None, ge=0, allow_inf_nan=False)
    plan: dict[str, Any] | str | None = None
    where: Literal["hospitals", "rehearsal"] | None = None


class Reset(BaseModel):
    """``clear_results``: no run that has ended is the present one any more. Nothing is deleted."""

    model_config = ConfigDict(extra="forbid")

    clear_results: bool = False


class LiveMetrics(BaseModel):
    auc: float | None
    accuracy: float | None
    loss: float | None
    epsilon: float | None


class TrainingState(BaseModel):
    is_running: bool
    status: Literal["idle", "initializing", "running", "paused", "completed", "error", "stopped"]
    message: str
    start_time: str | None
    current_round: int
    total_rounds: int
    error: str | None
    live_metrics: LiveMetrics
    run: str | None


class Status(BaseModel):
    success: bool
    state: TrainingState


class Steered(Status):
    message: str


class LogLine(BaseModel):
    time: str
    message: str
    level: Literal["info", "warning", "error"]


class Config(BaseModel):
    """``config`` has every dotted key of the plan, and the short names; ``said`` what somebody
    prepared, the rest follows from it."""

    success: bool
    config: dict[str, Any]
    said: dict[str, Any]


class Columns(BaseModel):
    """Lists as long as ``rounds``; null where nothing was measured, ``reasons`` says why."""

    rounds: list[int]
    epsilon_total: list[float | None]
    epsilon_round: list[float | None]
    train_loss: list[float | None]
    val_loss: list[float | None]
    accuracy: list[float | None]
    auc: list[float | None]
    noise_multiplier: list[float | None]
    reasons: dict[str, str | None]


class Metrics(BaseModel):
    summary: dict[str, Any]
    chart_data: Columns
    last_updated: str | None


class Data(Metrics):
    """``round_history``, ``fairness``, ``hospitals`` and ``privacy`` as in the run's result."""

    has_data: bool
    round_history: list[dict[str, Any]]
    fairness: dict[str, Any] | None
    fairness_reason: str | None
    security: dict[str, Any] | None
    hospitals: list[dict[str, Any]]
    privacy: dict[str, Any]


class Rounds(BaseModel):
    success: bool
    run: str | None
    round_history: list[dict[str, Any]]


@router.get("/api/data", summary="Everything a dashboard shows", responses={200: {"model": Data}})
async def data(request: Request, person: Reader, run: Named = None) -> Response:
    return await _polled(request, person, run, "data")


@router.get(
    "/api/metrics", summary="A run's columns to draw, and its summary",
    responses={200: {"model": Metrics}},
)  # fmt: skip
async def metrics(request: Request, person: Reader, run: Named = None) -> Response:
    return await _polled(request, person, run, "metrics")


@router.get(
    "/api/training/round_history", summary="Every closed round", responses={200: {"model": Rounds}}
)
async def round_history(request: Request, person: Reader, run: Named = None) -> Response:
    return await _polled(request, person, run, "rounds")


@router.post(
    "/api/training/start", summary="Begin a run of the prepared plan", response_model=Steered
)
def start(
    request: Request,
    person: Annotated[Person, Depends(may(Right.START))],
    wish: Annotated[Start | None, Body()] = None,
) -> Any:
    desk, wish = desk_of(request), wish or Start()  # type: ignore[call-arg]
    try:
        plan = _wanted(desk, wish).sound()
    except Unsound as unsound:
        return invalid(unsound)
    run = steering.start(desk, plan, wish.where, person)
    return _steered(desk, f"The run {run} begins")


@router.post("/api/training/stop", summary="End the run within its round", response_model=Steered)
def stop(request: Request, person: Annotated[Person, Depends(may(Right.STEER))]) -> Any:
    desk = desk_of(request)
    steering.stop(desk, _going(desk, "stop"))
    return _steered(desk, "The run ends within this round; its model is kept")


@router.post("/api/training/pause", summary="Have the run wait", response_model=Steered)
def pause(request: Request, person: Annotated[Person, Depends(may(Right.STEER))]) -> Any:
    desk = desk_of(request)
    steering.pause(desk, _going(desk, "pause"))
    return _steered(desk, "The run waits before its next step")


@router.post("/api/training/resume", summary="Go on with the run", response_model=Steered)
def resume(request: Request, person: Annotated[Person, Depends(may(Right.STEER))]) -> Any:
    desk = desk_of(request)
    run = steering.present_run(desk)
    if run is None:
        raise RunAborted("there is no run to resume", way_out="Start one")
    steering.resume(desk, run)
    return _steered(desk, "The run goes on")


@router.post(
    "/api/training/reset", summary="Forget the prepared plan and the log's lines",
    response_model=Steered,
)  # fmt: skip
def reset(
    request: Request,
    person: Annotated[Person, Depends(may(Right.STEER))],
    wish: Annotated[Reset | None, Body()] = None,
) -> Any:
    desk = desk_of(request)
    steering.reset(desk, bool(wish and wish.clear_results))
    return _steered(desk, "The console begins anew; runs, models and the audit log are kept")


@router.get("/api/training/status", summary="Where training stands", response_model=Status)
def status(request: Request, person: Reader) -> Any:
    desk, sight = desk_of(request), Sight.of(person)
    state = steering.training_status(desk)
    return {"success": True, "state": without(state, hidden_from(desk, state["run"], sight))}


@router.get(
    "/api/training/logs", summary="The last 50 lines of the run's log",
    response_model=list[LogLine],
)  # fmt: skip
def logs(request: Request, person: Annotated[Person, Depends(may(Right.LOG_READ))]) -> Any:
    desk, sight = desk_of(request), Sight.of(person)
    lines = steering.log_lines(desk)
    return without(lines, hidden_from(desk, steering.present_run(desk), sight))


@router.get("/api/training/config", summary="The plan of the next run", response_model=Config)
def config(request: Request, person: Reader) -> Any:
    return _config(desk_of(request))


@router.post(
    "/api/training/config", summary="Change keys of the next run's plan", response_model=Config
)
def configure(
    request: Request,
    person: Annotated[Person, Depends(may(Right.CONFIGURE))],
    values: Annotated[
        dict[str, Any], Body(examples=[{"num_rounds": 5, "federated": {"num_clients": 4}}])
    ],
) -> Any:
    desk = desk_of(request)
    said = _dotted(admissible(values))
    unknown = {key: unknown_key(key) for key in said if key not in defaults()}
    if unknown:
        return invalid(Unsound(tuple(unknown.items())))
    try:
        steering.configure(desk, said, person)
    except Unsound as unsound:
        return invalid(unsound)
    return _config(desk)


def invalid(unsound: Unsound) -> Response:
    """422, with each fault beside its key."""
    fields = [{"field": key, "reason": sentence} for key, sentence in unsound.found]
    return JSONResponse({"error": {**unsound.as_json(), "fields": fields}}, 422)


async def _polled(request: Request, person: Person, run: str | None, what: str) -> Response:
    desk, sight = desk_of(request), Sight.of(person)

    def made(name: str | None) -> Any:
        return _shown(desk, sight, name, what)

    if run is not None:
        known = await run_in_threadpool(desk.reading.names)
        if run not in known:
            raise NotFound(f"no run is called {run!r:.80}")
        return JSONResponse(await run_in_threadpool(made, run))
    latest, key = latest_of(desk), (what, sight)
    found = latest.at_once(key)
    if found is None:
        found = await run_in_threadpool(latest.answer, key, made)
    elif latest.due(key):
        renewing = BackgroundTask(latest.answer, key, made)  # after this answer has gone out
        return Response(found, media_type="application/json", background=renewing)
    return Response(found, media_type="application/json")


def _shown(desk: Desk, sight: Sight, run: str | None, what: str) -> dict[str, Any]:
    if run is None:
        if what == "rounds":
            return {"success": True, "run": None, "round_history": []}
        empty = nothing()
        kept = ("summary", "chart_data", "last_updated")
        return empty if what == "data" else {key: empty[key] for key in kept}
    document = as_seen(document_of(desk, run), sight)
    if what == "rounds":
        return {"success": True, "run": run, "round_history": document["history"]}
    plan, updated = desk.reading.plan(run), desk.reading.updated(run)
    spent = spending_by_round(desk.home.results(run), run, plan, sight.sees)
    return (data_of if what == "data" else metrics_of)(document, plan, updated, spent)


def _wanted(desk: Desk, wish: Start) -> Draft:
    said: dict[str, Any] = dict(steering.draft(desk).said)
    if wish.plan is not None:
        said = dict(plan_said(wish.plan).values)
    changed = {
        dotted: value
        for short, dotted in SHORT.items()
        if (value := getattr(wish, short, None)) is not None
    }
    if said.get("privacy.enabled") is False and any(key in changed for key in _PRIVATE):
        changed["privacy.enabled"] = True
    return drafted({**said, **changed})


def _dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {SHORT.get(key, key): value for key, value in flatten(values)}


def _config(desk: Desk) -> dict[str, Any]:
    values = steering.config(desk)
    short = {name: values[dotted] for name, dotted in SHORT.items()}
    return {"success": True, "config": short | values, "said": dict(steering.draft(desk).said)}


def _going(desk: Desk, act: str) -> str:
    run = steering.present_run(desk)
    if run is None or (desk.reading.line(run).over and steering.going(desk) != run):
        raise RunAborted(f"there is no run to {act}", way_out="Start one")
    return run


def _steered(desk: Desk, message: str) -> dict[str, Any]:
    return {"success": True, "message": message, "state": steering.training_status(desk)}
