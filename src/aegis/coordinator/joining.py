"""Before the first round: who takes part, and the statistics that preparation follows from."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Mapping
from dataclasses import replace

import numpy as np

from aegis.coordinator import closing
from aegis.coordinator.study import Step, Study, failed, nothing_to_learn_from
from aegis.coordinator.validation import fault_of_tally, set_aside
from aegis.errors import AegisError
from aegis.events import (
    Event,
    HospitalAbsent,
    HospitalJoined,
    ReplyQuarantined,
    StatisticsReleased,
)
from aegis.identity.keys import PublicKey
from aegis.messages import (
    Absence,
    Answer,
    Enrolled,
    Refusal,
    Tally,
    Vector,
)
from aegis.plan.plan import counts_are_fixed
from aegis.privacy.dpgd import Standardisation
from aegis.states import (
    Failed,
    Progress,
    Registration,
    RoundSetup,
    State,
    Tallying,
)
from aegis.tasks.bounded import Bounded, public_preparation
from aegis.tasks.networks import FOR_IMAGES
from aegis.tasks.pixels import Pixels
from aegis.tasks.preparation import Preparation, slots, with_vocabulary

MOST_ROWS = 10**9  # of one hospital; sums of a thousand of them are exact, also in steps of 2^-20


def register(study: Study, state: Registration, answers: Mapping[str, Answer]) -> Step:
    events: list[HospitalJoined | HospitalAbsent | ReplyQuarantined] = []
    enrolled, most = list(state.enrolled), study.plan.federated.num_clients
    for name in state.invited:
        match answers.get(name):
            case Enrolled() as reply:
                fault = _fault(study, reply, name, state.run, enrolled)
                if fault is not None:
                    events.append(ReplyQuarantined(state.run, 0, name, fault))
                    continue
                if len(enrolled) >= most:
                    reason = f"the plan counts {most} hospitals, and as many are there"
                    events.append(HospitalAbsent(state.run, 0, name, reason))
                    continue
                enrolled.append(reply)
                events.append(_joined(reply))
            case Refusal(reason=reason) | Absence(reason=reason):
                events.append(HospitalAbsent(state.run, 0, name, reason))
            case _:
                pass
    there = tuple(sorted(enrolled, key=lambda e: state.invited.index(e.hospital)))
    needed = study.plan.quorum(min(len(state.invited), most))
    if len(there) >= needed:
        return Step(_after_registration(study, state, there), tuple(events))
    why = {e.hospital: e.reason for e in events if not isinstance(e, HospitalJoined)}
    missing = [
        f"{name}: {why[name]}" if name in why else name
        for name in sorted(set(state.invited) - {e.hospital for e in there})
    ]
    if state.attempt >= study.plan.federated.attempts:
        lost = Failed(
            state.run,
            f"{len(there)} of {len(state.invited)} hospitals joined, the quorum is {needed}"
            f" (missing: {_list(missing)})",
            "Start the missing hospitals, let people there approve the plan that waits, "
            "or lower federated.quorum; then start the run again",
        )
        return Step(lost, (*events, closing.aborted(state.run, lost.reason)))
    waiting = replace(state, enrolled=there, attempt=state.attempt + 1)
    return Step(waiting, tuple(events))


def newcomers(study: Study, state: RoundSetup, there: Collection[str]) -> tuple[str, ...]:
    """Who is there and takes no part yet, where the plan lets hospitals join between two rounds:
    one whose noise and number of rounds follow from those that began does not."""
    if counts_are_fixed(study.plan):
        return ()
    known = {hospital.hospital for hospital in state.progress.hospitals}
    if len(known) >= study.plan.federated.num_clients:
        return ()  # one more than the plan counts, and every hospital refuses the round
    return tuple(sorted(set(there) - known))


def admit(study: Study, state: RoundSetup, answers: Mapping[str, Answer]) -> Step:
    """With the newcomers that enrolled; from this round on they take part."""
    progress = state.progress
    events: list[Event] = []
    there = list(progress.hospitals)
    known = {hospital.hospital for hospital in there}
    for name, answer in sorted(answers.items()):
        if name in known or not isinstance(answer, Enrolled):
            continue
        fault = _fault(study, answer, name, progress.run, there)
        if fault is not None:
            events.append(ReplyQuarantined(progress.run, progress.round + 1, name, fault))
        elif len(there) < study.plan.federated.num_clients:
            there.append(answer)
            events.append(_joined(answer))
    joined = replace(progress, hospitals=tuple(there))
    return Step(replace(state, progress=joined), tuple(events))


def _fault(
    study: Study, reply: Enrolled, name: str, run: str, there: Collection[Enrolled]
) -> str | None:
    """Why this enrolment cannot be counted on: what one hospital makes up must not end the run."""
    if reply.schema_sha256 != study.schema.sha256:
        return "its table does not have the columns of this task"
    if (reply.hospital, reply.run) != (name, run):
        return "its enrolment is not sound"
    if not (0 <= reply.examples <= MOST_ROWS and 0 <= reply.held_out <= MOST_ROWS):
        return f"it says that it has {reply.examples} and {reply.held_out} rows"
    if not 0 < reply.resources < math.inf:
        return f"it declares resources of {reply.resources}"
    if not reply.identity:
        return None if study.plan.effective_trust == "open" else "it has no key for sealed sums"
    try:
        key = PublicKey(bytes.fromhex(reply.identity))
    except (AegisError, ValueError):
        return "its public key is none"
    if any(other.identity == key.hex for other in there if other.hospital != name):
        return "its public key is another hospital's"
    return None


def _joined(reply: Enrolled) -> HospitalJoined:
    return HospitalJoined(
        reply.run,
        reply.hospital,
        reply.examples,
        reply.held_out,
        reply.policy_sha256,
        reply.approval,
    )


def _after_registration(
    study: Study, state: Registration, hospitals: tuple[Enrolled, ...]
) -> State:
    if state.start is not None:
        weights = state.start.weights
        return RoundSetup(_begin(study, state.run, hospitals, state.start.preparation, weights))
    if study.private:
        if study.schedule(hospitals).statistics:
            return Tallying(state.run, hospitals)
        bounded = public_preparation(study.schema, True).to_json()
        return RoundSetup(_begin(study, state.run, hospitals, bounded, None))
    plan = study.plan
    if plan.training.local_odds:
        return Tallying(state.run, hospitals)  # of images only how many there are, and of the ill
    if plan.data.standardize == "none" or study.schema.image is not None:
        pixels = plan.model.name in FOR_IMAGES
        public = public_preparation(study.schema, plan.privacy.enabled, pixels).to_json()
        return RoundSetup(_begin(study, state.run, hospitals, public, None))
    return Tallying(state.run, hospitals)


def sum_statistics(study: Study, state: Tallying, answers: Mapping[str, Answer]) -> Step:
    asking_words = asks_words(study, state)
    length = None if asking_words else tally_length(study, state)
    events: list[Event] = []
    tallies: list[Tally] = []
    for hospital in state.hospitals:
        answer = answers.get(hospital.hospital, Absence(hospital.hospital, "no answer"))
        fault = fault_of_tally(answer, hospital, state.run, length, study.private)
        if fault is None and isinstance(answer, Tally):
            tallies.append(answer)
        else:
            events.append(set_aside(state.run, 0, answer, hospital.hospital, fault or ""))
    needed = study.quorum(len(state.hospitals), len(state.hospitals))
    if len(tallies) < needed:
        if state.attempt < study.plan.federated.attempts:
            return Step(replace(state, attempt=state.attempt + 1), tuple(events))
        return failed(state.run, "the statistics round", len(tallies), needed, events)
    if asking_words:
        words: dict[str, set[str]] = {}
        for answer in tallies:
            for column, values in answer.vocabulary.items():
                words.setdefault(column, set()).update(values)
        found = {column: tuple(sorted(values)) for column, values in sorted(words.items())}
        return Step(replace(state, vocabulary=found, attempt=1), tuple(events))
    total = np.add.reduce([answer.sums for answer in tallies], axis=0)
    kept = {answer.hospital for answer in tallies}
    return summed_statistics(study, state, kept, total, events)


def summed_statistics(
    study: Study, state: Tallying, kept: Container[str], total: Vector, events: list[Event]
) -> Step:
    """What follows from the sum of the tallies of the hospitals in ``kept``."""
    schema = with_vocabulary(study.schema, state.vocabulary or {})
    hospitals = tuple(h for h in state.hospitals if h.hospital in kept)
    if study.private:
        bounded = _standardised(study, state.hospitals, hospitals, total)
        rows = sum(h.examples for h in hospitals)
        events.append(StatisticsReleased(state.run, len(hospitals), rows, bounded.sha256))
        begun = _begin(study, state.run, hospitals, bounded.to_json(), None)
        return Step(RoundSetup(begun), tuple(events))
    if not total[0] > 0:
        return nothing_to_learn_from(state.run, events)
    rows = int(total[0])
    if schema.image is not None:
        odds = Pixels.of(schema.image, float(total[0]), float(total[1]))
        events.append(StatisticsReleased(state.run, len(hospitals), rows, odds.sha256))
        return Step(
            RoundSetup(_begin(study, state.run, hospitals, odds.to_json(), None)), tuple(events)
        )
    preparation = Preparation.from_tally(schema, np.asarray(total, dtype=np.float64))
    events.append(StatisticsReleased(state.run, len(hospitals), rows, preparation.sha256))
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
    rate, rounds = study.plan.training.learning_rate, study.plan.federated.num_rounds
    if study.private:
        planned = study.schedule(hospitals)
        rate, rounds = planned.learning_rate, planned.rounds
        memory = {**memory, "average": np.zeros(model.size)}
    assert rate is not None
    assert rounds is not None
    return Progress(run, 0, hospitals, preparation, weights, rate, rounds, memory)


def asks_words(study: Study, state: Tallying) -> bool:
    """Whether the question is for words only, which no sum can hide."""
    return state.vocabulary is None and study.open_words and not study.private


def tally_length(study: Study, state: Tallying) -> int:
    """How many sums the statistics round asks for."""
    schema = with_vocabulary(study.schema, state.vocabulary or {})
    return 2 * len(Bounded.of(schema).features) if study.private else len(slots(schema))


def _standardised(
    study: Study, asked: tuple[Enrolled, ...], there: tuple[Enrolled, ...], total: Vector
) -> Bounded:
    """Means and deviations as far as the noise of all that answered lets them be told."""
    planned = study.schedule(asked)
    noise = planned.statistics_sd * planned.share(len(asked)) * math.sqrt(len(there))
    examples = sum(hospital.examples for hospital in there)
    found = Standardisation.from_sums(np.asarray(total, dtype=np.float64), examples, noise)
    return Bounded.of(study.schema).standardised(found.mean, found.sd)


def _list(names: list[str], most: int = 8) -> str:
    shown = "; ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
