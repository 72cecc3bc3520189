"""What a hospital counts for fairness: one flat vector of whole numbers, which adds up.

For each group of each attribute five numbers: the four kinds of patient (well or ill, called well
or ill), and the sum of the predicted chances; then three about the hospital as a whole: whether it
tested enough patients to be counted, its accuracy, and the square of it. All are integers (chances
and accuracies in steps of 2^-20), so that vectors of hospitals can be added inside a sealed sum,
and the sum says how the groups fare and how far accuracies vary between hospitals without telling
of any single hospital. The layout is public: it follows from the plan and the schema alone.

Where more than two classes are told apart, everybody counts as ill and whoever is called the right
class as called ill, so that accuracies stay what they are; no chance is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.evaluation.classes import called
from aegis.tasks.groups import Grouping
from aegis.tasks.preparation import MINIMUM_CELL

STEP = 2.0**-20
KINDS = ("called well, is well", "called ill, is well", "called well, is ill", "called ill, is ill")
PER_GROUP = len(KINDS) + 1
PER_HOSPITAL = 3

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """One group of patients as a model met them. ``chances`` is the sum of the predicted chances,
    None where it is not known."""

    name: str
    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int
    chances: float | None = None

    @property
    def examples(self) -> int:
        return self.negatives + self.positives

    @property
    def negatives(self) -> int:
        return self.true_negatives + self.false_positives

    @property
    def positives(self) -> int:
        return self.false_negatives + self.true_positives

    @property
    def called(self) -> int:
        """How many are called ill."""
        return self.false_positives + self.true_positives

    @property
    def right(self) -> int:
        return self.true_negatives + self.true_positives


@dataclass(frozen=True)
class Spread:
    """How accuracies vary between hospitals, each counting the same."""

    hospitals: int
    mean: float
    variance: float


def size(groupings: Sequence[Grouping]) -> int:
    """How many numbers a hospital's vector holds."""
    return PER_GROUP * sum(len(g.labels) for g in groupings) + PER_HOSPITAL


def layout(groupings: Sequence[Grouping]) -> list[tuple[str, str, str]]:
    """(attribute, group, what) of each number."""
    found = [
        (grouping.attribute, label, what)
        for grouping in groupings
        for label in grouping.labels
        for what in (*KINDS, "sum of chances")
    ]
    return found + [("", "", what) for what in ("hospitals", "accuracies", "squared accuracies")]


def group_counts(
    places: Sequence[NDArray[np.intp]],
    groupings: Sequence[Grouping],
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    minimum: int = MINIMUM_CELL,
) -> Counts:
    """The vector (size,), int64, of rows with these ``logits`` and ``labels`` (n,); ``places`` are
    the group numbers (n,) of each grouping; ``logits`` may be (n, K). Under ``minimum`` rows the
    hospital's accuracy is not counted. Sensitive: exact; what leaves is the policy's word."""
    z = np.asarray(logits, dtype=np.float64)
    correct = called(z) == labels
    if z.ndim == 1:
        kind = 2 * labels + (z >= 0)
        chance = np.rint(0.5 * (1 + np.tanh(0.5 * z)) / STEP).astype(np.int64)
    else:
        kind = 2 + correct
        chance = np.zeros(len(labels), dtype=np.int64)
    parts: list[Counts] = []
    for grouping, place in zip(groupings, places, strict=True):
        groups = len(grouping.labels)
        cells = np.zeros((groups, PER_GROUP), dtype=np.int64)
        tallied = np.bincount(place * len(KINDS) + kind, minlength=groups * len(KINDS))
        cells[:, : len(KINDS)] = tallied.reshape(groups, len(KINDS))
        np.add.at(cells[:, -1], place, chance)
        parts.append(cells.ravel())
    return np.concatenate([*parts, hospital_counts(int(correct.sum()), len(labels), minimum)])


def hospital_counts(right: int, examples: int, minimum: int = MINIMUM_CELL) -> Counts:
    """The last three numbers of a hospital with so many right answers."""
    if examples < minimum:
        return np.zeros(PER_HOSPITAL, dtype=np.int64)
    accuracy = right / examples
    values = (1, round(accuracy / STEP), round(accuracy * accuracy / STEP))
    return np.array(values, dtype=np.int64)


def groups_from_counts(
    groupings: Sequence[Grouping], counts: Counts
) -> dict[str, tuple[Group, ...]]:
    """The groups of each attribute, from a vector or a sum of vectors. Noise may have left less
    than nobody: that is nobody. Raises ``DataError`` for a vector of another layout."""
    if counts.shape != (size(groupings),):
        raise DataError(
            f"the counts by group are {counts.shape}", f"this plan lays out ({size(groupings)},)"
        )
    found: dict[str, tuple[Group, ...]] = {}
    at = 0
    for grouping in groupings:
        groups = []
        for label in grouping.labels:
            tn, fp, fn, tp, chances = (max(int(n), 0) for n in counts[at : at + PER_GROUP])
            groups.append(Group(label, tn, fp, fn, tp, chances * STEP))
            at += PER_GROUP
        found[grouping.attribute] = tuple(groups)
    return found


def spread_from_counts(groupings: Sequence[Grouping], counts: Counts) -> Spread | None:
    """How accuracies vary between the hospitals in this sum; None where fewer than two count."""
    hospitals, accuracies, squares = (int(n) for n in counts[size(groupings) - PER_HOSPITAL :])
    if hospitals < 2:
        return None
    mean = accuracies * STEP / hospitals
    variance = max(squares * STEP / hospitals - mean * mean, 0.0)
    return Spread(hospitals, mean, variance)


def spread_of(hospitals: Sequence[Group]) -> Spread | None:
    """How accuracies vary between these hospitals; None where there are fewer than two."""
    if len(hospitals) < 2:
        return None
    found = np.array([group.right / group.examples for group in hospitals])
    return Spread(len(found), float(found.mean()), float(found.var()))
