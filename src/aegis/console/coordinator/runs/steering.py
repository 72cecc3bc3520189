"""What people at the console tell the federation: start, pause, go on, stop, begin anew, prepare.

    hospitals    the connected hospitals train, each behind its own wall
    rehearsal    simulated hospitals on public data, in a process of its own

One run at a time; of two people who press start at once one wins. Nothing here forgets a run: a
reset clears what the page keeps for people (the prepared plan, the lines of the log, which run is
the present one), never the journal, a model, a result or the audit log.

A plan by which real hospitals would not be masked, or may spend more than any before, needs two
people, except from this machine: whoever may read AEGIS_HOME/keys could do all of it without a
console.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.runs.agreements import needed
from aegis.console.coordinator.runs.going_on import (
    RESET,
    Standing,
    attend,
    cleared,
    going,
    log_lines,
    lost,
    present_run,
    standing,
    training_status,
    waiting_for,
)
from aegis.console.coordinator.runs.going_on import room as room_of
from aegis.console.coordinator.runs.next_plan import Draft, drafted, forget, keep, kept, path_of
from aegis.console.people.roles import Person
from aegis.console.people.two_persons import Kind, Proposal, Proposals
from aegis.console.reading import Line, NotFound
from aegis.errors import BadInput, CheckFailed, RunAborted
from aegis.plan import Plan, check_plan
from aegis.plan.layers import flatten
from aegis.store.home import write_whole
from aegis.store.journal import Journal
from aegis.store.way_on import way_on

__all__ = [
    "Agreement",
    "Standing",
    "Where",
    "agreements",
    "attend",
    "close",
    "config",
    "configure",
    "draft",
    "going",
    "log_lines",
    "pause",
    "prepared",
    "present_run",
    "replace",
    "reset",
    "resume",
    "standing",
    "start",
    "stop",
    "training_status",
    "usual_place",
    "waiting_for",
]

Where = Literal["hospitals", "rehearsal"]


def usual_place(desk: Desk) -> Where:
    """Hospitals where the federation has members, else a rehearsal."""
    return "hospitals" if desk.state()["hospitals"] else "rehearsal"


def start(desk: Desk, plan: Plan, where: Where | None, person: Person) -> str:
    """The name of the new run. Raises ``PlanError`` for an unsound plan, ``RunAborted`` while a run
    goes on, ``BadInput`` for a plan that no real hospital can serve, ``CheckFailed`` where a second
    person has to agree first."""
    check_plan(plan)
    where = where or usual_place(desk)
    room = room_of(desk)
    with room.lock:
        run = going(desk)
        if run is not None:
            raise RunAborted(f"the run {run} is going on", way_out="Wait for its end, or stop it")
        if where == "rehearsal":
            _public(plan)
            desk.home.prepare()
            return room.rehearsals.start(plan)
        if desk.coordinator is None:
            raise RunAborted(
                "no coordinator runs in this process", way_out="Start one: aegis coordinator"
            )
        missing = () if person.way == "machine" else agreements(desk, plan)
        for one in missing:
            if not one.agreed:
                raise CheckFailed(
                    one.said.rstrip("."),
                    "two people have to agree to that first",
                    "One proposes it and another confirms it: /privacy/proposals",
                )
        return desk.coordinator.submit(plan)


def _public(plan: Plan) -> None:
    """Raises ``BadInput`` for a plan by which a rehearsal would read files of this machine."""
    start = plan.model.start or ""
    for key, value in (("data.path", plan.data.path), ("model.start", start)):
        if value and (key == "data.path" or any(mark in value for mark in "/\\.")):
            raise BadInput(
                f"{key} names a file",
                "a rehearsal takes public data and stored models, no files of this machine",
                f"Leave {key} out, or use the command line: aegis run",
            )


@dataclass(frozen=True)
class Agreement:
    """Something that two people have to agree to before this plan goes to hospitals."""

    kind: str
    said: str
    agreed: bool
    waiting: bool


def agreements(desk: Desk, plan: Plan) -> tuple[Agreement, ...]:
    """What two people have to agree to, and whether they have: within a day, once for each run."""
    proposals: Proposals | None = desk.extra.get("proposals")
    found = []
    for one in needed(desk, plan):
        kind, payload = Kind(one["kind"]), one["payload"]
        past = [] if proposals is None else proposals.past()
        lifetime_s = 0.0 if proposals is None else proposals.lifetime_s
        same = [p for p in past if p.kind is kind and p.payload == payload]
        waits = [] if proposals is None else proposals.waiting(kind)
        found.append(
            Agreement(
                kind.value,
                one["said"],
                any(_holds(desk, plan, p, lifetime_s) for p in same),
                any(p.payload == payload for p in waits),
            )
        )
    return tuple(found)


def _holds(desk: Desk, plan: Plan, proposal: Proposal, lifetime_s: float) -> bool:
    if proposal.state != "done" or proposal.closed is None:
        return False
    if datetime.now(UTC).timestamp() - proposal.closed >= lifetime_s:
        return False
    since = datetime.fromtimestamp(proposal.closed, UTC).isoformat(timespec="milliseconds")
    with desk.reading.journal() as journal:  # all of it: rehearsals must not push a run out
        rows = map(journal.row, journal.runs())
        used = (
            row["started"] >= since
            and row["plan_sha256"] == plan.sha256
            and json.loads(row["options"]).get("transport", "inprocess") != "inprocess"
            for row in rows
        )
        return not any(used)


def pause(desk: Desk, run: str) -> None:
    """The run waits before its next step. Raises ``BadInput`` for an unknown run, ``RunAborted``
    for one that is over."""
    _told(desk, run, "pause")


def stop(desk: Desk, run: str) -> None:
    """The run ends within its round and keeps the model it has."""
    _told(desk, run, "stop")


def resume(desk: Desk, run: str) -> None:
    """A paused run goes on; so does a rehearsal whose process had ended."""
    room = room_of(desk)
    with room.lock:
        line = _steerable(desk, run)
        if going(desk) is None and line.transport == "inprocess" and lost(desk, line):
            room.rehearsals.go_on(run)
            return
        _told(desk, run, None)


def reset(desk: Desk, clear_results: bool = False) -> None:
    """Forget the prepared plan and the lines of the log. ``clear_results``: also no run that has
    ended is the present one any more; every list still has it, nothing is deleted. Raises
    ``RunAborted`` while a run goes on."""
    room = room_of(desk)
    with room.lock:
        if (run := going(desk)) is not None:
            raise RunAborted(f"the run {run} is going on", way_out="Stop it first")
        forget(desk.home)
        before = cleared(desk)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        said = {"log": now, "runs": now if clear_results else before["runs"]}
        write_whole(desk.home.root / RESET, json.dumps(said).encode())


def close(desk: Desk) -> None:
    """Before the process ends: a rehearsal is interrupted, and can be gone on with."""
    if "steering" in desk.extra:
        room_of(desk).rehearsals.end()


def config(desk: Desk) -> dict[str, Any]:
    """Every dotted key of the next run's plan with its value."""
    return kept(desk.home).plan.values


def draft(desk: Desk) -> Draft:
    """The next run's plan as it is being prepared."""
    return kept(desk.home)


def configure(desk: Desk, values: Mapping[str, Any], person: Person) -> dict[str, Any]:
    """Say these keys (dotted or nested) besides what was said before; None takes a key back where
    its value follows from others. Returns ``config``. Raises ``next_plan.Unsound``."""
    with room_of(desk).lock:
        before = dict(kept(desk.home).said)
        changed = dict(flatten(values))
        found = drafted({**before, **changed})
        keep(desk.home, found, person.name)
        return found.plan.values


def replace(desk: Desk, found: Draft, person: Person) -> None:
    """Keep this plan instead of what was prepared. Raises ``next_plan.Unsound``."""
    with room_of(desk).lock:
        keep(desk.home, found, person.name)


def prepared(desk: Desk) -> bool:
    """Whether somebody prepared a plan here."""
    return path_of(desk.home).exists()


def _told(desk: Desk, run: str, command: str | None) -> None:
    room = room_of(desk)
    with room.lock:
        _steerable(desk, run)
        if room.rehearsals.going == run:
            room.rehearsals.tell(run, command)
            return
        with contextlib.closing(Journal(desk.home.database)) as journal:
            journal.give_command(run, command)


def _steerable(desk: Desk, run: str) -> Line:
    if run not in desk.reading.names():
        raise NotFound(f"no run is called {run!r:.80}", way_out="See /experiments for all runs")
    line = desk.reading.line(run)
    if line.over and line.status != "failed" and going(desk) != run:
        raise RunAborted(f"the run {run} is over: {line.status}")
    if line.status == "failed" and going(desk) != run:
        raise RunAborted(f"the run {run} has failed", way_out=way_on(desk.reading.stored(run)))
    return line
