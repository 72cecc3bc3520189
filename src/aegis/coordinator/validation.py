"""Is this answer one to count? A reply that is not is named and set aside; it never stops a round.

Checked against what was asked and what was enrolled: kind, run and round, who sent it, shape, type
of number, finite values, length of the update, an example count no larger than the enrolled one.

Of scores nothing is taken that no honest hospital could send: the test rows are as many as it
enrolled with, no count is above its rows (and ten standard deviations of its noise, where it
enrolled to add some), no row loses more than ``evaluation.histogram`` counts. Noise that would
drown what a hospital has to tell is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.groups import PER_HOSPITAL, STEP
from aegis.evaluation.classes import examples_of
from aegis.evaluation.classes import fault_of_counts as fault_of_scored
from aegis.evaluation.histogram import WIDEST
from aegis.evaluation.whole import MOST_PER_ROW
from aegis.events import Event, HospitalAbsent, ReplyQuarantined
from aegis.messages import (
    WITHHELD,
    Absence,
    Answer,
    Counts,
    Enrolled,
    Part,
    Refusal,
    Scores,
    Tally,
    Update,
    Vector,
)
from aegis.plan import Plan
from aegis.states import SealedScores

MOST_PATIENTS = 2**40
LEAST_NOISE, MOST_NOISE = 0.1, 2.0**20
REACH = 10  # how many standard deviations noise may lie off: none of ours does


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
    part: Part = "test",
    validation: float = 0.0,
) -> str | None:
    """``validation`` is the share of rows that the plan sets aside for choosing."""
    if (fault := _misplaced(answer, enrolled, run, round)) is not None:
        return fault
    if not isinstance(answer, Scores):
        return f"sent {type(answer).__name__} where scores were asked for"
    rows = _most_scored(enrolled, part, validation)
    if (fault := _fault_of_noise(answer, enrolled, rows)) is not None:
        return fault
    noisy = answer.noise_sd > 0
    most = rows + (2 * math.ceil(REACH * answer.noise_sd) if noisy else 0)
    if part == "test" and answer.examples != rows:
        return f"it scores {answer.examples} test rows, enrolled were {rows}"
    if not noisy and not 0 <= answer.examples <= rows:
        return f"it scores {answer.examples} rows, {rows} are the most that it can have"
    fault = fault_of_scored(answer.histogram, classes, answer.examples, most, noisy)
    if fault is not None:
        return fault
    if (loss := answer.loss_sum) is not None:
        if noisy:
            return "it tells an exact loss beside noisy counts"
        if (fault := _fault_of_loss(loss, answer.examples)) is not None:
            return fault
    if (groups := answer.groups) is not None:
        if groups.shape != (group_counts,) or groups.dtype != np.int64:
            return f"the counts by group are not {group_counts} whole numbers"
        counts, own = groups[:-PER_HOSPITAL], groups[-PER_HOSPITAL:]
        # Noise of groups is larger than that of the scores, by a root of twice the attributes.
        widest = math.ceil((rows + REACH * REACH * answer.noise_sd) / STEP)
        least = -widest if noisy else 0
        if ((counts < least) | (counts > widest)).any() or not _is_one_hospital(own):
            return "the counts by group hold a number that cannot be"
    return None


def fault_of_sealed_scores(
    scores: SealedScores, enrolled: Sequence[Enrolled], part: Part, plan: Plan
) -> str | None:
    """Why an opened sum cannot be of its hospitals' exact scores, or nothing: it hides who put what
    in, so that only the whole can be held against what they enrolled with."""
    assert scores.histogram is not None
    assert scores.loss_sum is not None
    classes, validation = plan.model.num_classes, plan.data.validation_fraction
    hospitals = [one for one in enrolled if one.hospital in scores.hospitals]
    rows = sum(_most_scored(one, part, validation) for one in hospitals)
    found = examples_of(scores.histogram)
    if found > rows or (part == "test" and found != rows):
        return f"the sum counts {found} scored rows, enrolled were {rows}"
    fault = fault_of_scored(scores.histogram, classes, found, rows)
    fault = fault or _fault_of_loss(scores.loss_sum, found)
    if fault is None and scores.groups is not None:
        most = max(rows, len(hospitals)) / STEP
        if ((scores.groups < 0) | (scores.groups > most)).any():
            return "the counts by group hold a number that cannot be"
    return fault


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


def _most_scored(enrolled: Enrolled, part: Part, validation: float) -> int:
    """How many rows it can score; of validation rows, whose number it did not tell, generously."""
    if part == "test":
        return enrolled.held_out
    others = enrolled.examples + enrolled.held_out
    return 100 + math.ceil(others * max(1.0, 2 * validation / (1 - validation)))


def _fault_of_noise(answer: Scores, enrolled: Enrolled, rows: int) -> str | None:
    sd = answer.noise_sd
    if enrolled.scores != "noisy":
        return None if sd == 0 else f"it enrolled to share scores {enrolled.scores}, and adds noise"
    if not LEAST_NOISE <= sd <= MOST_NOISE:
        return f"it claims noise of {sd:g} patients in its counts"
    if sd > MOST_PER_ROW * rows:
        return f"its noise of {sd:g} patients leaves nothing to be told of {rows} rows"
    return None


def _fault_of_loss(loss_sum: float, rows: int) -> str | None:
    if not 0 <= loss_sum <= rows * WIDEST * (1 + 1e-6):
        return f"the summed loss of {rows} rows is {loss_sum:g}"
    return None


def _is_one_hospital(own: NDArray[np.int64]) -> bool:
    """Its number, accuracy and squared accuracy, as ``aegis.assurance.groups`` lays them out."""
    counted, *shares = own.tolist()
    return counted in (0, 1) and all(0 <= share <= counted / STEP for share in shares)


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
