"""A hospital's part in sealed sums: one participant for each attempt, its answers kept before they
leave.

The protocol itself is ``aegis.secagg``; here stand the hospital's own conditions. The roster is the
one it pinned, never one that came in a message. A sum is among at least as many hospitals as the
plan's quorum, and no fewer than the policy asks for are in what is opened. Who helped to open one
sum of a round helps to open another only over the same survivors, because the difference of two
sums is a single hospital. What is asked inside is fixed, by its digest, before any key is made: who
was told of another question has other keys, and no sum with the rest.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

from aegis import codec
from aegis.errors import CheckFailed, DataError
from aegis.hospital.anchors import Anchors
from aegis.hospital.answers import Answers, Question
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster
from aegis.messages import Evaluate, Scores, Statistics, Tally, Train, Update
from aegis.messages.stages import (
    Advertise,
    Checked,
    Confirm,
    Confirmed,
    Mask,
    Masked,
    Opened,
    Purpose,
    Share,
    Stage,
    StageReply,
    Unmask,
    Unmasked,
)
from aegis.plan import Plan
from aegis.plan.sums import (
    context,
    layout,
    least_survivors,
    parts_of,
    question_sha256,
    topology,
)
from aegis.secagg.beacon import Beacon
from aegis.secagg.context import DOMAIN, LEAST
from aegis.secagg.participant import Participant


class Pinned(Protocol):
    """Name and key (32 bytes) of every hospital that counts."""

    @property
    def members(self) -> tuple[tuple[str, bytes], ...]: ...


@dataclass(frozen=True)
class Seal:
    """What a hospital brings to sealed sums. ``least``: how many hospitals its policy wants in any
    sum it helps to open. ``draw``: its part in the drawing of groups, for simulations that are to
    be repeated; without it the operating system's entropy."""

    key: SigningKey
    roster: Pinned
    answers: Answers
    least: int = LEAST
    draw: bytes | None = None


class SealedSums:
    def __init__(self, name: str, seal: Seal) -> None:
        self._name, self._seal = name, seal
        self._going: dict[tuple[str, Purpose], Participant] = {}
        self._questions: dict[tuple[str, Purpose], bytes] = {}  # what each of them is about
        self._anchors = Anchors(name, seal.draw)

    def beacon(self, run: str, plan: Plan) -> Beacon | None:
        """What this hospital commits itself to when it enrols."""
        return self._anchors.beacon(run, plan)

    def answer(self, plan: Plan, schema_sha256: str, stage: Stage) -> StageReply:
        """The reply to any stage but ``Mask``. Raises ``AegisError`` for what is refused."""
        broken = self._seal.answers.kept(_broken(stage))
        if broken is not None:
            raise DataError(
                "this hospital takes no part in the run any more",
                f"an opened sum was not the true one: {broken.decode()}",
            )
        match stage:
            case Advertise():
                return self._begin(plan, schema_sha256, stage).advertise()
            case Share():
                return self._participant(stage).share(stage)
            case Confirm():
                return self._confirm(stage)
            case Unmask():
                return self._unmask(stage)
            case Opened():
                return self._checked(stage)
            case Mask():
                raise DataError("a vector is masked when it is there")

    def kept(self, stage: Mask) -> Masked | None:
        """The masked vector that was sent already. Raises where the stage is not for this sum."""
        inner = stage.inner
        if (inner.run, inner.round, inner.plan_sha256) != (
            stage.run,
            stage.round,
            stage.plan_sha256,
        ):
            raise DataError("the question inside belongs to another round than the seal around it")
        purposes = {Train: ("train",), Statistics: ("statistics",), Evaluate: ("evaluate", "final")}
        if stage.purpose not in purposes[type(inner)]:
            raise DataError(f"a sum for {stage.purpose} does not hold {type(inner).__name__}")
        data = self._seal.answers.kept(_question(stage, "mask"))
        if data is not None:
            found: Masked = codec.loads(data, (Masked,))
            return found
        asked = len(self._participant(stage).roster.names)
        if question_sha256(inner) != self._questions[stage.run, stage.purpose]:
            raise DataError(
                "the question inside is not the one that this sum was begun for",
                "hospitals that are asked different things are in no sum together",
            )
        if not isinstance(inner, Evaluate) and inner.hospitals > asked:
            raise DataError(
                f"a question to {inner.hospitals} hospitals in a sum over {asked}",
                "each would add the noise of its share only",
            )
        return None

    def masked(self, plan: Plan, stage: Mask, reply: Update | Tally | Scores) -> Masked:
        """The reply, encoded and masked; stored before it is returned."""
        participant = self._participant(stage)
        size, control = _extent(reply)
        found = layout(stage.purpose, plan, size, control)
        participant.encoding = found.encoding
        vector = participant.mask(found.pack(parts_of(reply, plan)), stage.shares)
        commitment = participant.commitment
        assert commitment is not None
        masked = Masked(
            stage.run,
            stage.round,
            stage.attempt,
            stage.purpose,
            self._name,
            vector,
            commitment.sha256,
            commitment.signature,
        )
        self._seal.answers.keep(_question(stage, "mask"), codec.dumps(masked))
        return masked

    def _begin(self, plan: Plan, schema_sha256: str, stage: Advertise) -> Participant:
        going = self._going.get((stage.run, stage.purpose))
        at = stage.round, stage.attempt
        if going is not None:
            there = going.context.round, going.context.attempt
            same = self._questions[stage.run, stage.purpose] == stage.question
            if there == at and same and going.roster.names == tuple(sorted(stage.hospitals)):
                return going
            if there >= at:
                raise DataError(
                    f"this hospital is at attempt {there[1]} of round {there[0]} already",
                    "no attempt is begun twice",
                )
        if self._seal.answers.kept(_question(stage, "begun")) is not None:
            raise DataError("this attempt was begun before this hospital restarted")
        roster = self._chosen(plan, stage)
        beacon = self._anchors.for_sum(plan, stage)
        where = context(
            stage.run,
            stage.round,
            stage.attempt,
            stage.purpose,
            roster,
            stage.plan_sha256,
            schema_sha256,
            stage.anchors,
            stage.question,
        )
        participant = Participant(
            self._name,
            where,
            roster,
            lambda text: self._seal.key.sign(DOMAIN, text),
            topology(plan, stage.anchors),
            beacon=beacon,
            least=least_survivors(plan, len(roster.names)),
        )
        self._seal.answers.keep(_question(stage, "begun"), b"")
        self._going[stage.run, stage.purpose] = participant
        self._questions[stage.run, stage.purpose] = stage.question
        return participant

    def _chosen(self, plan: Plan, stage: Advertise) -> Roster:
        """The part of the pinned roster that is asked. Raises where it is smaller than the plan
        allows, or not part of it."""
        pinned = dict(self._seal.roster.members)
        strangers = sorted(set(stage.hospitals) - set(pinned))
        if strangers:
            raise DataError(f"{strangers[0]} is not in the roster that this hospital pinned")
        if self._name not in stage.hospitals:
            raise DataError(f"a sum without {self._name} asks nothing of it")
        # Hospitals that only score are in no sum of updates.
        least = plan.quorum(len(set(pinned) - set(plan.federated.evaluate_only)))
        if plan.federated.selection != "all":
            least = math.ceil(plan.federated.fraction_fit * least - 1e-9)
        least = max(least, self._seal.least, LEAST)
        if len(stage.hospitals) < least:
            raise DataError(
                f"a sum over {len(stage.hospitals)} hospitals",
                f"the plan and this hospital's policy ask for {least}",
            )
        return Roster(tuple((name, pinned[name]) for name in stage.hospitals))

    def _confirm(self, stage: Confirm) -> Confirmed:
        if len(stage.survivors) < self._seal.least:
            raise DataError(
                f"a sum over {len(stage.survivors)} hospitals",
                f"this hospital's policy asks for {self._seal.least}",
            )
        participant = self._participant(stage)
        earlier = self._seal.answers.opened(stage.run, stage.round, stage.purpose)
        if earlier is not None and earlier != _sums(participant.openings(stage.survivors)):
            raise DataError(
                "another sum of this round was opened over other hospitals",
                "the difference of the two would be one hospital's own",
            )
        return participant.confirm(stage)

    def _unmask(self, stage: Unmask) -> Unmasked:
        kept = self._seal.answers.kept(_question(stage, "unmask"))
        if kept is not None:
            digest, data = kept[:32], kept[32:]
            if digest != _digest(stage):
                raise DataError("a second and different request to unmask")
            found: Unmasked = codec.loads(data, (Unmasked,))
            return found
        participant = self._participant(stage)
        reply = participant.unmask(stage)
        answers = self._seal.answers
        answers.keep(_question(stage, "opened"), _sums(participant.openings(participant.survivors)))
        answers.keep(_question(stage, "unmask"), _digest(stage) + codec.dumps(reply))
        return reply

    def _checked(self, stage: Opened) -> Checked:
        """A wrong sum ends this hospital's part in the run, whatever restarts."""
        participant = self._participant(stage)
        if not participant.answered:
            raise DataError("this hospital did not stay to the end of this sum")
        try:
            return participant.check(stage)
        except CheckFailed as error:
            self._seal.answers.keep(_broken(stage), str(error).encode())
            name = stage.run, stage.round, stage.attempt, stage.purpose
            return Checked(*name, self._name, str(error))

    def _participant(self, stage: Stage) -> Participant:
        found = self._going.get((stage.run, stage.purpose))
        at = stage.round, stage.attempt
        if found is None or (found.context.round, found.context.attempt) != at:
            raise DataError(
                f"this hospital has no part in attempt {stage.attempt} of round {stage.round}",
                "it was not asked to join, or has restarted since",
            )
        return found


def _extent(reply: Update | Tally | Scores) -> tuple[int, bool]:
    match reply:
        case Update():
            return reply.vector.size, reply.control is not None
        case Tally():
            return reply.sums.size, False
        case Scores():
            return 0 if reply.groups is None else reply.groups.size, False


def _question(stage: Stage, name: str) -> Question:
    return Question(stage.run, stage.round, stage.purpose, stage.attempt, name)


def _broken(stage: Stage) -> Question:
    """One for each run: why this hospital left it."""
    return Question(stage.run, 0, "", 0, "broken")


def _digest(stage: Stage) -> bytes:
    return hashlib.sha256(codec.dumps(stage)).digest()


def _sums(groups: tuple[tuple[str, ...], ...]) -> bytes:
    return repr(groups).encode()
