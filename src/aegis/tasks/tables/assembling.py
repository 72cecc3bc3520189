"""Tables of several hospitals become one set of columns, or a diff that says why they cannot.

Names, kinds and categories are agreed for all; nothing else of one hospital's table shapes
another's. Where files differ nothing is decided silently: the difference is told, and the way on
is to say ``take: shared`` or to list the columns in ``columns.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.tables.choices import NAME, Choices
from aegis.tasks.tables.columns import (
    Kind,
    decimal_mark,
    merged,
    out_of_range,
    sorted_into,
    typed,
    values,
    without,
)
from aegis.tasks.tables.doubts import Doubt, doubts
from aegis.tasks.tables.reading import Problems, Table
from aegis.tasks.task import Column, Schema


@dataclass(frozen=True)
class Assembled:
    """``columns`` hold the values of all tables, one below the other. ``left_out`` says which
    columns are not used and why, ``problems`` belong to the tables in their order."""

    schema: Schema
    columns: Mapping[str, NDArray[Any]]
    left_out: tuple[Doubt, ...]
    problems: tuple[Problems, ...]
    differences: tuple[str, ...] = ()


def assembled(
    tables: Sequence[Table],
    choices: Choices,
    labels: NDArray[np.int64] | None,
    apart: Sequence[str] = (),
) -> Assembled:
    """The columns that are learned from; ``apart`` (label, patient) are none of them.

    Raises ``DataError`` where the tables differ and nobody decided, and where no column is left.
    """
    differing = differences(tables, apart, choices)
    kinds = _kinds(tables, apart, choices)
    if isinstance(choices.take, tuple):
        names = _taken(tables, choices.take)
    elif differing and choices.take is None:
        shared = [name for name, kind in kinds.items() if kind != "conflict"]
        raise DataError(
            "the tables differ:\n" + "\n".join(f"  {line}" for line in differing),
            "all hospitals learn from the same columns",
            f"Rename columns, or write  take: shared  to {NAME} beside them to use only "
            f"{', '.join(shared[:12])}{', ...' if len(shared) > 12 else ''}",
        )
    else:
        names = [name for name, kind in kinds.items() if kind != "conflict"]
    problems = tuple(Problems() for _ in tables)
    found: dict[str, NDArray[Any]] = {}
    columns: dict[str, Column] = {}
    left_out = [
        Doubt(name, "is left out by its owner") for name in names if name in choices.leave_out
    ]
    for name in names:
        kind = kinds[name]
        if name in choices.leave_out:
            continue
        if kind is None:
            left_out.append(Doubt(name, "is empty"))
            continue
        if kind == "conflict":
            raise DataError(f"{name} is a number at one hospital and a category at another")
        columns[name] = _column(tables, name, kind, choices)
        parts = []
        for table, faults in zip(tables, problems, strict=True):
            part = _values(table, name, kind, choices, faults)
            out_of_range(table, choices.ranges, {name: part}, faults)
            parts.append(part)
        found[name] = np.concatenate(parts)
    sure = set(choices.keep) | (set(choices.take) if isinstance(choices.take, tuple) else set())
    for doubt in doubts(found, labels):
        if doubt.column not in sure:
            left_out.append(doubt)
            del found[doubt.column]
    if not found:
        reasons = "; ".join(map(str, left_out)) or "there is no other column"
        raise DataError("no column is left to learn from", reasons)
    schema = Schema(tuple(columns[name] for name in found))
    return Assembled(schema, found, tuple(left_out), problems, tuple(differing))


def differences(tables: Sequence[Table], apart: Sequence[str], choices: Choices) -> list[str]:
    """One sentence for each column that not every table has, or has as another kind."""
    from difflib import get_close_matches

    everywhere: dict[str, None] = {}
    for table in tables:
        everywhere |= dict.fromkeys(table.columns)
    found = []
    for name in everywhere:
        without = [table for table in tables if name not in table.columns]
        for table in without:
            spare = [
                other
                for other in table.columns
                if any(other not in another.columns for another in tables)
            ]
            near = get_close_matches(name.casefold(), [s.casefold() for s in spare], 1, 0.7)
            hint = next((s for s in spare if near and s.casefold() == near[0]), None)
            found.append(
                f"{table.name} has no {name}" + (f" (its {hint} may be it)" if hint else "")
            )
        if without or name in apart:
            continue
        by_kind = {table.name: _kind(table, name, choices) for table in tables}
        if merged(by_kind.values()) == "conflict":
            told = ", ".join(f"a {kind} in {file}" for file, kind in by_kind.items() if kind)
            found.append(f"{name} is {told}")
    return found


def _values(
    table: Table, name: str, kind: Kind, choices: Choices, faults: Problems
) -> NDArray[Any]:
    absent, known = choices.absent(name), choices.columns.get(name)
    if known is not None and known.categories:
        return sorted_into(table, name, known.categories, absent, faults)
    part = values(table, name, kind, decimal_mark(table), faults)
    return without(part, table.columns[name], absent)


def _kind(table: Table, name: str, choices: Choices) -> Kind | None:
    known = choices.columns.get(name)
    if known is not None and known.categories:
        return "category"
    column = table.columns[name]
    return typed(column, decimal_mark(table), table.declared.get(name, "")).kind


def _kinds(tables: Sequence[Table], apart: Sequence[str], choices: Choices) -> dict[str, Any]:
    return {
        name: merged(_kind(table, name, choices) for table in tables)
        for name in tables[0].columns
        if name not in apart and all(name in table.columns for table in tables)
    }


def _taken(tables: Sequence[Table], take: Sequence[str]) -> list[str]:
    for name in take:
        for table in tables:
            if name not in table.columns:
                raise DataError(
                    f"{table.name} has no column {name}",
                    f"{NAME} takes {', '.join(take[:12])}",
                    "Correct the list",
                )
    return list(take)


def _column(tables: Sequence[Table], name: str, kind: Kind, choices: Choices) -> Column:
    """Categories are those that the owner names, or that every ARFF head declares alike; others
    are found in the run, as far as enough patients share them."""
    known = choices.columns.get(name)
    if kind == "flag":
        return Column(name, kind, known.description if known else "", low=0.0, high=1.0)
    words: tuple[str, ...] = known.categories if known else ()
    declared = {table.declared.get(name) for table in tables}
    if kind == "category" and not words and len(declared) == 1:
        words = declared.pop() or ()
    if known is None:
        return Column(name, kind, "", categories=words)
    numbers = (known.low, known.high) if kind == "number" else (None, None)
    return Column(
        name,
        kind,
        known.description,
        known.unit,
        *numbers,
        categories=words if kind == "category" else (),
    )
