"""The first page: is the run healthy, and is it worth going on?

/live/overview          what everybody may see
/live/overview-audit    with the latest entries of the audit log
/live/overview-steer    and with the buttons that pause and go on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aegis.console.coordinator.desk import Desk, Sight, current, desk_of, picked
from aegis.console.coordinator.live import Parts, live
from aegis.console.coordinator.pages.evidence import badges_of
from aegis.console.coordinator.pages.hospitals_now import (
    UNCOVERED,
    Course,
    Hospitals,
    course_of,
    hospitals_now,
)
from aegis.console.coordinator.records import logbook
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.going_on import document_of
from aegis.console.coordinator.withheld import seen_by
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import Line
from aegis.console.window.formats import ago, interval, score, seconds, utc
from aegis.console.window.rendering import fragment, render
from aegis.errors import AegisError
from aegis.plan import Plan
from aegis.report.benefit_page import benefit_sentence
from aegis.report.disclosure import coordinator_saw, epsilon, has_noise
from aegis.report.drawings import curves, gain_rows
from aegis.report.gains import measure
from aegis.report.tables import shown_hospitals
from aegis.report.verdict import Figure
from aegis.report.wording import counted, interval_of, mapping, number, sequence

router = APIRouter()
PARTS = ("status", "figures", "warning", "curves", "strip", "tiles")
MOST_GAINS, MOST_TILES, MOST_CELLS, ENTRIES = 8, 12, 60, 10
_MODES = {"masked": "masked mode", "open": "open mode", "grouped": "grouped mode"}


@dataclass(frozen=True)
class Warning:
    kind: str
    heading: str
    said: str
    path: str
    action: str


@dataclass(frozen=True)
class Cell:
    kind: str
    shown: str
    said: str


@router.get("/", include_in_schema=False)
def overview(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    desk, run = desk_of(request), picked(request)
    asked = request.query_params.get("run", "") not in ("", "latest")
    found = content(desk, Sight.of(person), run, audit=person.can(Right.AUDIT_READ))
    stream = "overview"
    if person.can(Right.AUDIT_READ):
        stream = "overview-steer" if person.can(Right.STEER) else "overview-audit"
    draft = steering.draft(desk)
    return render(
        request,
        "coordinator/overview.html",
        live=f"/live/{stream}{f'?run={run}' if asked and run else ''}",
        steers=person.can(Right.STEER),
        starts=person.can(Right.START),
        target=draft.plan.federated.num_rounds,
        next_task=draft.plan.task.replace("_", " "),
        place=steering.usual_place(desk),
        members=len(desk.state()["hospitals"]),
        **found,
    )


def _parts(desk: Desk, sight: Sight, run: str | None, audit: bool, steer: bool) -> Parts:
    found = content(desk, sight, run or current(desk), audit)
    found["steers"] = steer
    names = (*PARTS, "entries") if audit else PARTS
    made = {name: fragment(f"partials/overview_{name}.html", **found) for name in names}
    if steer:
        made["controls"] = fragment("partials/controls.html", **found)
        made["start-part"] = fragment("partials/start_button.html", **found)
    return made


live("overview")(partial(_parts, audit=False, steer=False))
live("overview-audit", Right.AUDIT_READ)(partial(_parts, audit=True, steer=False))
live("overview-steer", Right.STEER)(partial(_parts, audit=True, steer=True))


def content(desk: Desk, sight: Sight, run: str | None, audit: bool = False) -> dict[str, Any]:
    """What the page and its stream show of ``run``."""
    course = course_of(desk, run)
    there = hospitals_now(desk, sight, run, course=course)
    found: dict[str, Any] = {
        "run": run,
        "hospitals": there,
        "most_tiles": MOST_TILES,
        "uncovered": UNCOVERED if there.scores else "",
        "controls": controls(desk, run),
        "entries": _entries(desk, sight, run) if audit else (),
        "badges": (),
        "audits": audit,
        "cells": (),
        "document": None,
        "warning": None,
        "headline": "Nothing has been trained here yet",
        "eyebrow": "A first step: a rehearsal with simulated hospitals on public data.",
    }
    if run is None:
        return found
    document, line = seen_by(document_of(desk, run), sight), desk.reading.line(run)
    plan = desk.reading.plan(run)
    many = len(sequence(document.get("hospitals")))
    gains = gain_rows(document) if many <= MOST_GAINS else None
    if gains is not None and all(row.own is None for row in gains.rows):
        gains = None  # nothing to compare with, so far
    return found | {
        "document": document,
        "line": line,
        "badges": badges_of(desk, sight, run) if line.over else (),
        "headline": headline(desk, line, document),
        "eyebrow": _eyebrow(line, document, plan),
        "figures": _figures(document, line, plan, course),
        "warning": _warning(desk, line, plan, course, there),
        "curves": curves(document),
        "gains": gains,
        "no_gains": _no_gains(document, gains is None),
        "benefit": benefit_sentence(document) if gains else "",
        "shown": shown_hospitals(document)[1],
        "cells": cells(document, line, course),
    }


def headline(desk: Desk, line: Line, document: Mapping[str, Any]) -> str:
    """Where the run stands, in one sentence."""
    title = _title(line)
    status = steering.standing(desk, line)
    match status.status:
        case "initializing":
            return f"{title}: {_lowered(status.message)}"
        case "paused":
            return f"{title}: paused after round {line.round} of {line.rounds or 'as many as fit'}"
        case "running" if status.finishing:
            return f"{title}: {_lowered(status.message)}"
        case "running":
            of = f" of {line.rounds}" if line.rounds else ""
            return f"{title}: round {line.round + 1}{of}"
        case "stopped" if not line.over:
            return f"{title}: interrupted after round {line.round}"
    words = {"completed": "is completed", "stopped": "was stopped", "refused": "was refused"}
    return f"{title}: this run {words.get(line.status, 'failed')}"


def _title(line: Line) -> str:
    return line.task.replace("_", " ").strip().capitalize()


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _eyebrow(line: Line, document: Mapping[str, Any], plan: Plan) -> str:
    many = len(sequence(document.get("hospitals"))) or plan.federated.num_clients
    where = (
        f"{counted(many, 'simulated hospital')} on this machine"
        if line.transport == "inprocess"
        else f"{counted(many, 'hospital')} over {line.transport}"
    )
    model = plan.model.name.replace("_", " ")
    model = "logistic regression" if model == "logistic" else model
    took = number(document.get("seconds"))
    ended = f", {seconds(took)}" if line.over and took else ""
    return f"{where}, {model}, {_MODES[line.trust]}. Began {utc(line.started)}{ended}."


def _figures(
    document: Mapping[str, Any], line: Line, plan: Plan, course: Course
) -> tuple[Figure, ...]:
    return (
        _auc(document, line, plan),
        _reporting(document, line, plan, course),
        _spend(document, plan),
        _sees(document),
    )


def _auc(document: Mapping[str, Any], line: Line, plan: Plan) -> Figure:
    metrics = mapping(document.get("global"))
    auc, pair = number(metrics.get("auc")), interval_of(metrics, "auc")
    on = number(metrics.get("examples"))
    if auc is None:
        why = document.get("global_reason") or "AUC is not defined for this model"
        return Figure("Shared model’s AUC", "Not yet" if not line.over else "None", "", f"{why}.")
    at = metrics.get("round") or document.get("chosen_round") or line.round
    own = measure(document.get("mean_local"))
    patients = f" on {round(on):,} patients" if on else ""
    below = f"After round {at}{patients}, none of whom it was trained on"
    if own is not None and measure(metrics) is not None:
        right = measure(metrics)
        assert right is not None
        below += f"; right for {100 * right.value:.1f} %"
    beside = interval(pair) if pair else "no interval"
    return Figure("Shared model’s AUC", score(auc), beside, f"{below}.")


def _reporting(document: Mapping[str, Any], line: Line, plan: Plan, course: Course) -> Figure:
    joined = len(course.joined)
    needed = plan.quorum(joined or plan.federated.num_clients)
    below = f"{needed} needed to close a round"
    if not course.round:
        return Figure("Hospitals that joined", str(joined), "", f"{below}.")
    asked = len(course.asked)
    used = len(course.used) if course.used or not course.open else 0
    if course.open and not course.used:
        return Figure("Hospitals asked to train", str(asked), f"of {joined}", f"{below}.")
    gone = f"; {len(course.missing)} missing" if course.missing else ""
    said = f"In round {course.round}; {below}{gone}."
    return Figure("Hospitals reporting", str(used), f"of {asked}", said)


def _spend(document: Mapping[str, Any], plan: Plan) -> Figure:
    if not has_noise(document):
        return Figure(
            "Privacy spend", "None", "no noise is added", "No bound from differential privacy."
        )
    privacy = mapping(document.get("privacy"))
    spent, cap = epsilon(document), plan.privacy.epsilon_budget
    unit = privacy.get("unit") or "record"
    per = f"Per {unit}, delta {plan.privacy.delta:g}"
    if spent is None:
        return Figure(
            "Privacy spend", f"≤ {cap:.2f}", "epsilon", f"{per}; ledgers are asked at the end."
        )
    return Figure("Largest privacy spend", f"{spent:.2f}", f"of {cap:.2f} epsilon", f"{per}.")


def _sees(document: Mapping[str, Any]) -> Figure:
    words = {"masked": "Only sums", "grouped": "Sums of groups", "open": "Each update"}
    trust = str(document.get("trust"))
    said = coordinator_saw(document).split(". ")[0].rstrip(".")
    return Figure("The coordinator sees", words.get(trust, "Not recorded"), "", f"{said}.")


def _warning(
    desk: Desk, line: Line, plan: Plan, course: Course, there: Hospitals
) -> Warning | None:
    """The one thing to look at first."""
    status = steering.standing(desk, line)
    if status.error is not None:
        return Warning("bad", "The run has a problem", status.error, "/training", "See its log")
    if status.status == "stopped" and not line.over:
        said = "Its process ended. What was saved is kept, and it can be gone on with."
        return Warning("warn", "The run was interrupted", said, "/training", "Go on with it")
    if line.over:
        return None
    away = [one for one in there.tiles if one.away and one.name in course.joined]
    if away:
        first = away[0]
        many = f"{counted(len(away), 'hospital')} {'is' if len(away) == 1 else 'are'} not connected"
        seen = f"{first.name} was last seen {ago(first.seen)}. " if first.seen else ""
        needed, left = plan.quorum(len(course.joined)), len(course.joined) - len(away)
        said = f"{seen}The round closes without those that are missing if enough have reported."
        if left < needed:
            back = "it is" if len(away) == 1 else "some are"
            said = f"{seen}No round can close until {back} back: {needed} are needed, {left} there."
        return Warning("warn", many, said, "/agents?state=offline", "See who")
    flagged = [one for one in there.tiles if one.name in course.flagged]
    if flagged:
        many = f"{counted(len(flagged), 'hospital')} sent an update unlike the others"
        why = course.flagged[flagged[0].name][1]
        return Warning(
            "warn", many, f"{flagged[0].name}: {why}", "/agents?state=flagged", "See who"
        )
    return None


def _no_gains(document: Mapping[str, Any], none: bool) -> str:
    if not none:
        return ""
    if len(sequence(document.get("hospitals"))) > MOST_GAINS and document.get("comparison"):
        return "With so many hospitals the comparison has a page of its own."
    why = document.get("comparison_reason")
    if isinstance(why, str) and why:
        return f"There is no comparison with the hospitals’ own models: {why}."
    if document.get("trust") == "masked" and not document.get("comparison"):
        return "In masked mode only sums leave the hospitals, and none shared its own scores."
    return "No hospital trained a model of its own in this run, so there is nothing to compare."


def cells(document: Mapping[str, Any], line: Line, course: Course) -> tuple[Cell, ...]:
    """The strip: closed rounds, the one that is open, those ahead; the latest where there are too
    many to show."""
    found = []
    for entry in map(mapping, sequence(document.get("history"))):
        gone = len(sequence(entry.get("absent")))
        aside = len(sequence(entry.get("set_aside", entry.get("flagged"))))
        at = entry.get("round")
        if entry.get("rejected"):
            found.append(Cell("lost", "×", f"Round {at}: undone, the model stayed as it was"))
        elif gone or aside:
            said = f"Round {at}: {gone} missing, {aside} set aside"
            found.append(Cell("some", str(gone + aside), said))
        else:
            found.append(Cell("all", "", f"Round {at}: every hospital asked was used"))
    if not line.over:
        done = len(found)
        if course.open:
            found.append(Cell("ahead now", "", f"Round {course.round}: going on"))
        ahead = min(line.rounds, MOST_CELLS) - len(found)
        if done < MOST_CELLS:
            found += [Cell("ahead", "", "")] * max(0, ahead)
    return tuple(found[-MOST_CELLS:])


@dataclass(frozen=True)
class Controls:
    """What may be done with the run now; the names are those of the buttons."""

    run: str | None
    pause: bool = False
    resume: bool = False
    stop: bool = False
    going: bool = False


def controls(desk: Desk, run: str | None) -> Controls:
    here = steering.going(desk)
    run = here or run
    if run is None:
        return Controls(None)
    line = desk.reading.line(run)
    status = steering.standing(desk, line)
    ongoing = not line.over and status.status in ("initializing", "running", "paused")
    lost = not line.over and status.status in ("stopped", "error") and line.transport == "inprocess"
    steerable = ongoing and not status.stopping
    return Controls(
        run,
        pause=steerable and status.status != "paused",
        resume=status.status == "paused" or (lost and here is None),
        stop=steerable,
        going=here is not None,
    )


def _entries(desk: Desk, sight: Sight, run: str | None) -> tuple[logbook.Row, ...]:
    if run is None:
        return ()
    try:
        return tuple(logbook.rows(desk, sight, run, size=ENTRIES)[1])
    except AegisError:  # there is no log yet
        return ()
