"""The end of a round: what was scored, whether to go on, and which model is kept.

Every decision here (best round, early stop, learning rate on a plateau, convergence) is taken on
figures that are released anyway: the summed scores of all hospitals, and the size of the change of
the public model. Where a decision is taken on scores, they come from validation rows, so that the
test rows stay untouched until the one final evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from aegis.aggregation.combining import OWN
from aegis.coordinator.validation import fault_of_scores, set_aside
from aegis.evaluation.metrics import metrics
from aegis.evaluation.whole import together
from aegis.events import Event, RoundClosed, RoundRejected, RunEnded
from aegis.messages import Answer, Part, Scores
from aegis.plan import Plan
from aegis.plan.plan import chooses_by_scores
from aegis.states import (
    Best,
    Broadcasting,
    Progress,
    RoundSetup,
    SealedScores,
    State,
    Terminated,
    released,
)
from aegis.tasks.models import Model, model_sha256

SHOWN_HOSPITALS = 50


def scored_part(plan: Plan) -> Part:
    """Validation rows where the plan decides on scores, else the test rows."""
    return "validation" if chooses_by_scores(plan) else "test"


def due(plan: Plan, progress: Progress) -> bool:
    every, round = plan.evaluation.every, progress.round
    return every > 0 and (round % every == 0 or round == progress.rounds)


def aborted(run: str, reason: str) -> RunEnded:
    return RunEnded(run, "aborted", reason, 0, 0, "")


def close(
    plan: Plan,
    model: Callable[[str], Model],
    state: Broadcasting,
    answers: Mapping[str, Answer],
    group_counts: int = 0,
) -> tuple[State, tuple[Event, ...]]:
    """Close the round, or after the final evaluation the run. ``group_counts`` is how many counts
    by group of patients the plan lays out."""
    events: list[Event] = []
    progress = state.progress
    scores: list[Scores] = []
    for hospital in progress.hospitals:
        if hospital.hospital not in answers:
            continue
        answer = answers[hospital.hospital]
        fault = fault_of_scores(
            answer,
            hospital,
            progress.run,
            progress.round,
            group_counts,
            plan.model.num_classes,
            state.part,
            plan.data.validation_fraction,
        )
        if fault is None and isinstance(answer, Scores):
            scores.append(answer)
        else:
            name = hospital.hospital
            events.append(set_aside(progress.run, progress.round, answer, name, fault or ""))
    net, shown = model(progress.preparation), released(progress)
    digest = model_sha256(net, shown)
    if state.final:
        return _finish(state, scores, digest, events)
    measured = summed(scores, state.sealed)
    kept, rejected = _gated(plan, state, measured)
    events.append(
        RoundClosed(
            progress.run,
            progress.round,
            digest,
            measured,
            by_hospital(scores) if len(scores) <= SHOWN_HOSPITALS else {},
            state.absent,
            progress.learning_rate,
            state.part,
            next_sha256="" if shown is kept.weights else model_sha256(net, kept.weights),
        )
    )
    if rejected is not None:
        events.append(rejected)
    progress = _judged(plan, kept, measured)
    reason = _enough(plan, progress, state.change)
    if reason is None:
        return RoundSetup(progress), tuple(events)
    last = chosen(plan, progress, reason)
    if state.part == "test" and np.array_equal(last.progress.weights, shown):
        # Hospitals open no second sum of it over others, if one is lost before the end.
        last = replace(last, known=state.sealed)
    return last, tuple(events)


def chosen(
    plan: Plan,
    progress: Progress,
    reason: str,
    status: Literal["completed", "stopped"] = "completed",
) -> Broadcasting:
    """The final evaluation: of the best round where the plan keeps it, else of the last."""
    if plan.evaluation.keep == "best" and progress.best is not None:
        progress = replace(progress, weights=progress.best.weights)
    else:
        progress = replace(progress, best=None, weights=released(progress))
    kept = {
        name: value
        for name, value in progress.memory.items()
        if name != "average" and not name.startswith(OWN)
    }
    progress = replace(progress, memory=kept)
    return Broadcasting(progress, "test", final=True, reason=reason, status=status)


def summed(scores: list[Scores], sealed: SealedScores | None = None) -> dict[str, float | None]:
    """Metrics of all hospitals' rows together, from counts alone; empty where none scored."""
    found = [(answer.histogram, answer.loss_sum) for answer in scores]
    if sealed is not None and sealed.histogram is not None:
        found.append((sealed.histogram, sealed.loss_sum))
    if not found:
        return {}
    noisy = any(answer.noise_sd > 0 for answer in scores)
    histogram = together([histogram for histogram, _ in found], noisy)
    return metrics(histogram, total_loss([loss for _, loss in found]))


def total_loss(losses: Sequence[float | None]) -> float | None:
    """Their sum; unknown where one of them was not released."""
    known = [loss for loss in losses if loss is not None]
    return sum(known) if len(known) == len(losses) else None


def by_hospital(scores: list[Scores]) -> dict[str, dict[str, float | None]]:
    return {
        answer.hospital: metrics(together([answer.histogram], answer.noise_sd > 0), answer.loss_sum)
        for answer in scores
    }


def _finish(
    state: Broadcasting, scores: list[Scores], digest: str, events: list[Event]
) -> tuple[State, tuple[Event, ...]]:
    progress = state.progress
    number = progress.best.round if progress.best is not None else progress.round
    ended = Terminated(
        progress,
        state.status,
        state.reason,
        number,
        {answer.hospital: answer.histogram for answer in scores},
        {answer.hospital: answer.loss_sum for answer in scores},
        state.sealed,
        groups={a.hospital: a.groups for a in scores if a.groups is not None},
        noise={a.hospital: a.noise_sd for a in scores if a.noise_sd > 0},
    )
    told = RunEnded(progress.run, state.status, state.reason, progress.round, number, digest)
    return ended, (*events, told)


def _gated(
    plan: Plan, state: Broadcasting, measured: Mapping[str, float | None]
) -> tuple[Progress, RoundRejected | None]:
    """The round's model, or the one before it where the round made it worse than the gate lets."""
    progress, before, loss = state.progress, state.before, measured.get("log_loss")
    if plan.evaluation.gate is None or before is None or loss is None:
        return progress, None
    lowest = progress.lowest_loss
    if lowest is None or loss <= plan.evaluation.gate * lowest:
        lowest = loss if lowest is None else min(loss, lowest)
        return replace(progress, lowest_loss=lowest), None
    kept = replace(before, round=progress.round, participation=progress.participation)
    limit = plan.evaluation.gate * lowest
    return kept, RoundRejected(progress.run, progress.round, loss, limit)


def _judged(plan: Plan, progress: Progress, measured: Mapping[str, float | None]) -> Progress:
    """Learning rate, best round and the count of evaluations without improvement."""
    rate = progress.learning_rate * plan.training.learning_rate_decay
    value = measured.get(plan.evaluation.metric)
    if not chooses_by_scores(plan) or value is None:
        return replace(progress, learning_rate=rate)
    worth = -value if plan.evaluation.metric == "log_loss" else value
    if progress.best is None or worth > progress.best.value:
        best = Best(progress.round, worth, released(progress))
        return replace(progress, learning_rate=rate, best=best, stale=0)
    stale = progress.stale + 1
    if plan.training.schedule == "plateau" and stale % plan.training.plateau_patience == 0:
        rate *= plan.training.plateau_factor
    return replace(progress, learning_rate=rate, stale=stale)


def _enough(plan: Plan, progress: Progress, change: float) -> str | None:
    """Why the run ends after this round, or nothing."""
    tolerance, patience = plan.training.tolerance, plan.evaluation.patience
    if tolerance is not None and change <= tolerance:
        return f"converged: the largest change was {change:.1e}"
    if patience is not None and progress.stale >= patience:
        return f"no better {plan.evaluation.metric} for {patience} rounds"
    if progress.round >= progress.rounds:
        return "all planned rounds are done"
    return None
