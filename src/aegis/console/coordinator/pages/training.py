"""Start, pause, stop, and change what the next run does.

GET  /training                 where training stands, the plan of the next run, the log
POST /training/start           hospitals or a rehearsal
POST /training/steer           pause or go on, by the button that was pressed
GET  /training/stop, POST      asks once, then ends the run within its round
GET  /training/reset, POST     asks once, then begins anew; nothing is deleted
POST /training/check           what the form says now, while it is filled in
POST /training/plan            keep it; /training/yaml: instead a plan that is pasted
POST /training/unmask          two people agree that a plan leaves masked mode
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from aegis.console.coordinator.api.withholding import hidden_from, without
from aegis.console.coordinator.desk import Desk, Sight, desk_of
from aegis.console.coordinator.live import Parts, live
from aegis.console.coordinator.pages import plan_form
from aegis.console.coordinator.pages.overview import controls
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.next_plan import (
    Draft,
    Faults,
    Unsound,
    as_yaml,
    drafted,
    from_yaml,
)
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.window.rendering import fragment, render
from aegis.console.window.spoken import spoken
from aegis.errors import BadInput, CheckFailed, PlanError, RunAborted
from aegis.plan.layers import defaults

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form()]
LINES = 50
_STATUS = {
    "idle": ("off", "Idle"),
    "initializing": ("info", "Getting ready"),
    "running": ("info", "Running"),
    "paused": ("warn", "Paused"),
    "completed": ("ok", "Completed"),
    "stopped": ("off", "Stopped"),
    "error": ("bad", "Failed"),
}


@router.get("/training")
def training(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _page(request, person)


def _page(
    request: Request,
    person: Person,
    status: int = 200,
    draft: Draft | None = None,
    typed: dict[str, str] | None = None,
    faults: Faults = (),
    pasted: str | None = None,
    rounds: str | None = None,
    where: str | None = None,
) -> Response:
    desk = desk_of(request)
    kept = steering.draft(desk)
    shown = draft or kept
    place = where if where in ("hospitals", "rehearsal") else steering.usual_place(desk)
    stream = "training-log" if person.can(Right.LOG_READ) else "training"
    stream = "training-steer" if person.can(Right.STEER) else stream
    target = kept.plan.federated.num_rounds
    return render(
        request,
        "coordinator/training.html",
        status,
        live=f"/live/{stream}",
        steers=person.can(Right.STEER),
        starts=person.can(Right.START),
        configures=person.can(Right.CONFIGURE),
        faults=faults or plan_form.shown_faults(shown),
        groups=plan_form.groups(shown, typed),
        prepared=steering.prepared(desk),
        yaml=as_yaml(kept.said),
        pasted=pasted,
        target=("" if target is None else str(target)) if rounds is None else rounds,
        place=place,
        members=len(desk.state()["hospitals"]),
        agreements=steering.agreements(desk, kept.plan),
        **_checked(desk, shown, place),
        **_now(desk, Sight.of(person), person.can(Right.LOG_READ)),
    )


def _checked(
    desk: Desk, draft: Draft, place: str, typed: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "sound": not draft.faults,
        "wrong": plan_form.shown_faults(draft),
        "estimate": plan_form.estimate(desk, draft.plan, place),
        "changes": plan_form.following(draft, typed) if typed else (),
    }


def _now(desk: Desk, sight: Sight, log: bool) -> dict[str, Any]:
    state = steering.training_status(desk)
    run = state["run"]
    hidden = hidden_from(desk, run, sight)
    kind, word = _STATUS[state["status"]]
    lines = steering.log_lines(desk, LINES, sight) if log else []
    state = without(state, hidden)
    rounds = state["total_rounds"]
    return {
        "state": state,
        "kind": kind,
        "word": word,
        "share": min(100.0, 100 * state["current_round"] / rounds) if rounds else 0.0,
        "aloud": _aloud(desk, run),
        "controls": controls(desk, run),
        "log": tuple(reversed(without(lines, hidden))),
        "logs": log,
    }


def _aloud(desk: Desk, run: str | None) -> str:
    """The words in which hospitals read the plan of this run back; a rehearsal asks none."""
    line = desk.reading.line(run) if run else None
    return "" if line is None or line.transport == "inprocess" else spoken(line.plan_sha256)


def _parts(desk: Desk, sight: Sight, run: str | None, log: bool, steer: bool) -> Parts:
    found = _now(desk, sight, log)
    made = {"now": fragment("partials/training_now.html", **found)}
    if log:
        made["log"] = fragment("partials/training_log.html", **found)
    if steer:
        made["controls"] = fragment("partials/controls.html", **found)
        made["start-part"] = fragment("partials/start_button.html", **found)
    return made


live("training")(partial(_parts, log=False, steer=False))
live("training-log", Right.LOG_READ)(partial(_parts, log=True, steer=False))
live("training-steer", Right.STEER)(partial(_parts, log=True, steer=True))


@router.post("/training/start")
def start(
    request: Request,
    person: Annotated[Person, Depends(may(Right.START))],
    rounds: Text = "",
    where: Text = "",
    back: Text = "/training",
) -> Response:
    desk = desk_of(request)
    again = partial(_page, request, person, rounds=rounds, where=where)
    try:
        plan = _with_rounds(steering.draft(desk), rounds).sound()
        if where not in ("", "hospitals", "rehearsal"):
            raise BadInput(f"{where!r:.40} is no place to train", "hospitals or rehearsal")
        steering.start(desk, plan, where or None, person)  # type: ignore[arg-type]
    except Unsound as unsound:
        keys = {"federated.num_rounds": "rounds"}
        return again(
            422, faults=tuple((keys.get(k, plan_form.id_of(k)), s) for k, s in unsound.found)
        )
    except RunAborted as error:
        return again(409, faults=(("start-title", str(error)),))
    except CheckFailed as error:
        return again(403, faults=(("agreements", str(error)),))
    except BadInput as error:
        return again(422, faults=(("start-title", str(error)),))
    return _to(back)


def _with_rounds(draft: Draft, rounds: str) -> Draft:
    key = "federated.num_rounds"
    text = rounds.strip()
    if not text or text == plan_form.written(draft.plan.values[key]):
        return draft
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Unsound(((key, f"Target rounds must be a whole number, got {text!r:.40}"),))
    return drafted({**draft.said, key: int(text)})


@router.post("/training/steer")
def steer(
    request: Request,
    person: Annotated[Person, Depends(may(Right.STEER))],
    pause: Text = "",
    resume: Text = "",
    back: Text = "/training",
) -> Response:
    desk = desk_of(request)
    if bool(pause) == bool(resume):
        raise BadInput("nothing was asked for", "pause or resume, with the name of a run")
    try:
        if pause:
            steering.pause(desk, pause)
        else:
            steering.resume(desk, resume)
    except RunAborted as error:
        return _page(request, person, 409, faults=(("", str(error)),))
    return _to(back)


@router.get("/training/stop")
def ask_to_stop(
    request: Request, person: Annotated[Person, Depends(may(Right.STEER))], run: str = ""
) -> Response:
    desk = desk_of(request)
    name = run or steering.going(desk)
    if name is None:
        raise NotFound("no run is going on")
    line = desk.reading.line(name)
    return render(
        request,
        "coordinator/confirm.html",
        headline=f"Stop {line.task.replace('_', ' ')} after round {line.round}?",
        sentences=[
            f"The run {name} ends within its round and keeps the model it has then. Its figures, "
            "its log and what was charged to budgets stay.",
            "It cannot be gone on with afterwards. To interrupt it for a while, pause it.",
        ],
        action="/training/stop",
        hidden=(("run", name),),
        button="Stop the run",
        back="/training",
    )


@router.post("/training/stop")
def stop(
    request: Request, person: Annotated[Person, Depends(may(Right.STEER))], run: Text = ""
) -> Response:
    desk = desk_of(request)
    try:
        steering.stop(desk, run)
    except RunAborted as error:
        return _page(request, person, 409, faults=(("", str(error)),))
    return _to("/training")


@router.get("/training/reset")
def ask_to_reset(
    request: Request, person: Annotated[Person, Depends(may(Right.STEER))]
) -> Response:
    return render(
        request,
        "coordinator/confirm.html",
        headline="Begin anew?",
        sentences=[
            "The prepared plan goes back to the recommended one, and the lines of the log are "
            "cleared from this page.",
            "Nothing is deleted: runs, models, results and the audit log stay, and every list "
            "still shows them.",
        ],
        action="/training/reset",
        hidden=(),
        tick=("clear_results", "Also show no ended run as the present one"),
        button="Begin anew",
        back="/training",
    )


@router.post("/training/reset")
def reset(
    request: Request,
    person: Annotated[Person, Depends(may(Right.STEER))],
    clear_results: Text = "",
) -> Response:
    try:
        steering.reset(desk_of(request), bool(clear_results))
    except RunAborted as error:
        return _page(request, person, 409, faults=(("", str(error)),))
    return _to("/training")


@router.post("/training/check")
async def check(
    request: Request, person: Annotated[Person, Depends(may(Right.CONFIGURE))]
) -> Response:
    """The partial beside the form, for what it says now; nothing is kept."""
    typed = await _typed(request)

    def made() -> str:
        desk = desk_of(request)
        draft = plan_form.posted(steering.draft(desk), typed)
        found = _checked(desk, draft, steering.usual_place(desk), typed)
        return fragment("partials/training_check.html", **found)

    return Response(await run_in_threadpool(made), media_type="text/html")


@router.post("/training/plan")
async def keep(
    request: Request, person: Annotated[Person, Depends(may(Right.CONFIGURE))]
) -> Response:
    typed = await _typed(request)

    def made() -> Response:
        desk = desk_of(request)
        draft = plan_form.posted(steering.draft(desk), typed)
        if draft.faults:
            return _page(request, person, 422, draft=draft, typed=typed)
        steering.replace(desk, draft, person)
        return _to("/training#plan")

    return await run_in_threadpool(made)


@router.post("/training/yaml")
def paste(
    request: Request,
    person: Annotated[Person, Depends(may(Right.CONFIGURE))],
    plan: Text = "",
) -> Response:
    try:
        draft = from_yaml(plan)
    except PlanError as error:
        faults = tuple(("plan-yaml", sentence) for sentence in error.faults)
        return _page(request, person, 422, faults=faults, pasted=plan)
    if draft.faults:
        faults = tuple(("plan-yaml", sentence) for _, sentence in draft.faults)
        return _page(request, person, 422, faults=faults, pasted=plan)
    steering.replace(desk_of(request), draft, person)
    return _to("/training#plan")


@router.post("/training/default")
def usual(request: Request, person: Annotated[Person, Depends(may(Right.CONFIGURE))]) -> Response:
    """Back to the recommended values."""
    steering.replace(desk_of(request), drafted({}), person)
    return _to("/training#plan")


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form(max_fields=400, max_files=0)
    return {
        key: value for key, value in form.items() if key in defaults() and isinstance(value, str)
    }


def _to(back: str) -> Response:
    inside = back.startswith("/") and not back.startswith(("//", "/\\"))
    return RedirectResponse(back if inside else "/training", 303)
