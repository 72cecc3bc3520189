"""One round: ask, look at what came back, combine it, move the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation.anomaly import detect
from aegis.aggregation.combining import Combined, Context
from aegis.coordinator import closing
from aegis.coordinator.selection import select
from aegis.coordinator.study import Step, Study, failed, nothing_to_learn_from
from aegis.coordinator.validation import fault_of_update, set_aside
from aegis.errors import NothingLearned, RunAborted
from aegis.events import (
    Event,
    HospitalFlagged,
    RoundAggregated,
    RoundOpened,
)
from aegis.messages import (
    Absence,
    Answer,
    Update,
    Vector,
)
from aegis.privacy.dpgd import average_after
from aegis.states import (
    Aggregating,
    Broadcasting,
    Collecting,
    Failed,
    Progress,
    RoundSetup,
)
from aegis.tasks.models import model_sha256

NORM_LIMIT = 1e6


def open_round(study: Study, state: RoundSetup) -> Step:
    progress = state.progress
    number = progress.round + 1
    asked = select(study.plan, progress.hospitals, number, progress.participation)
    if not asked:
        return nothing_to_learn_from(progress.run, [])
    digest = model_sha256(study.model(progress.preparation), progress.weights)
    opened = RoundOpened(progress.run, number, state.attempt, asked, digest, progress.learning_rate)
    return Step(Collecting(progress, asked, state.attempt), (opened,))


def collect(study: Study, state: Collecting, answers: Mapping[str, Answer]) -> Step:
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
            events.append(set_aside(progress.run, number, answer, name, fault or ""))
    needed = max(study.quorum(len(state.asked), len(progress.hospitals)), study.rule.smallest)
    if len(accepted) < needed:
        if state.attempt < study.plan.federated.attempts:
            return Step(RoundSetup(progress, state.attempt + 1), tuple(events))
        where = f"round {number}"
        return failed(progress.run, where, len(accepted), needed, events, progress)
    examples = np.array([update.examples for update in accepted], dtype=np.float64)
    names = tuple(update.hospital for update in accepted)
    rows = np.stack([update.vector for update in accepted])
    try:
        combined, flags = combine(study, progress, names, rows, examples)
    except RunAborted as error:
        lost = Failed(progress.run, str(error), error.way_out, progress)
        return Step(lost, (*events, closing.aborted(progress.run, lost.reason)))
    events += flags
    controls = [update.control for update in accepted if update.control is not None]
    control = None
    if study.plan.server.optimizer == "scaffold" and len(controls) == len(accepted):
        # Hospitals that sat out keep their variate: the mean change counts for their share only.
        share = examples.sum() / sum(h.examples for h in progress.hospitals)
        control = share * study.rule(np.stack(controls), examples).vector
    total = int(examples.sum())
    return aggregating(
        study, state, names, combined.vector, total, control, events, combined.memory
    )


def combine(
    study: Study,
    progress: Progress,
    names: tuple[str, ...],
    rows: NDArray[np.floating],
    examples: NDArray[np.float64],
) -> tuple[Combined, list[Event]]:
    """What the rule makes of these rows, and who was flagged. Raises ``RunAborted`` where the rule
    cannot keep its promise."""
    robust, number = study.plan.robust_aggregation, progress.round + 1
    found = study.rule(rows, examples, Context(names, number, progress.memory))
    if not (robust.enabled and robust.enable_detection):
        return found, []
    flags = detect(rows, names, z_threshold=robust.z_threshold)
    return found, [
        HospitalFlagged(progress.run, number, f.hospital, f.detector, f.score, f.reason)
        for f in flags
    ]


def aggregating(
    study: Study,
    state: Collecting,
    names: tuple[str, ...],
    combined: Vector,
    examples: int,
    control: Vector | None,
    events: list[Event],
    memory: Mapping[str, Vector] | None = None,
) -> Step:
    """The round has its combined update, of the hospitals ``names``."""
    progress, number = state.progress, state.progress.round + 1
    absent = tuple(name for name in state.asked if name not in names)
    norm = float(np.linalg.norm(combined))
    events.append(RoundAggregated(progress.run, number, study.rule.name, names, examples, norm))
    after = Aggregating(progress, names, absent, combined, examples, control, memory or {})
    return Step(after, tuple(events))


def aggregate(study: Study, state: Aggregating) -> Step:
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
        lost = Failed(before.run, error.value, error.way_out, before)
        return Step(lost, (closing.aborted(before.run, lost.reason),))
    memory = {**memory, **state.memory}
    if state.control is not None:
        memory = {**memory, "control": before.memory.get("control", 0.0) + state.control}
    if study.private:
        average = before.memory["average"].astype(np.float64, copy=False)
        moved = average_after(average, weights.astype(np.float64, copy=False), before.round + 1)
        memory = {**memory, "average": moved}
    counts = dict(before.participation)
    for name in state.contributors:
        counts[name] = counts.get(name, 0) + 1
    after = replace(
        before, round=before.round + 1, weights=weights, memory=memory, participation=counts
    )
    change = float(np.max(np.abs(weights.astype(np.float64) - before.weights), initial=0.0))
    part = closing.scored_part(study.plan)
    began = before if study.plan.evaluation.gate is not None else None
    return Step(Broadcasting(after, part, state.absent, change=change, before=began))


def control(study: Study, progress: Progress) -> Vector | None:
    if study.plan.server.optimizer != "scaffold":
        return None
    kept = progress.memory.get("control")
    return np.zeros(len(progress.weights)) if kept is None else kept
