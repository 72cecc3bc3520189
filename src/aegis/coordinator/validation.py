"""Is this answer one to count? A reply that is not is named and set aside; it never stops a round.

Checked against what was asked and what was enrolled: kind, run and round, who sent it, shape, type
of number, finite values, length of the update, an example count no larger than the enrolled one.
"""

from __future__ import annotations

import math

import numpy as np

from aegis.evaluation.classes import fault_of_counts as fault_of_scored
from aegis.events import Event, HospitalAbsent, ReplyQuarantined
from aegis.messages import (
    WITHHELD,
    Absence,
    Answer,
    Counts,
    Enrolled,
    Refusal,
    Scores,
    Tally,
    Update,
    Vector,
)

MOST_PATIENTS = 2**40


def fault_of_update(
    answer: Answer, enrolled: Enrolled, run: str, round: int, like: Vector, norm_limit: float
) -> str | None:
    """Why this answer to ``Train`` cannot be counted, or nothing. ``like`` has the shape and type
    that the plan fixes."""
    if (fault := _misplaced(answer, enrolled, run, round)) is not None:
        return fault
    if not isinstance(answer, Update):
        return f"sent {type(answer).__name__} where an update was asked for"
    for what, vector in (("update", answer.vector), ("control variate", answer.control)):
        if vector is None:
            continue
        if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype.kind != "f":
            return f"the {what} is not a vector of floating-point numbers"
        if what == "update" and (vector.shape != like.shape or vector.dtype != like.dtype):
            return (
                f"the {what} has {vector.shape[0]} numbers of {vector.dtype},"
                f" the plan fixes {like.shape[0]} of {like.dtype}"
            )
        if not np.isfinite(vector).all():
            return f"the {what} holds a number that is not finite"
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(answer.vector.astype(np.float64, copy=False)))
    if norm > norm_limit:
        return f"the update's length is {norm:.3g}, above the limit of {norm_limit:.3g}"
    if not 0 < answer.examples <= enrolled.examples:
        return f"it claims {answer.examples} examples, enrolled were {enrolled.examples}"
    return None


def fault_of_tally(
    answer: Answer, enrolled: Enrolled, run: str, length: int | None, noisy: bool = False
) -> str | None:
    """``length`` is None while only words were asked for; ``noisy`` sums count no rows."""
    if (fault := _misplaced(answer, enrolled, run, 0)) is not None:
        return fault
    if not isinstance(answer, Tally):
        return f"sent {type(answer).__name__} where statistics were asked for"
    if length is None:
        return None
    if answer.sums.shape != (length,):
        return f"the statistics have {answer.sums.size} sums, the schema fixes {length}"
    if not np.isfinite(answer.sums).all():
        return "the statistics hold a number that is not finite"
    if not noisy and not 0 <= answer.sums[0] <= enrolled.examples:
        return f"it counts {answer.sums[0]:g} rows, enrolled were {enrolled.examples}"
    return None


def fault_of_scores(
    answer: Answer,
    enrolled: Enrolled,
    run: str,
    round: int,
    group_counts: int = 0,
    classes: int = 2,
) -> str | None:
    if (fault := _misplaced(answer, enrolled, run, round)) is not None:
        return fault
    if not isinstance(answer, Scores):
        return f"sent {type(answer).__name__} where scores were asked for"
    fault = fault_of_scored(answer.histogram, classes, answer.examples)
    if fault is not None:
        return fault
    if answer.loss_sum is not None and not np.isfinite(answer.loss_sum):
        return "the summed loss is not finite"
    if not 0 <= answer.noise_sd <= MOST_PATIENTS:
        return f"it claims noise of {answer.noise_sd:g} patients in its counts"
    if (groups := answer.groups) is not None:
        if groups.shape != (group_counts,) or groups.dtype != np.int64:
            return f"the counts by group are not {group_counts} whole numbers"
        if ((groups < 0) | (groups > MOST_PATIENTS * 2**20)).any():
            return "the counts by group hold a number that cannot be"
    return None


def fault_of_counts(
    answer: Answer, enrolled: Enrolled, run: str, shape: tuple[int, ...]
) -> str | None:
    if (fault := _misplaced(answer, enrolled, run, 0)) is not None:
        return fault
    if not isinstance(answer, Counts):
        return f"sent {type(answer).__name__} where counts were asked for"
    cells = answer.cells
    if not isinstance(cells, np.ndarray) or cells.shape != shape or cells.dtype != np.int64:
        return f"the counts are not {shape} whole numbers"
    if not (math.isfinite(answer.noise_sd) and answer.noise_sd >= 0 and answer.minimum_cell >= 1):
        return "the counts claim noise or a minimum cell that cannot be"
    if ((cells > MOST_PATIENTS) | (cells < -MOST_PATIENTS)).any():
        return f"a cell counts more than {MOST_PATIENTS} patients"
    if answer.noise_sd == 0 and ((cells < 0) & (cells != WITHHELD)).any():
        return "a count without noise is below 0"
    return None


def set_aside(run: str, round: int, answer: Answer, hospital: str, fault: str) -> Event:
    match answer:
        case Absence(reason=reason):
            return HospitalAbsent(run, round, hospital, reason)
        case Refusal(reason=reason):
            return HospitalAbsent(run, round, hospital, f"refused: {reason}")
        case _:
            return ReplyQuarantined(run, round, hospital, fault)


def _misplaced(answer: Answer, enrolled: Enrolled, run: str, round: int) -> str | None:
    if isinstance(answer, Absence):
        return answer.reason
    if answer.hospital != enrolled.hospital:
        return f"the answer is signed {answer.hospital}"
    if (answer.run, answer.round) != (run, round):
        return f"the answer belongs to round {answer.round} of {answer.run}"
    return None
