"""The federation as a pure state machine: ``asks`` and ``step``.

``asks(study, state)`` is what a state wants to know: one request per hospital, or none.
``step(study, state, answers)`` is what the answers make of it: the next state and what happened.
Neither touches a disk, a clock or a network, and both depend on their arguments only; whoever saves
a state before acting on it can therefore crash anywhere and go on with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from aegis.aggregation.rules import Rule, rule
from aegis.aggregation.server import ServerOptimizer, server_optimizer
from aegis.coordinator import closing
from aegis.coordinator.selection import select
from aegis.coordinator.validation import fault_of_tally, fault_of_update
from aegis.errors import NothingLearned, RunAborted
from aegis.events import (
    Event,
    HospitalAbsent,
    HospitalJoined,
    ReplyQuarantined,
    RoundAggregated,
    RoundOpened,
    StatisticsReleased,
)
from aegis.messages import (
    Absence,
    Answer,
    Enrolled,
    Evaluate,
    Invite,
    Refusal,
    Request,
    Statistics,
    Tally,
    Train,
    Update,
    Vector,
)
from aegis.plan import Plan
from aegis.states import (
    Aggregating,
    Broadcasting,
    Collecting,
    Failed,
    Idle,
    Progress,
    Registration,
    RoundSetup,
    State,
    Tallying,
    Terminated,
)
from aegis.tasks.models import Perceptron, model_sha256, network
from aegis.tasks.preparation import Preparation, slots, with_vocabulary
from aegis.tasks.task import Schema

NORM_LIMIT = 1e6


@dataclass(frozen=True)
class Study:
    """What the coordinator knows for a whole run: the plan and the task's public schema."""

    plan: Plan
    schema: Schema

    @cached_property
    def rule(self) -> Rule:
        return rule(self.plan.rule)

    @cached_property
    def optimizer(self) -> ServerOptimizer:
        server = self.plan.server
        return server_optimizer(
            server.optimizer,
            solver=self.plan.training.solver,
            learning_rate=server.learning_rate,
            momentum=server.momentum,
            beta1=server.beta1,
            beta2=server.beta2,
            tau=server.tau,
        )

    @cached_property
    def sha256(self) -> str:
        return self.plan.sha256

    @cached_property
    def model(self) -> Callable[[str], Perceptron]:
        """The plan's network for a preparation."""
        return cache(lambda preparation: network(self.plan.model, preparation))

    def contribution(self, model: Perceptron) -> Vector:
        """A vector of the length and type that a hospital's update must have."""
        size = model.size
        if self.plan.training.solver == "newton":
            size += size * (size + 1) // 2
        return np.zeros(size, dtype=model.dtype)

    def quorum(self, asked: int, enrolled: int) -> int:
        """How many of ``asked`` must answer: the plan's quorum, in proportion when fewer than all
        enrolled hospitals are asked."""
        return max(1, math.ceil(self.plan.quorum(enrolled) * asked / max(enrolled, 1) - 1e-9))


@dataclass(frozen=True)
class Step:
    state: State
    events: tuple[Event, ...] = ()


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
            words = state.vocabulary if _open_words(study) else {}
            return {h.hospital: Statistics(state.run, sha256, words) for h in state.hospitals}
        case Collecting(progress=progress):
            request = Train(
                progress.run,
                sha256,
                progress.round + 1,
                progress.weights,
                progress.learning_rate,
                sum(h.examples for h in progress.hospitals),
                progress.preparation,
                _control(study, progress),
            )
            return dict.fromkeys(state.asked, request)
        case Broadcasting(progress=progress):
            if not (state.final or closing.due(study.plan, progress.round)):
                return {}
            scoring = Evaluate(
                progress.run,
                sha256,
                progress.round,
                progress.weights,
                state.part,
                progress.preparation,
            )
            return {h.hospital: scoring for h in progress.hospitals}
        case Idle() | RoundSetup() | Aggregating() | Terminated() | Failed():
            return {}


def step(study: Study, state: State, answers: Mapping[str, Answer]) -> Step:
    """The next state, and what happened on the way."""
    match state:
        case Registration():
            return _register(study, state, answers)
        case Tallying():
            return _sum_statistics(study, state, answers)
        case RoundSetup():
            return _open_round(study, state)
        case Collecting():
            return _collect(study, state, answers)
        case Aggregating():
            return _aggregate(study, state)
        case Broadcasting():
            after, events = closing.close(study.plan, study.model, state, answers)
            return Step(after, events)
        case Idle() | Terminated() | Failed():
            return Step(state)


def _register(study: Study, state: Registration, answers: Mapping[str, Answer]) -> Step:
    events: list[Event] = []
    enrolled = list(state.enrolled)
    for name in state.invited:
        match answers.get(name):
            case Enrolled() as reply if reply.schema_sha256 != study.schema.sha256:
                reason = "its table does not have the columns of this task"
                events.append(ReplyQuarantined(state.run, 0, name, reason))
            case Enrolled() as reply if reply.hospital != name or reply.examples < 0:
                events.append(ReplyQuarantined(state.run, 0, name, "its enrolment is not sound"))
            case Enrolled() as reply:
                enrolled.append(reply)
                events.append(HospitalJoined(state.run, name, reply.examples, reply.held_out))
            case Refusal(reason=reason) | Absence(reason=reason):
                events.append(HospitalAbsent(state.run, 0, name, reason))
            case _:
                pass
    there = tuple(sorted(enrolled, key=lambda e: state.invited.index(e.hospital)))
    needed = study.plan.quorum(len(state.invited))
    if len(there) >= needed:
        return Step(_after_registration(study, state, there), tuple(events))
    missing = sorted(set(state.invited) - {e.hospital for e in there})
    if state.attempt >= study.plan.federated.attempts:
        failed = Failed(
            state.run,
            f"{len(there)} of {len(state.invited)} hospitals joined, the quorum is {needed}"
            f" (missing: {_list(missing)})",
            "Start the missing hospitals, or lower federated.quorum",
        )
        return Step(failed, (*events, closing.aborted(state.run, failed.reason)))
    waiting = replace(state, enrolled=there, attempt=state.attempt + 1)
    return Step(waiting, tuple(events))


def _after_registration(
    study: Study, state: Registration, hospitals: tuple[Enrolled, ...]
) -> State:
    if state.start is not None:
        weights = state.start.weights
        return RoundSetup(_begin(study, state.run, hospitals, state.start.preparation, weights))
    if study.plan.data.standardize == "none":
        public = Preparation.from_public_ranges(study.schema)
        return RoundSetup(_begin(study, state.run, hospitals, public.to_json(), None))
    return Tallying(state.run, hospitals)


def _sum_statistics(study: Study, state: Tallying, answers: Mapping[str, Answer]) -> Step:
    asking_words = state.vocabulary is None and _open_words(study)
    schema = with_vocabulary(study.schema, state.vocabulary or {})
    length = None if asking_words else len(slots(schema))
    events: list[Event] = []
    tallies: list[Tally] = []
    for hospital in state.hospitals:
        answer = answers.get(hospital.hospital, Absence(hospital.hospital, "no answer"))
        fault = fault_of_tally(answer, hospital, state.run, length)
        if fault is None and isinstance(answer, Tally):
            tallies.append(answer)
        else:
            events.append(_set_aside(state.run, 0, answer, hospital.hospital, fault or ""))
    needed = study.quorum(len(state.hospitals), len(state.hospitals))
    if len(tallies) < needed:
        if state.attempt < study.plan.federated.attempts:
            return Step(replace(state, attempt=state.attempt + 1), tuple(events))
        return _failed(state.run, "the statistics round", len(tallies), needed, events)
    if asking_words:
        words: dict[str, set[str]] = {}
        for answer in tallies:
            for column, values in answer.vocabulary.items():
                words.setdefault(column, set()).update(values)
        found = {column: tuple(sorted(values)) for column, values in sorted(words.items())}
        return Step(replace(state, vocabulary=found, attempt=1), tuple(events))
    total = np.add.reduce([answer.sums for answer in tallies], axis=0)
    if not total[0] > 0:
        return _nothing_to_learn_from(state.run, events)
    preparation = Preparation.from_tally(schema, total)
    rows = int(total[0])
    events.append(StatisticsReleased(state.run, len(tallies), rows, preparation.sha256))
    kept = {answer.hospital for answer in tallies}
    hospitals = tuple(h for h in state.hospitals if h.hospital in kept)
    begun = _begin(study, state.run, hospitals, preparation.to_json(), None, total)
    return Step(RoundSetup(begun), tuple(events))


def _begin(
    study: Study,
    run: str,
    hospitals: tuple[Enrolled, ...],
    preparation: str,
    weights: Vector | None,
    sums: Vector | None = None,
) -> Progress:
    model = study.model(preparation)
    if weights is None:
        linear = not model.hidden
        start = study.plan.model.init or ("zeros" if linear else "uniform")
        weights = model.initial(study.plan.seed, start)
    memory = {} if sums is None else {"statistics": sums}
    rate = study.plan.training.learning_rate
    return Progress(run, 0, hospitals, preparation, weights, rate, memory)


def _open_round(study: Study, state: RoundSetup) -> Step:
    progress = state.progress
    number = progress.round + 1
    asked = select(study.plan, progress.hospitals, number, progress.participation)
    if not asked:
        return _nothing_to_learn_from(progress.run, [])
    digest = model_sha256(study.model(progress.preparation), progress.weights)
    opened = RoundOpened(progress.run, number, state.attempt, asked, digest, progress.learning_rate)
    return Step(Collecting(progress, asked, state.attempt), (opened,))


def _collect(study: Study, state: Collecting, answers: Mapping[str, Answer]) -> Step:
    progress, number = state.progress, state.progress.round + 1
    like = study.contribution(study.model(progress.preparation))
    enrolled = {h.hospital: h for h in progress.hospitals}
    events: list[Event] = []
    accepted: list[Update] = []
    for name in state.asked:
        answer = answers.get(name, Absence(name, "no answer"))
        fault = fault_of_update(answer, enrolled[name], progress.run, number, like, NORM_LIMIT)
        if fault is None and isinstance(answer, Update):
            accepted.append(answer)
        else:
            events.append(_set_aside(progress.run, number, answer, name, fault or ""))
    needed = max(study.quorum(len(state.asked), len(progress.hospitals)), study.rule.smallest)
    if len(accepted) < needed:
        if state.attempt < study.plan.federated.attempts:
            return Step(RoundSetup(progress, state.attempt + 1), tuple(events))
        where = f"round {number}"
        return _failed(progress.run, where, len(accepted), needed, events, progress)
    examples = np.array([update.examples for update in accepted], dtype=np.float64)
    combined = study.rule(np.stack([update.vector for update in accepted]), examples)
    controls = [update.control for update in accepted if update.control is not None]
    control = None
    if study.plan.server.optimizer == "scaffold" and len(controls) == len(accepted):
        # Hospitals that sat out keep their variate: the mean change counts for their share only.
        share = examples.sum() / sum(h.examples for h in progress.hospitals)
        control = share * study.rule(np.stack(controls), examples)
    names = tuple(update.hospital for update in accepted)
    absent = tuple(name for name in state.asked if name not in names)
    total = int(examples.sum())
    events.append(
        RoundAggregated(
            progress.run, number, study.rule.name, names, total, float(np.linalg.norm(combined))
        )
    )
    return Step(Aggregating(progress, names, absent, combined, total, control), tuple(events))


def _aggregate(study: Study, state: Aggregating) -> Step:
    before = state.progress
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            weights, memory = study.optimizer.step(before.weights, state.combined, before.memory)
        if not np.isfinite(weights).all():
            raise NothingLearned(
                f"the model is no longer finite after round {before.round + 1}",
                way_out="Lower training.learning_rate or server.learning_rate",
            )
    except RunAborted as error:
        failed = Failed(before.run, error.value, error.way_out, before)
        return Step(failed, (closing.aborted(before.run, failed.reason),))
    if state.control is not None:
        memory = {**memory, "control": before.memory.get("control", 0.0) + state.control}
    counts = dict(before.participation)
    for name in state.contributors:
        counts[name] = counts.get(name, 0) + 1
    after = replace(
        before, round=before.round + 1, weights=weights, memory=memory, participation=counts
    )
    change = float(np.max(np.abs(weights.astype(np.float64) - before.weights), initial=0.0))
    part = closing.scored_part(study.plan)
    return Step(Broadcasting(after, part, state.absent, change=change))


def _control(study: Study, progress: Progress) -> Vector | None:
    if study.plan.server.optimizer != "scaffold":
        return None
    kept = progress.memory.get("control")
    return np.zeros(len(progress.weights)) if kept is None else kept


def _open_words(study: Study) -> bool:
    return any(c.kind == "category" and not c.categories for c in study.schema.columns)


def _set_aside(run: str, round: int, answer: Answer, hospital: str, fault: str) -> Event:
    match answer:
        case Absence(reason=reason):
            return HospitalAbsent(run, round, hospital, reason)
        case Refusal(reason=reason):
            return HospitalAbsent(run, round, hospital, f"refused: {reason}")
        case _:
            return ReplyQuarantined(run, round, hospital, fault)


def _nothing_to_learn_from(run: str, events: list[Event]) -> Step:
    failed = Failed(run, "no hospital holds a row to train on", "Check the hospitals' data sets")
    return Step(failed, (*events, closing.aborted(run, failed.reason)))


def _failed(
    run: str,
    where: str,
    got: int,
    needed: int,
    events: list[Event],
    progress: Progress | None = None,
) -> Step:
    why = {
        event.hospital: event.reason
        for event in events
        if isinstance(event, HospitalAbsent | ReplyQuarantined)
    }
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(why.items())[:5])
    answered = "no hospital" if got == 0 else f"{got} hospital{'s' if got > 1 else ''}"
    reason = f"{answered} gave a usable answer in {where}, the quorum is {needed} ({reasons})"
    way_out = f"Check the hospitals named, then go on with: aegis run --resume {run}"
    return Step(Failed(run, reason, way_out, progress), (*events, closing.aborted(run, reason)))


def _list(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
