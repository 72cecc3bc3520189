"""The only wiring: a study, a road, a journal and listeners become a federation that runs.

The loop is: ask what the state wants to know, step, save, tell. A state is saved before anything it
implies is done (a question asked, an event told), so a process that dies anywhere resumes from the
last saved state and ends with the same model. Between two steps the loop looks whether somebody
left a command: ``pause``, ``resume`` or ``stop``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from aegis import secagg
from aegis.coordinator.closing import chosen
from aegis.coordinator.joining import admit, newcomers
from aegis.coordinator.sealing import begins
from aegis.coordinator.steps import Study, asks, sealed, step
from aegis.errors import AegisError, RunAborted
from aegis.events import Event, Listener, RunStarted
from aegis.messages import Invite
from aegis.states import (
    CHECK_HOSPITALS,
    Collecting,
    Failed,
    Idle,
    Registration,
    RoundSetup,
    Sealing,
    StartingPoint,
    State,
    Tallying,
    Terminated,
)
from aegis.store.journal import Saving
from aegis.transport.transport import Transport

log = logging.getLogger("aegis")

LOOK_S = 0.2


def federate(
    study: Study,
    run: str,
    transport: Transport,
    journal: Saving,
    listeners: Sequence[Listener] = (),
    *,
    resume_from: State | None = None,
    start: StartingPoint | None = None,
    rest: Callable[[float], None] = time.sleep,
    stages_last: bool = True,
    joining: bool = False,
    again: str = "",
) -> Terminated:
    """Run to the end and return how it ended.

    Raises ``RunAborted`` where the run cannot go on; its journal then holds the reason. Listeners
    are told after each save, in order; one that fails is logged and does not stop a federation.
    ``stages_last``: hospitals outlive this process, so that a sealed sum can be gone on with in the
    middle; else the state around it is saved, and after a restart its sum begins anew.
    ``joining``: hospitals that come while the run is on take part from the next round.
    ``again``: how a run is taken up after hospitals failed it.
    """
    state = resume_from if resume_from is not None else Idle()
    pending: list[Event] = []
    if isinstance(state, Idle):
        plan = study.plan
        pending.append(
            RunStarted(
                run,
                plan.task,
                plan.sha256,
                plan.seed,
                plan.federated.num_rounds or 0,
                plan.effective_trust,
            )
        )
        state = Registration(run, tuple(transport.hospitals()), start=start)
    deadline = study.plan.federated.deadline_s
    seen: set[str] = set()
    while not isinstance(state, Terminated | Failed):
        _wait_for_the_missing(study, run, state, transport, journal, deadline, rest)
        state = sealed(study, _obeyed(study, run, state, journal, rest))
        if joining and isinstance(state, RoundSetup):
            state, news = _joined(study, state, transport, seen)
            pending += news
        requests = asks(study, state)
        if requests and (stages_last or not isinstance(state, Sealing) or begins(state)):
            kept = state.of if isinstance(state, Sealing) and not stages_last else state
            _save(journal, run, kept, pending, listeners)
            pending = []
        answers = transport.ask(requests, deadline) if requests else {}
        done = step(study, state, answers)
        state, pending = done.state, [*pending, *done.events]
    _save(journal, run, state, pending, listeners)
    if isinstance(state, Failed):
        way_out = state.way_out
        if way_out == CHECK_HOSPITALS and again:
            way_out = f"{way_out}, then {again}"
        raise RunAborted(f"the run {run} was aborted: {state.reason}", way_out=way_out)
    return state


def _joined(
    study: Study, state: RoundSetup, transport: Transport, seen: set[str]
) -> tuple[RoundSetup, tuple[Event, ...]]:
    """The state with whoever came since. Each is asked once; where sums are sealed the others are
    invited again, for with the invitation they learn of the newcomer's key."""
    fresh = [name for name in newcomers(study, state, transport.hospitals()) if name not in seen]
    if not fresh:
        return state, ()
    seen.update(fresh)
    asked = list(fresh)
    if study.plan.effective_trust != "open":
        asked += [hospital.hospital for hospital in state.progress.hospitals]
    invitation = Invite(state.progress.run, study.sha256, study.plan.to_json())
    answers = transport.ask(
        dict.fromkeys(asked, invitation), min(study.plan.federated.deadline_s, 10)
    )
    done = admit(study, state, {name: answers[name] for name in fresh})
    assert isinstance(done.state, RoundSetup)
    return done.state, done.events


def _wait_for_the_missing(
    study: Study,
    run: str,
    state: State,
    transport: Transport,
    journal: Saving,
    deadline_s: float,
    rest: Callable[[float], None],
) -> None:
    """Before something is tried again, hospitals that are away have one deadline's time to come
    back: else all attempts are over in a moment, with the same hospitals missing in each."""
    match state:
        case Registration(invited=names, attempt=attempt):
            pass
        case Tallying(hospitals=hospitals, attempt=attempt):
            names = tuple(one.hospital for one in hospitals)
        case RoundSetup(progress=progress, attempt=attempt):
            names = tuple(one.hospital for one in progress.hospitals)
        case _:
            return
    if attempt == 1:
        return
    needed = study.plan.quorum(len(names))
    if study.plan.effective_trust != "open" and len(names) >= secagg.LEAST:
        needed = max(needed, secagg.threshold(len(names)))
    for _ in range(math.ceil(deadline_s / LOOK_S)):
        there = set(transport.hospitals())
        if sum(name in there for name in names) >= needed or journal.command(run) == "stop":
            return
        rest(LOOK_S)


def _save(
    journal: Saving, run: str, state: State, events: list[Event], listeners: Sequence[Listener]
) -> None:
    journal.save(run, state, events)
    for event in events:
        for listener in listeners:
            try:
                listener(event)
            except (AegisError, OSError, ValueError) as error:
                log.warning("a listener missed %s: %s", type(event).__name__, error)


def _obeyed(
    study: Study, run: str, state: State, journal: Saving, rest: Callable[[float], None]
) -> State:
    """The state after the last command: waiting out a pause, or on the way to an early end."""
    while (command := journal.command(run)) == "pause":
        rest(LOOK_S)
    if command != "stop":
        return state
    inner = state.of if isinstance(state, Sealing) else state
    match inner:
        case RoundSetup(progress=progress) | Collecting(progress=progress):
            return chosen(study.plan, progress, "stopped by command", "stopped")
        case _:
            return state
