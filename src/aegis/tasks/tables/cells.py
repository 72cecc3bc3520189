"""Rows of values, from wherever they stream, become a table of words under the limits of a file."""

from __future__ import annotations

import datetime
from array import array
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np

from aegis.errors import DataError
from aegis.tasks.tables.dialect import MOST_BYTES, MOST_FIELD, MOST_ROWS, Dialect
from aegis.tasks.tables.reading import (
    BLOCK_ROWS,
    MISSING,
    Book,
    Problems,
    Table,
    Words,
    column_names,
)


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


class _Spelled(dict[Any, int]):
    """The code of a value; how it is spelled is found out once."""

    def __init__(self, absent: frozenset[str]) -> None:
        super().__init__()
        self.book = Book(absent)
        self.size = 0

    def __missing__(self, value: Any) -> int:
        word = word_of(value)
        if len(word) > MOST_FIELD:
            raise DataError(f"it has {len(word)} characters", f"a cell may have {MOST_FIELD}")
        self.size += len(word)
        code = self[value] = self.book[word]
        return code


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
    spelled, codes = [_Spelled(absent) for _ in names], [array("i") for _ in names]
    count = 0
    for block in _blocks(rows):
        if count + len(block) > MOST_ROWS:
            raise DataError(f"{name} has more than {MOST_ROWS} rows", "a table may have so many")
        for title, words, column, cells in zip(
            names, spelled, codes, zip(*block, strict=True), strict=True
        ):
            try:
                column.extend(map(words.__getitem__, cells))
            except (DataError, TypeError) as error:
                row = len(column) + 1  # those before it are in
                raise DataError(f"{name}, row {row}, column {title}: {_why(error)}") from error
        count += len(block)
        # As a file of this table would have them: each cell with its separator.
        if sum(words.size for words in spelled) + count * len(names) > MOST_BYTES:
            raise DataError(
                f"{name} has more than {MOST_BYTES // 2**20} MiB",
                "a table may have so many",
                "Leave out columns that nobody needs",
            )
    return Table(
        name,
        Dialect("", False, "", told=told),
        {
            title: Words(tuple(words.book.words), np.frombuffer(column, dtype=np.int32))
            for title, words, column in zip(names, spelled, codes, strict=True)
        },
        np.arange(1, count + 1) if places is None else np.asarray(places, dtype=np.int64),
        problems or Problems(),
    )


def _why(error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    return "it holds a list; a cell is a number, a word or a date"  # what no dictionary takes


def _blocks(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    going = iter(rows)
    while block := list(islice(going, BLOCK_ROWS)):
        yield block
