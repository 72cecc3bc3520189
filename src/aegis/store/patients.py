"""Patients as somebody has them (a CSV, dicts, columns) become the rows that a model takes.

What cannot be understood is refused with its row and column, everything at once: a column that is
not there, a word that is none of the model's categories, a number that is none. What can be
understood but should be known is a remark: a value outside the range the model was made for, a
missing value that is filled in.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib.format import read_array
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.tables.columns import decimal_mark, sorted_into, values
from aegis.tasks.tables.dialect import Dialect
from aegis.tasks.tables.reading import MISSING, Problems, Table, Words, read_table
from aegis.tasks.task import Column, Rows, Schema

MOST_REMARKS = 20
_UNREADABLE = (
    *(OSError, ValueError, EOFError, TypeError, SyntaxError, TokenError),
    *(MemoryError, OverflowError, RecursionError, LookupError),
)  # what a header comes to that is no dictionary of a small array


@dataclass(frozen=True)
class Remark:
    """``row`` counts as a spreadsheet does for files (the header is row 1), from 0 for anything
    else; ``times`` how many rows it holds for."""

    row: int
    column: str
    what: str
    times: int = 1

    def __str__(self) -> str:
        more = "" if self.times == 1 else f" (and in {self.times - 1} more rows)"
        return f"row {self.row}, column {self.column}: {self.what}{more}"


@dataclass(frozen=True)
class Patients:
    """``remarks`` holds one entry for each column and kind, with its first row."""

    rows: Rows
    places: NDArray[np.int64]
    remarks: tuple[Remark, ...]
    table: Table | None = None


def patients(given: Any, schema: Schema) -> Patients:
    """``given``: the path of a CSV, dicts (or one), a mapping of columns, or a data frame; for a
    model of images an array (n, height, width) or its .npy file. Raises ``DataError`` with every
    fault at once."""
    if schema.image is not None:
        return _images(given, schema)
    table = _table(given)
    if not len(table):
        raise DataError(f"{table.name} holds no row", "a prediction needs at least one")
    names = _names(table, schema)
    mark = decimal_mark(table) if isinstance(given, str | Path) else "."
    problems = Problems()
    inputs: dict[str, NDArray[Any]] = {}
    remarks: list[Remark] = []
    for column in schema.columns:
        theirs = names[column.name]
        if column.kind == "category" and column.categories:
            found: NDArray[Any] = sorted_into(
                table, theirs, column.categories, frozenset(), problems
            )
        else:
            found = values(table, theirs, column.kind, mark, problems)
        if column.kind == "flag":
            for row in np.flatnonzero(~np.isnan(found) & (found != 0) & (found != 1))[:1]:
                what = f"{found[row]:g} is neither 0 nor 1"
                problems.add(int(table.places[row]), theirs, what)
        inputs[column.name] = found
        remarks += _remarks(column, theirs, found, table.places)
    table.problems.refuse(table.name)
    problems.refuse(table.name)
    rows = Rows(inputs, np.zeros(len(table), dtype=np.int64))
    return Patients(rows, table.places, tuple(remarks[:MOST_REMARKS]), table)


def _images(given: Any, schema: Schema) -> Patients:
    assert schema.image is not None
    size = (schema.image.height, schema.image.width)
    images = np.asarray(_array(Path(given)) if isinstance(given, str | Path) else given)
    if images.shape == size:
        images = images[None]
    if images.dtype.kind not in "uif" or images.shape[1:] != size or not len(images):
        raise DataError(
            f"an array of the shape {images.shape} holds no images for this model",
            f"it takes grey images of {size[0]} x {size[1]} pixels: (n, {size[0]}, {size[1]})",
        )
    rows = Rows(images, np.zeros(len(images), dtype=np.int64))
    return Patients(rows, np.arange(len(images)), ())


def _array(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of headers as Python 2 wrote them
            return np.asarray(read_array(file, allow_pickle=False))
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as images ({error})",
            "a model of images takes an array, or a .npy file of one",
        ) from error


def _remarks(
    column: Column, name: str, found: NDArray[Any], places: NDArray[np.int64]
) -> Iterable[Remark]:
    if found.dtype.kind == "U":
        gone = np.flatnonzero(found == "")
        filled = f"missing; counts as {column.categories[0]}" if column.categories else "missing"
    else:
        gone = np.flatnonzero(np.isnan(found))
        filled = "missing; the average of the training data stands for it"
    if len(gone):
        yield Remark(int(places[gone[0]]), name, filled, len(gone))
    if column.kind != "number" or column.low is None or column.high is None:
        return
    with np.errstate(invalid="ignore"):
        out = np.flatnonzero((found < column.low) | (found > column.high))
    if len(out):
        unit = f" {column.unit}" if column.unit else ""
        what = f"{found[out[0]]:g} is outside {column.low:g} to {column.high:g}{unit}"
        yield Remark(int(places[out[0]]), name, f"{what}, where the model was made for", len(out))


def _names(table: Table, schema: Schema) -> dict[str, str]:
    """How each column of the model is called there; case and blanks around do not matter."""
    there: dict[str, list[str]] = {}
    for name in table.columns:
        there.setdefault(_folded(name), []).append(name)
    found, missing = {}, []
    for column in schema.columns:
        fitting = there.get(_folded(column.name), [])
        if column.name in table.columns:
            found[column.name] = column.name
        elif len(fitting) == 1:
            found[column.name] = fitting[0]
        else:
            near = get_close_matches(column.name, list(table.columns), 1, 0.7)
            missing.append(f"{column.name} (did you mean {near[0]}?)" if near else column.name)
    if missing:
        more = "" if len(missing) <= 12 else f" and {len(missing) - 12} more"
        raise DataError(
            f"{table.name} lacks {'the column' if len(missing) == 1 else 'the columns'} "
            f"{', '.join(missing[:12])}{more}",
            f"the model takes {len(schema.columns)} columns",
            "Where a value was not measured, keep the column and leave its cell empty",
        )
    return found


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _table(given: Any) -> Table:
    if isinstance(given, str | Path):
        return read_table(Path(given))
    columns: dict[str, list[Any]]
    if isinstance(given, Mapping):
        lists = {
            str(name): list(cells)
            for name, cells in given.items()
            if isinstance(cells, Sequence | np.ndarray) and not isinstance(cells, str | bytes)
        }
        columns = lists if lists else {str(name): [cell] for name, cell in given.items()}
        if lists and len(lists) != len(given):
            raise DataError("some columns are lists and some are single values", "one or the other")
    elif hasattr(given, "columns") and hasattr(given, "__getitem__"):
        columns = {str(name): list(given[name]) for name in given.columns}
    else:
        columns = _turned(given)
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"the columns have {min(lengths)} to {max(lengths)} values", "all the same")
    many = lengths.pop() if lengths else 0
    return Table(
        "the input",
        Dialect("utf-8", False, "LF"),
        {name: _words(cells) for name, cells in columns.items()},
        np.arange(many, dtype=np.int64),
        Problems(),
    )


def _turned(given: Any) -> dict[str, list[Any]]:
    try:
        records = list(given)
    except TypeError as error:
        raise _not_rows(type(given).__name__) from error
    columns: dict[str, list[Any]] = {}
    for number, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise _not_rows(f"a list of {type(record).__name__}")
        for name in record:
            columns.setdefault(str(name), [None] * number)
        for name, cells in columns.items():
            cells.append(record.get(name))
    return columns


def _not_rows(what: str) -> DataError:
    return DataError(
        f"{what} is no table",
        "a model takes the path of a CSV, a list of dicts, a mapping of columns or a data frame",
    )


def _words(cells: Sequence[Any]) -> Words:
    codes: dict[str, int] = {}
    numbers = [codes.setdefault(_word(cell), len(codes)) for cell in cells]
    return Words(tuple(codes), np.array(numbers, dtype=np.int32))


def _word(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool | np.bool_):
        return str(int(cell))
    if isinstance(cell, int | np.integer):
        return str(int(cell))
    if isinstance(cell, float | np.floating):
        number = float(cell)
        return "" if number != number else repr(number)
    word = str(cell).strip()
    return "" if word.casefold() in MISSING or word == "<NA>" else word
