"""What the page shows of more than two classes: a table by class, and the confusion matrix as a
picture. Everything comes from the result's ``classes``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.tables import Table
from aegis.report.wording import (
    FEWER,
    NBSP,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    score,
    sequence,
)

FOLDED = 12  # longer tables are shown on demand
NUMBERED = 20  # of more classes the picture has numbers in place of shares
LEAST_SHADE = 0.12


@dataclass(frozen=True)
class Cell:
    """One square of the picture: ``shade`` is an opacity, ``right`` whether it is on the diagonal,
    ``said`` what stands in it."""

    column: int
    row: int
    shade: float
    right: bool
    said: str


@dataclass(frozen=True)
class Confusion:
    """``side`` squares each way; ``described`` for those who do not see it."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    described: str


@dataclass(frozen=True)
class ClassesPart:
    table: Table
    confusion: Confusion | None
    mixed_up: tuple[str, ...]
    folded: bool = False


def classes_part(result: Mapping[str, Any]) -> ClassesPart | None:
    found = mapping(result.get("classes"))
    if not found:
        return None
    rows = [mapping(row) for row in sequence(found.get("classes"))]
    names = [str(row.get("name", "unnamed")) for row in rows]
    matrix = [
        [number(v) or 0.0 for v in sequence(line)] for line in sequence(found.get("confusion"))
    ]
    return ClassesPart(
        _table(found, rows),
        _picture(names, matrix) if matrix else None,
        _mixed_up(names, matrix),
        len(rows) > FOLDED,
    )


def _table(found: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Table:
    least = number(found.get("minimum_cell")) or 0
    lines: list[tuple[str, ...]] = [
        (
            f"{place}. {row.get('name', 'unnamed')}",
            f"{number(row.get('examples')) or 0:,.0f}",
            _share(row.get("recall")),
            _maybe(row.get("top_3"), percent, "three classes or fewer"),
            _maybe(row.get("precision"), percent, "nothing was called so"),
            _maybe(row.get("auc"), score, "no bins were released"),
        )
        for place, row in enumerate(rows, 1)
    ]
    rarer = mapping(found.get("rarer"))
    if rarer:
        n = number(rarer.get("examples"))
        lines.append(
            (
                (
                    "One rarer class"
                    if rarer.get("classes") == 1
                    else f"{number(rarer.get('classes')) or 0:.0f} rarer classes together"
                ),
                FEWER if n is None else f"{n:,.0f}",
                "withheld" if n is None else _share(rarer.get("recall")),
                *["withheld"] * 3,
            )
        )
    note = (
        f"A class with fewer than {least:.0f} test rows has no line of its own."
        if least > 1
        else ""
    )
    return Table(
        f"The shared model by class, with 95{NBSP}% intervals",
        (
            ("Class", False),
            ("Test rows", True),
            ("Called so, of those that are (recall)", True),
            ("Among the first three", True),
            ("Right, of those called so (precision)", True),
            ("AUC against the rest", True),
        ),
        tuple(lines),
        note,
    )


def _share(found: Any) -> str:
    value, pair = number(mapping(found).get("value")), interval_of(found, "value")
    if value is None:
        return "n/a: not released"
    return f"{percent(value)} ({interval(pair)})"


def _maybe(value: Any, said: Callable[[float], str], why: str) -> str:
    found = number(value)
    return f"n/a: {why}" if found is None else said(found)


def _picture(names: list[str], matrix: list[list[float]]) -> Confusion:
    few = len(names) <= NUMBERED
    cells = tuple(
        Cell(
            column,
            row,
            round(LEAST_SHADE + (1 - LEAST_SHADE) * share, 3),
            column == row,
            f"{100 * share:.0f}" if few else "",
        )
        for row, line in enumerate(matrix)
        for column, share in enumerate(line)
        if share > 0
    )
    labels = tuple(str(place) for place in range(1, len(names) + 1))
    others = any(line[-1] > 0 for line in matrix)
    right = sum(line[row] for row, line in enumerate(matrix)) / len(matrix)
    described = (
        f"{len(names)} classes. A line for what rows are, a column for what they are called; on "
        f"average over classes {percent(right)} stand on the diagonal."
    )
    return Confusion(
        labels,
        (*labels, "other") if others else labels,
        cells,
        described,
    )


def _mixed_up(names: list[str], matrix: list[list[float]], most: int = 5) -> tuple[str, ...]:
    """The errors that take the largest share of a class, in words."""
    wrong = sorted(
        (
            (share, row, column)
            for row, line in enumerate(matrix)
            for column, share in enumerate(line[:-1])
            if share > 0 and row != column
        ),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    return tuple(
        f"{percent(share)} of {names[row]} are called {names[column]}"
        for share, row, column in wrong[:most]
    )
