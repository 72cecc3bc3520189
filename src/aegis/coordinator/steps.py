"""The federation as a pure state machine: ``asks`` and ``step``.

``asks(study, state)`` is what a state wants to know: one request per hospital, or none.
``step(study, state, answers)`` is what the answers make of it: the next state and what happened.
Neither touches a disk, a clock or a network, and both depend on their arguments only; whoever saves
a state before acting on it can therefore crash anywhere and go on with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping

from aegis.assurance.groups import size
from aegis.coordinator import closing
from aegis.coordinator.asking import inquiry
from aegis.coordinator.joining import register, sum_statistics
from aegis.coordinator.rounds import aggregate, collect, open_round
from aegis.coordinator.sealing import open_sums, sealed, stage_requests
from aegis.coordinator.study import Step, Study
from aegis.messages import Answer, Invite, Request
from aegis.states import (
    Aggregating,
    Broadcasting,
    Collecting,
    Failed,
    Idle,
    Registration,
    RoundSetup,
    Sealing,
    State,
    Tallying,
    Terminated,
)


def asks(study: Study, state: State) -> Mapping[str, Request]:
    """The requests that this state is waiting for."""
    match state:
        case Registration():
            there = {enrolled.hospital for enrolled in state.enrolled}
            text = study.plan.to_json()
            return {
                name: Invite(state.run, study.sha256, text)
                for name in state.invited
                if name not in there
            }
        case Tallying() | Collecting() | Broadcasting():
            return inquiry(study, state)
        case Sealing(of=of):
            return stage_requests(state, asks(study, of))
        case Idle() | RoundSetup() | Aggregating() | Terminated() | Failed():
            return {}


def step(study: Study, state: State, answers: Mapping[str, Answer]) -> Step:
    """The next state, and what happened on the way."""
    match state:
        case Registration():
            return register(study, state, answers)
        case Tallying():
            return sum_statistics(study, state, answers)
        case RoundSetup():
            return open_round(study, state)
        case Collecting():
            return collect(study, state, answers)
        case Aggregating():
            return aggregate(study, state)
        case Broadcasting():
            after, events = closing.close(
                study.plan, study.model, state, answers, size(study.groupings)
            )
            return Step(after, events)
        case Sealing():
            return open_sums(study, state, answers)
        case Idle() | Terminated() | Failed():
            return Step(state)


__all__ = ["Step", "Study", "asks", "sealed", "step"]
