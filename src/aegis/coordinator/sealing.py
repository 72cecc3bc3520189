"""Collecting in sums: where hospitals show no update of their own, the coordinator goes through the
stages of the sealed sum and steps on with what was opened.

``sealed`` puts ``Sealing`` around a state whose question leaves hospitals in a sum only. A stage
that fails counts like a round without quorum: the round is tried again, with new keys, as often as
the plan allows. What was opened is shown to the hospitals, who check it against a checksum that the
coordinator cannot make; one doubt and the sum is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.groups import size as group_counts
from aegis.coordinator import closing
from aegis.coordinator.asking import inquiry
from aegis.coordinator.joining import asks_words, summed_statistics, tally_length
from aegis.coordinator.rounds import NORM_LIMIT, aggregating, combine
from aegis.coordinator.study import Step, Study
from aegis.coordinator.validation import fault_of_sealed_scores
from aegis.errors import DataError, RunAborted
from aegis.evaluation.classes import shape
from aegis.events import Event, HospitalAbsent, ReplyQuarantined, SumOpened
from aegis.identity.roster import Roster
from aegis.messages import Answer, Enrolled, Request, Vector
from aegis.messages.stages import Purpose
from aegis.plan.sums import (
    Layout,
    context,
    layout,
    least_survivors,
    question_sha256,
    topology,
)
from aegis.privacy.dpgd import change
from aegis.secagg import Aborted, Opening, begin, doubts, requests
from aegis.secagg import step as advanced
from aegis.secagg.context import LEAST
from aegis.secagg.sums import Advertising, Answers, Inner
from aegis.states import (
    CHECK_HOSPITALS,
    Broadcasting,
    Collecting,
    Failed,
    RoundSetup,
    SealedScores,
    Sealing,
    State,
    Tallying,
)


def sealed(study: Study, state: State) -> State:
    """The state, inside ``Sealing`` where its answers come in a sum only."""
    if study.plan.trust == "open":
        return state
    match state:
        case Tallying() if not asks_words(study, state):
            found = _layout(study, state)
            names = tuple(h.hospital for h in state.hospitals)
            return _begun(study, state, state.run, 0, "statistics", names, state.hospitals, found)
        case Collecting(progress=progress):
            found = _layout(study, state)
            number, names = progress.round + 1, state.asked
            hospitals = progress.hospitals
            return _begun(study, state, progress.run, number, "train", names, hospitals, found)
        case Broadcasting(progress=progress, sealed=None) if _due(study, state):
            names = _summed(progress.hospitals)
            if not names:
                return state
            if len(names) < LEAST:
                reason = f"{len(names)} hospitals share sums only, and a sum needs {LEAST}"
                return replace(state, sealed=SealedScores(names, None, None, reason))
            purpose: Purpose = "final" if state.final else "evaluate"
            found = _layout(study, state)
            hospitals = progress.hospitals
            return _begun(
                study, state, progress.run, progress.round, purpose, names, hospitals, found
            )
        case _:
            return state


def begins(state: Sealing) -> bool:
    """Whether nobody was asked for this sum yet."""
    return isinstance(state.combiner, Advertising)


def stage_requests(state: Sealing, inner: Mapping[str, Request]) -> Mapping[str, Request]:
    """What the stage asks; ``inner`` is what the state inside would ask."""
    return requests(state.combiner, cast(Mapping[str, Inner], inner))


def open_sums(study: Study, state: Sealing, answers: Mapping[str, Answer]) -> Step:
    """One stage further."""
    replies = cast(Answers, answers)
    if isinstance(state.combiner, Opening):
        return _checked(study, state, state.combiner, replies)
    found = advanced(state.combiner, replies)
    if isinstance(found, Aborted):
        return _again(study, state, found.reason, list(_blamed(state, found.blamed)))
    if isinstance(found, Opening):
        run, round = _place(state.of)
        about = found.sum.context
        digests = {name: digest.hex() for name, (digest, _) in found.commitments.items()}
        signed = {name: signature.hex() for name, (_, signature) in found.commitments.items()}
        sizes = tuple(len(group.survivors) for group in found.groups)
        told = SumOpened(
            run,
            round,
            about.purpose,
            found.survivors,
            sizes,
            digests,
            signed,
            about.attempt,
            about.roster_sha256,
            about.schema_sha256,
        )
        return Step(replace(state, combiner=found), (told,))
    return Step(replace(state, combiner=found))


def _checked(study: Study, state: Sealing, opening: Opening, answers: Answers) -> Step:
    doubted = doubts(opening, answers)
    events = list(_blamed(state, (*opening.blamed, *doubted)))
    if doubted:
        name, why = doubted[0]
        return _again(study, state, f"{name} found the opened sum wrong: {why}", events)
    try:
        parts = [_layout(study, state.of).unpack(group.vector) for group in opening.groups]
    except DataError as error:
        return _again(study, state, str(error), events)
    survivors = opening.survivors
    match state.of:
        case Tallying() as tallying:
            total = np.add.reduce([part["sums"] for part in parts])
            return summed_statistics(study, tallying, survivors, total, events)
        case Collecting() as collecting:
            _absent(state, collecting.asked, survivors, events)
            return _combined(study, state, collecting, opening, parts, events)
        case Broadcasting() as broadcasting:
            histogram = np.add.reduce([part["histogram"] for part in parts])
            counts = histogram.reshape(shape(study.plan.model.num_classes)).astype(np.int64)
            loss = float(sum(part["loss"][0] for part in parts))
            groups = None
            if "groups" in parts[0]:
                groups = np.add.reduce([part["groups"] for part in parts]).astype(np.int64)
            scores = SealedScores(survivors, counts, loss, groups=groups)
            fault = fault_of_sealed_scores(
                scores, broadcasting.progress.hospitals, broadcasting.part, study.plan
            )
            if fault is not None:
                return _again(study, state, fault, events)
            return Step(replace(broadcasting, sealed=scores), tuple(events))


def _combined(
    study: Study,
    state: Sealing,
    collecting: Collecting,
    opening: Opening,
    parts: list[dict[str, NDArray[np.float64]]],
    events: list[Event],
) -> Step:
    """The gates of a sum, then the rule: over the groups' means, or over the one mean there is."""
    progress = collecting.progress
    examples = np.array([part["examples"][0] for part in parts])
    enrolled = {h.hospital: h.examples for h in progress.hospitals}
    known = [sum(enrolled[name] for name in group.survivors) for group in opening.groups]
    if not ((examples > 0) & (examples <= known)).all():
        reason = f"the sum claims {examples.sum():.0f} examples, enrolled were {sum(known)}"
        return _again(study, state, reason, events)
    memory: Mapping[str, Vector] = {}
    if study.private:
        rate, rows = progress.learning_rate, int(examples.sum())
        combined: Vector = change(np.add.reduce([p["update"] for p in parts]), rate, rows)
    else:
        means = np.stack([part["update"] for part in parts]) / examples[:, None]
        groups = tuple(" + ".join(sorted(group.survivors)) for group in opening.groups)
        try:
            made, flags = combine(study, progress, groups, means, examples)
        except RunAborted as error:
            return _again(study, state, str(error), events)
        combined, memory = made.vector, made.memory
        events += flags
    norm = float(np.linalg.norm(combined))
    if not norm <= NORM_LIMIT:
        reason = f"the length of the mean change is {norm:.3g}, above {NORM_LIMIT:.3g}"
        return _again(study, state, reason, events)
    control = None
    if "control" in parts[0]:
        # Hospitals that sat out keep their variate: the mean change counts for their share only.
        control = np.add.reduce([p["control"] for p in parts]) / sum(enrolled.values())
    names = tuple(name for name in collecting.asked if name in opening.survivors)
    total = int(examples.sum())
    like = study.contribution(study.model(progress.preparation))
    combined = combined.astype(like.dtype) if combined.shape == like.shape else combined
    return aggregating(study, collecting, names, combined, total, control, events, memory)


def _again(study: Study, state: Sealing, reason: str, events: list[Event]) -> Step:
    """Another attempt, as often as the plan allows; then the run fails, or the scores are left
    out."""
    run, round = _place(state.of)
    of, last = state.of, state.of.attempt >= study.plan.federated.attempts
    if isinstance(of, Broadcasting):
        if last:
            scores = of.known or SealedScores(_summed(of.progress.hospitals), None, None, reason)
            return Step(replace(of, sealed=scores), tuple(events))
        return Step(replace(of, attempt=of.attempt + 1), tuple(events))
    if not last:
        if isinstance(of, Collecting):
            return Step(RoundSetup(of.progress, of.attempt + 1), tuple(events))
        return Step(replace(of, attempt=of.attempt + 1), tuple(events))
    where = f"round {round}" if round else "the statistics round"
    progress = of.progress if isinstance(of, Collecting) else None
    why: dict[str, str] = {}
    for event in events:
        if isinstance(event, ReplyQuarantined):
            why.setdefault(event.reason, event.hospital)
    said = "; ".join(f"{name}: {text}" for text, name in list(why.items())[:3])
    whole = f"the sealed sum of {where} failed: {reason}{f' ({said})' if said else ''}"
    return Step(
        Failed(run, whole, CHECK_HOSPITALS, progress), (*events, closing.aborted(run, whole))
    )


def _begun(
    study: Study,
    state: Tallying | Collecting | Broadcasting,
    run: str,
    round: int,
    purpose: Purpose,
    names: tuple[str, ...],
    hospitals: tuple[Enrolled, ...],
    found: Layout,
) -> Sealing:
    there = {h.hospital: h for h in hospitals}
    roster = Roster(tuple((name, bytes.fromhex(there[name].identity)) for name in names))
    anchors = {name: there[name].anchor for name in names if there[name].anchor}
    question = question_sha256(inquiry(study, state)[names[0]])  # one and the same for all
    where = context(
        run,
        round,
        state.attempt,
        purpose,
        roster,
        study.sha256,
        study.schema.sha256,
        anchors,
        question,
    )
    least = least_survivors(study.plan, len(names))
    length = found.encoding.size
    sharing = topology(study.plan, anchors)
    begun = begin(where, roster, sharing, length=length, least=least, question=question)
    return Sealing(state, begun)


def _layout(study: Study, state: Tallying | Collecting | Broadcasting) -> Layout:
    plan = study.plan
    match state:
        case Tallying():
            return layout("statistics", plan, tally_length(study, state))
        case Collecting(progress=progress):
            size = len(study.contribution(study.model(progress.preparation)))
            return layout("train", plan, size, plan.server.optimizer == "scaffold")
        case Broadcasting():
            return layout("evaluate", plan, group_counts(study.groupings) if state.final else 0)


def _due(study: Study, state: Broadcasting) -> bool:
    return state.final or closing.due(study.plan, state.progress)


def _summed(hospitals: tuple[Enrolled, ...]) -> tuple[str, ...]:
    return tuple(h.hospital for h in hospitals if h.scores == "summed")


def _place(state: Tallying | Collecting | Broadcasting) -> tuple[str, int]:
    match state:
        case Tallying(run=run):
            return run, 0
        case Collecting(progress=progress):
            return progress.run, progress.round + 1
        case Broadcasting(progress=progress):
            return progress.run, progress.round


def _blamed(state: Sealing, blamed: tuple[tuple[str, str], ...]) -> Iterator[Event]:
    run, round = _place(state.of)
    return (ReplyQuarantined(run, round, name, why) for name, why in blamed)


def _absent(
    state: Sealing, asked: tuple[str, ...], survivors: tuple[str, ...], events: list[Event]
) -> None:
    run, round = _place(state.of)
    named = {event.hospital for event in events if isinstance(event, ReplyQuarantined)}
    for name in asked:
        if name not in survivors and name not in named:
            events.append(HospitalAbsent(run, round, name, "it fell silent before the sum"))
