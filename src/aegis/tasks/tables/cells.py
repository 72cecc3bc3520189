"""Rows of values, from wherever they stream, become a table of words under the limits of a file."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np

from aegis.errors import DataError
from aegis.tasks.tables.dialect import MOST_BYTES, MOST_FIELD, MOST_ROWS, Dialect
from aegis.tasks.tables.reading import BLOCK_ROWS, MISSING, Kept, Problems, Table, column_names


def word_of(value: Any) -> str:
    """A value as a CSV would spell it; "" where it is missing. Raises ``DataError`` for what is no
    single value."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "1" if value else "0"
        case int():
            return str(value)
        case float():
            return "" if value != value else repr(value)
        case Decimal():
            return "" if value.is_nan() else f"{value:f}"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            kind = type(value).__name__
            raise DataError(f"it holds {kind}", "a cell is a number, a word or a date")


def table_of(
    name: str,
    told: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    missing: Iterable[str] = (),
    problems: Problems | None = None,
    places: Sequence[int] | None = None,
) -> Table:
    """The table of these rows, which are taken one block after the other; ``told`` says where they
    come from. Rows are numbered from 1, or by ``places``. Raises ``DataError`` for more rows, bytes
    or columns than a file may have, and for cells that are no single value."""
    names = column_names(name, list(header), numeric_is_data=False)
    absent = MISSING | {marker.strip().casefold() for marker in missing}
    kept, count, size = Kept(len(names), absent), 0, 0
    for block in _blocks(rows):
        if count + len(block) > MOST_ROWS:
            raise DataError(f"{name} has more than {MOST_ROWS} rows", "a table may have so many")
        words = [_words(name, names, row, count + n) for n, row in enumerate(block, start=1)]
        size += sum(len(word) for row in words for word in row)
        if size > MOST_BYTES:
            raise DataError(
                f"{name} has more than {MOST_BYTES // 2**20} MiB",
                "a table may have so many",
                "Leave out columns that nobody needs",
            )
        kept.add(words)
        count += len(block)
    return Table(
        name,
        Dialect("", False, "", told=told),
        {title: kept.column(j) for j, title in enumerate(names)},
        np.arange(1, count + 1) if places is None else np.asarray(places, dtype=np.int64),
        problems or Problems(),
    )


def _words(name: str, names: list[str], row: Sequence[Any], number: int) -> list[str]:
    found = []
    for title, value in zip(names, row, strict=True):
        try:
            word = word_of(value)
        except DataError as error:
            raise DataError(f"{name}, row {number}, column {title}: {error}") from error
        if len(word) > MOST_FIELD:
            raise DataError(
                f"{name}, row {number}, column {title} has {len(word)} characters",
                f"a cell may have {MOST_FIELD}",
            )
        found.append(word)
    return found


def _blocks(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    going = iter(rows)
    while block := list(islice(going, BLOCK_ROWS)):
        yield block
