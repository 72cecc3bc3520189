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
from aegis.coordinator.joining import register, sum_statistics
from aegis.coordinator.rounds import aggregate, collect, control, open_round
from aegis.coordinator.sealing import open_sums, sealed, stage_requests
from aegis.coordinator.study import Step, Study
from aegis.messages import (
    Answer,
    Evaluate,
    Invite,
    Request,
    Statistics,
    Train,
)
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
    released,
)


def asks(study: Study, state: State) -> Mapping[str, Request]:
    """The requests that this state is waiting for."""
    sha256 = study.sha256
    match state:
        case Registration():
            there = {enrolled.hospital for enrolled in state.enrolled}
            text = study.plan.to_json()
            return {
                name: Invite(state.run, sha256, text) for name in state.invited if name not in there
            }
        case Tallying():
            words = state.vocabulary if study.open_words and not study.private else {}
            rows = sum(h.examples for h in state.hospitals)
            question = Statistics(state.run, sha256, words, rows, len(state.hospitals))
            return {h.hospital: question for h in state.hospitals}
        case Collecting(progress=progress):
            request = Train(
                progress.run,
                sha256,
                progress.round + 1,
                progress.weights,
                progress.learning_rate,
                sum(h.examples for h in progress.hospitals),
                len(progress.hospitals),
                progress.preparation,
                control(study, progress),
            )
            return dict.fromkeys(state.asked, request)
        case Broadcasting(progress=progress):
            if not (state.final or closing.due(study.plan, progress)):
                return {}
            scoring = Evaluate(
                progress.run,
                sha256,
                progress.round,
                released(progress),
                state.part,
                progress.preparation,
                state.final,
            )
            done = state.sealed is not None
            asked = [h for h in progress.hospitals if not (done and h.scores == "summed")]
            return {h.hospital: scoring for h in asked}
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
