"""Accuracy by group inside each hospital that shows its counts. Small cells are withheld, and the
others that would give them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.groups import Group, groups_from_counts
from aegis.evaluation.intervals import wilson
from aegis.report.suppression import Cell, suppress
from aegis.tasks.groups import UNKNOWN, Grouping

MOST_WITHIN = 50
Counts = NDArray[np.int64]


def within_hospitals(
    groupings: Sequence[Grouping], by_hospital: Mapping[str, Counts], minimum: int
) -> list[dict[str, Any]]:
    """Accuracy by group inside each hospital that shows its counts; small cells withheld."""
    if not 1 < len(by_hospital) <= MOST_WITHIN:
        return []
    found = []
    inside = {name: groups_from_counts(groupings, c) for name, c in by_hospital.items()}
    for grouping in groupings:
        table = {name: groups[grouping.attribute] for name, groups in inside.items()}
        if all(group.name == UNKNOWN or not group.examples
               for groups in table.values() for group in groups):  # fmt: skip
            continue
        # A group without a patient anywhere is known to be empty: it could hide nothing.
        filled = [at for at in range(len(grouping.labels))
                  if any(groups[at].examples for groups in table.values())]  # fmt: skip
        table = {name: tuple(groups[at] for at in filled) for name, groups in table.items()}
        cells = np.array([[g.examples for g in groups] for groups in table.values()]).T
        large = cells.sum(axis=0) >= minimum
        status = np.full(cells.shape, Cell.SMALL, dtype=np.int8)
        if large.any():
            kept = cells[:, large]
            rest = cells[:, ~large].sum(axis=1, keepdims=True)
            unseen = (kept.shape[1],) if rest.any() else ()
            parts = [kept, rest] if rest.any() else [kept]
            full = np.hstack([*parts, cells.sum(axis=1, keepdims=True)])
            status[:, large] = suppress(full, minimum, unseen)[:, : kept.shape[1]]
        found.append(
            {
                "attribute": grouping.attribute,
                "title": grouping.title,
                "hospitals": [
                    {"hospital": name, "groups": _cells(groups, status[:, at])}
                    for at, (name, groups) in enumerate(table.items())
                ],
            }
        )
    return found


def _cells(groups: Sequence[Group], status: NDArray[np.int8]) -> list[dict[str, Any]]:
    return [
        {
            "group": group.name,
            "accuracy": share(group.right, group.examples) if mark == Cell.SHOWN else None,
        }
        for group, mark in zip(groups, status, strict=True)
    ]


def share(successes: int, trials: int) -> dict[str, Any] | None:
    if not trials:
        return None
    return {"value": successes / trials, "of": trials, "ci95": list(wilson(successes, trials))}
