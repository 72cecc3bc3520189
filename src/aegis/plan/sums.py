"""What goes into a sealed sum: named slots of public size, bound and scale for each question.

Coordinator and hospital work the layout out for themselves, from the plan and the model's size.
Numbers travel as whole multiples of a power of two, so that the sum is exact. A network's update,
times its examples, takes one slot of 2^-24 each; where every digit counts (linear models, sums,
losses) a number takes two slots, its multiples of 2^-10 up to 2^40 and the rest down to 2^-60. What
the noise rule sends lies on the grid of the noise and stays there to the last bit. Up to 256
hospitals of a million rows fit into the ring of 2^64 whatever they send; beyond its bound nothing
leaves a hospital.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis import codec
from aegis.errors import DataError
from aegis.evaluation.classes import shape
from aegis.identity.roster import Roster
from aegis.messages import Evaluate, Scores, Statistics, Tally, Train, Update
from aegis.messages.stages import Purpose, Ring
from aegis.plan.plan import Plan, follows_noise_rule
from aegis.secagg.context import LEAST, Context, framed, threshold
from aegis.secagg.encoding import Encoding, Slot
from aegis.secagg.topology import Topology, complete, groups

MOST_HOSPITALS = 256
MOST_ROWS = 2**20
WIDEST = 2.0**40
SPLIT = 10  # bits after the point of a wide number's upper slot
FINEST = 60
NOISY_BOUND = 2.0**27
NETWORK_BOUND = 2.0**6 * MOST_ROWS
GRID_BITS = 24

Values: TypeAlias = Mapping[str, NDArray[np.float64]]
Question: TypeAlias = Train | Statistics | Evaluate


@dataclass(frozen=True)
class Layout:
    """``wide`` names the parts that take two slots."""

    encoding: Encoding
    wide: frozenset[str]

    def pack(self, values: Values) -> Ring:
        """The ring vector of these parts. Raises ``DataError`` where one is beyond its bound."""
        slots: dict[str, NDArray[np.float64]] = {}
        for name, value in values.items():
            if name not in self.wide:
                slots[name] = value
                continue
            if not (np.abs(value) <= WIDEST).all():
                raise DataError(
                    f"a number of the {name} is not finite or beyond {WIDEST:.0e}",
                    "a sealed sum has a public bound",
                    "Check the data, or lower the learning rate",
                )
            upper = np.floor(value * 2.0**SPLIT) * 2.0**-SPLIT
            slots[name], slots[_rest(name)] = upper, value - upper
        return self.encoding.encode(slots)

    def unpack(self, total: Ring) -> dict[str, NDArray[np.float64]]:
        """The parts of an opened sum."""
        slots = dict(self.encoding.decode(total))
        for name in self.wide:
            slots[name] = slots[name] + slots.pop(_rest(name))
        return slots


def layout(purpose: Purpose, plan: Plan, size: int, control: bool = False) -> Layout:
    """``size`` is the length of an update or of a tally; ``control``: SCAFFOLD's variate with it.
    A histogram has its own size."""
    rows = Slot("examples", 1, MOST_ROWS, 0)
    noisy = follows_noise_rule(plan)
    match purpose:
        case "train" if noisy:
            slots, wide = [Slot("update", size, NOISY_BOUND, GRID_BITS)], []
        case "train" if plan.model.name == "logistic":
            slots, wide = [], [("update", size), *([("control", size)] if control else [])]
        case "train":
            names = ("update", "control") if control else ("update",)
            slots, wide = [Slot(name, size, NETWORK_BOUND, GRID_BITS) for name in names], []
        case "statistics" if noisy:
            slots, wide = [Slot("sums", size, NOISY_BOUND, GRID_BITS)], []
        case "statistics":
            slots, wide = [], [("sums", size)]
        case "evaluate" | "final":
            counts = math.prod(shape(plan.model.num_classes))
            slots, wide = [Slot("histogram", counts, MOST_ROWS, 0)], [("loss", 1)]
            if size:
                # A row adds at most 2^20 to a number: chances are counted in steps of 2^-20.
                slots.append(Slot("groups", size, MOST_ROWS * 2**20, 0))
    for name, length in wide:
        slots += [
            Slot(name, length, WIDEST, SPLIT),
            Slot(_rest(name), length, 2.0**-SPLIT, FINEST),
        ]
    encoding = Encoding((rows, *slots), MOST_HOSPITALS)
    return Layout(encoding, frozenset(name for name, _ in wide))


def topology(plan: Plan, anchors: Mapping[str, bytes]) -> Topology:
    """Who masks with whom."""
    if plan.trust != "grouped":
        return complete()
    return groups(LEAST, anchors, plan.federated.attempts)


def context(
    run: str,
    round: int,
    attempt: int,
    purpose: Purpose,
    roster: Roster,
    plan_sha256: str,
    schema_sha256: str,
    anchors: Mapping[str, bytes],
    question: bytes,
) -> Context:
    """The name of one attempt at one sum. The anchors and the digest of the question are part of
    it, so that hospitals that were shown different ones find no common sum: of a sum in which only
    one hospital was sent the true model, and all others one that teaches nothing, the coordinator
    could read that one's update (Pasquini, Francati and Ateniese, CCS 2022)."""
    digest = hashlib.sha256(schema_sha256.encode())
    digest.update(framed(question))
    for name in sorted(anchors):
        digest.update(framed(name, anchors[name]))
    return Context(run, round, attempt, purpose, roster.sha256, plan_sha256, digest.hexdigest())


_last: tuple[Question, bytes] | None = None


def question_sha256(question: Question) -> bytes:
    """What an ``Advertise`` says of it. All hospitals of one process are asked with one and the
    same value, so the last one is remembered."""
    global _last
    last = _last
    if last is not None and last[0] is question:
        return last[1]
    found = codec.sha256(question)
    _last = question, found
    return found


def least_survivors(plan: Plan, asked: int) -> int:
    """How many of ``asked`` hospitals must be in a sum that is opened."""
    return max(threshold(asked), min(plan.quorum(asked), asked))


def parts_of(reply: Update | Tally | Scores, plan: Plan) -> dict[str, NDArray[np.float64]]:
    """What a hospital's reply puts into the sum: updates times their examples."""
    examples = np.array([reply.examples], dtype=np.float64)
    match reply:
        case Update():
            times = 1.0 if follows_noise_rule(plan) else float(reply.examples)
            found = {"update": reply.vector.astype(np.float64) * times}
            if reply.control is not None:
                found["control"] = reply.control.astype(np.float64) * reply.examples
        case Tally():
            found = {"sums": reply.sums.astype(np.float64)}
        case Scores():
            if reply.loss_sum is None:
                raise DataError("scores with noise have no place in an exact sum")
            found = {
                "histogram": reply.histogram.astype(np.float64).ravel(),
                "loss": np.array([reply.loss_sum]),
            }
            if reply.groups is not None:
                found["groups"] = reply.groups.astype(np.float64).ravel()
    return {"examples": examples, **found}


def _rest(name: str) -> str:
    return f"{name}.rest"
