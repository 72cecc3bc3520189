"""Table 1 from sums: who the patients are, overall and by hospital, small cells hidden.

It is made from the same summed tallies that standardisation follows from (``slots`` of
tasks.preparation), so no row is needed. A number is said as mean (sd), a flag or category as
n (% of all patients: a share of the known ones would tell how many are missing). A column that
misses values anywhere, which the model's inputs tell already, has a row for them. Counts under the
minimum read ``fewer than 10``; ``withheld`` hides what would give one of them back. A hospital with
fewer patients than that has no figures at all, and shares this fate with at least one other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.report.suppression import Cell, suppress
from aegis.report.wording import NBSP
from aegis.tasks.preparation import MINIMUM_CELL, slots
from aegis.tasks.task import Column, Schema

WITHHELD = "withheld"
MOST_CLASSES = 12
Sums = NDArray[np.floating]


@dataclass(frozen=True)
class _Groups:
    """One matrix of sums, a column each: printed hospitals, the merged rest, overall."""

    names: tuple[str, ...]
    sums: NDArray[np.float64]
    unseen: tuple[int, ...]
    at: Mapping[tuple[str, str], int]
    minimum: int

    def of(self, column: str, what: str) -> NDArray[np.int64]:
        whole: NDArray[np.int64] = np.rint(
            np.maximum(self.sums[self.at[column, what]], 0.0)
        ).astype(np.int64)
        return whole

    @property
    def rows(self) -> NDArray[np.int64]:
        return self.of("", "rows")


def table_one(
    schema: Schema,
    overall_sums: Sums,
    sums_by_hospital: Mapping[str, Sums] | None,
    minimum_cell: int = MINIMUM_CELL,
    outcome: str = "Outcome present",
) -> dict[str, Any]:
    """The result's ``table_one``: ``hospitals``, ``rows`` of ``label, overall, by_hospital``, and
    ``notes``.

    Vectors are laid out as ``slots(schema)``. ``sums_by_hospital`` is None where the coordinator
    saw only the sum; what the hospitals named do not add up to counts as one more, unnamed.
    Raises ``DataError`` where a vector does not fit the schema.
    """
    layout = slots(schema)
    hospitals = dict(sums_by_hospital or {})
    for name, sums in (("all hospitals", overall_sums), *hospitals.items()):
        if np.shape(sums) != (len(layout),):
            raise DataError(
                f"the sums of {name} have the shape {np.shape(sums)}",
                f"this schema needs ({len(layout)},)",
            )
    at = {slot: index for index, slot in enumerate(layout)}
    total = np.asarray(overall_sums, dtype=np.float64)
    fewer = f"fewer than {minimum_cell}"
    if total[at["", "rows"]] < minimum_cell:
        return {"hospitals": [], "rows": [], "notes": [f"{fewer} patients: nothing is shown"]}
    shown = _large_enough(total, hospitals, at["", "rows"], minimum_cell)
    groups = _grouped(total, hospitals, shown, at, minimum_cell)
    hidden = [name for name in hospitals if name not in shown]

    def row(label: str, cells: Sequence[str]) -> dict[str, Any]:
        by_name = dict(zip(groups.names, cells, strict=False))
        return {
            "label": label,
            "overall": cells[-1],
            "by_hospital": [by_name.get(name, WITHHELD) for name in hospitals],
        }

    rows = [row("Patients", [f"{n:,}" for n in groups.rows])]
    if schema.classes:
        rows += [row(label, cells) for label, cells in _classes(groups, schema.classes)]
    else:
        rows += [row(outcome, cells) for _, cells in _flag(groups, "", outcome, positive=True)]
    for column in schema.columns:
        rows += [row(label, cells) for label, cells in _column(groups, column)]
    notes = [
        "Mean (standard deviation) of the known values for numbers, n (% of all patients) "
        "otherwise.",
        f"Counts below {minimum_cell} read “{fewer}”; “{WITHHELD}” hides what "
        "would give one of them back.",
    ]
    if hidden:
        notes.append(
            f"{len(hidden)} of {len(hospitals)} hospitals have no figures of their own, because "
            f"one of them holds {fewer} patients."
        )
    return {"hospitals": list(hospitals), "rows": rows, "notes": notes}


def _large_enough(
    total: Sums, hospitals: Mapping[str, Sums], rows: int, minimum: int
) -> tuple[str, ...]:
    """Hospitals with figures of their own. The others, with whoever is not named, are two at least
    and hold enough patients together."""
    by_size = sorted(hospitals, key=lambda name: float(hospitals[name][rows]))
    unnamed = float(total[rows]) - sum(float(sums[rows]) for sums in hospitals.values())
    sizes = [unnamed] if unnamed > 0.5 else []
    for place, name in enumerate(by_size):
        size = float(hospitals[name][rows])
        safe = not sizes or min(sizes) >= minimum or (len(sizes) > 1 and sum(sizes) >= minimum)
        if size >= minimum and safe:
            return tuple(name for name in hospitals if name in by_size[place:])
        sizes.append(size)
    return ()


def _grouped(
    total: NDArray[np.float64],
    hospitals: Mapping[str, Sums],
    shown: tuple[str, ...],
    at: Mapping[tuple[str, str], int],
    minimum: int,
) -> _Groups:
    own = [np.asarray(hospitals[name], dtype=np.float64) for name in shown]
    rest = total - np.sum(own, axis=0) if own else total.copy()
    columns, unseen = [*own], tuple[int, ...]()
    if not own or rest[at["", "rows"]] > 0.5:
        unseen = (len(columns),)
        columns.append(rest)
    return _Groups(shown, np.stack([*columns, total], axis=1), unseen, at, minimum)


def _column(groups: _Groups, column: Column) -> list[tuple[str, list[str]]]:
    text = column.description or column.name
    label = text[:1].upper() + text[1:]
    if column.kind == "category":
        return _category(groups, column, label)
    if column.kind == "flag":
        return _flag(groups, column.name, label)
    unit = f", {column.unit}" if column.unit else ""
    return _number(groups, column.name, f"{label}{unit}")


def _number(groups: _Groups, name: str, label: str) -> list[tuple[str, list[str]]]:
    present, missing = groups.of(name, "count"), groups.of(name, "missing")
    found = [(label, _means(groups, name, present))]
    if missing[-1] > 0:
        status = suppress(np.stack([present, missing]), groups.minimum, groups.unseen)
        found.append((f"{label}: missing", _cells(groups, missing, status[1])))
    return found


def _flag(
    groups: _Groups, name: str, label: str, *, positive: bool = False
) -> list[tuple[str, list[str]]]:
    if positive:
        yes, missing = groups.of("", "positive"), np.zeros_like(groups.rows)
    else:
        yes, missing = groups.of(name, "sum"), groups.of(name, "missing")
    no = np.maximum(groups.rows - missing - yes, 0)
    parts = [yes, no] if missing[-1] == 0 else [yes, no, missing]
    status = suppress(np.stack(parts), groups.minimum, groups.unseen)
    cells = _cells(groups, yes, status[0])
    if len(parts) == 2:
        return [(label, _all_but(groups, cells, status))]
    return [(label, cells), (f"{label}: missing", _cells(groups, missing, status[2]))]


def _all_but(groups: _Groups, cells: list[str], status: NDArray[np.int8]) -> list[str]:
    """Without missing values, hiding a large count because its opposite is small can say so."""
    return [
        (
            f"all but fewer than {groups.minimum}"
            if yes == Cell.WITHHELD and no == Cell.SMALL
            else text
        )
        for text, yes, no in zip(cells, status[0], status[1], strict=True)
    ]


def _classes(groups: _Groups, names: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """How many patients of each class; of very many classes the table would be nothing else."""
    if len(names) > MOST_CLASSES:
        return []
    counts = [groups.of("", f"={name}") for name in names]
    status = suppress(np.stack(counts), groups.minimum, groups.unseen)
    return [
        (name, _cells(groups, n, marks))
        for name, n, marks in zip(names, counts, status, strict=True)
    ]


def _category(groups: _Groups, column: Column, label: str) -> list[tuple[str, list[str]]]:
    counts = [groups.of(column.name, f"={value}") for value in column.categories]
    missing = groups.of(column.name, "missing")
    other = np.maximum(groups.rows - missing - np.sum(counts, axis=0, dtype=np.int64), 0)
    parts = {f"{label}: {value}": n for value, n in zip(column.categories, counts, strict=True)}
    if other[-1] > 0:
        parts[f"{label}: other values"] = other
    if missing[-1] > 0:
        parts[f"{label}: missing"] = missing
    if not parts:
        return []
    status = suppress(np.stack(list(parts.values())), groups.minimum, groups.unseen)
    return [
        (text, _cells(groups, n, marks))
        for (text, n), marks in zip(parts.items(), status, strict=True)
    ]


def _cells(groups: _Groups, counts: NDArray[np.int64], status: NDArray[np.int8]) -> list[str]:
    text = {Cell.SMALL: f"fewer than {groups.minimum}", Cell.WITHHELD: WITHHELD}
    return [
        text[Cell(mark)] if mark else f"{n:,} ({100 * n / max(base, 1):.1f}{NBSP}%)"
        for n, base, mark in zip(counts, groups.rows, status, strict=True)
    ]


def _means(groups: _Groups, name: str, present: NDArray[np.int64]) -> list[str]:
    """Mean (sd) by group; a group with too few values takes the next smallest with it, so that
    the overall mean cannot be taken apart."""
    sums = groups.sums[groups.at[name, "sum"]]
    squares = groups.sums[groups.at[name, "squares"]]
    printed = [g for g in range(len(present) - 1) if g not in groups.unseen]
    hidden = [*groups.unseen, *(g for g in printed if present[g] < groups.minimum)]
    for g in sorted(set(printed) - set(hidden), key=lambda g: (int(present[g]), g)):
        few = any(present[h] < groups.minimum for h in hidden)
        together = sum(int(present[h]) for h in hidden)
        if not few or (len(hidden) > 1 and together >= groups.minimum):
            break
        hidden.append(g)
    cells = []
    for g in range(len(present)):
        if present[g] < groups.minimum:
            cells.append(f"fewer than {groups.minimum} values")
        elif g in hidden:
            cells.append(WITHHELD)
        else:
            mean = sums[g] / present[g]
            cells.append(mean_sd(mean, math.sqrt(max(squares[g] / present[g] - mean * mean, 0.0))))
    return cells


def mean_sd(mean: float, sd: float) -> str:
    """Two digits of the spread decide how many decimals both have."""
    decimals = 1 if sd <= 0 else min(6, max(0, 1 - math.floor(math.log10(sd))))
    return f"{mean:,.{decimals}f} ({sd:,.{decimals}f})"
