"""A file becomes words: stray blanks gone, missing markers one thing, every cell with its place.

Columns are kept as dictionaries (each distinct word once, a code per row), so a million rows of
three diagnoses cost four bytes each. What is wrong with single cells or rows is collected with row
and column; the row is the one that a spreadsheet shows, the header being row 1. Nothing here knows
what a column means.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.tables import arff
from aegis.tasks.tables.dialect import (
    MOST_COLUMNS,
    MOST_FIELD,
    MOST_ROWS,
    Dialect,
    opened,
    sniff,
)

MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "nan", "null", "."})
SHOWN = 20
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Problem:
    """``row`` as a spreadsheet counts, None for a whole column; ``column`` "" for a whole row."""

    row: int | None
    column: str
    what: str

    def __str__(self) -> str:
        place = [f"row {self.row}"] if self.row is not None else []
        place += [f"column {self.column}"] if self.column else []
        return f"{', '.join(place)}: {self.what}" if place else self.what


@dataclass
class Problems:
    """The first twenty, and how many there are in all."""

    first: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, row: int | None, column: str, what: str, times: int = 1) -> None:
        self.count += times
        if len(self.first) < SHOWN:
            self.first.append(Problem(row, column, what))

    def refuse(self, name: str) -> None:
        """Raises ``DataError`` that lists the first ones, where there are any."""
        if not self.count:
            return
        more = self.count - len(self.first)
        listed = "\n".join(f"  {problem}" for problem in self.first)
        listed += f"\n  and {more} more" if more > 0 else ""
        times = "one problem" if self.count == 1 else f"{self.count} problems"
        raise DataError(f"{name} has {times}:\n{listed}")


@dataclass(frozen=True)
class Words:
    """A column: ``codes`` (n,) point into ``words``, whose "" is a missing value."""

    words: tuple[str, ...]
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def counts(self) -> NDArray[np.int64]:
        return np.bincount(self.codes, minlength=len(self.words))

    def rows_of(self, code: int) -> NDArray[np.intp]:
        return np.flatnonzero(self.codes == code)

    def spelled(self) -> NDArray[np.str_]:
        """(n,) text."""
        return np.array(self.words or ("",), dtype=np.str_)[self.codes]


@dataclass(frozen=True)
class Table:
    """``places`` (n,) are the rows' numbers in the file. ``declared`` holds the kinds of an ARFF
    file: None for a number, else its categories."""

    name: str
    dialect: Dialect
    columns: dict[str, Words]
    places: NDArray[np.int64]
    problems: Problems
    declared: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)


def read_table(path: Path, missing: Iterable[str] = ()) -> Table:
    """The words of a CSV or ARFF file; ``missing`` are more markers of missing values.

    Raises ``DataError`` for what is no table: binary, too large, without a header, with two
    columns of one name, with an open quotation mark. Rows of the wrong length are ``problems``.
    """
    dialect = sniff(path)
    absent = MISSING | {marker.strip().casefold() for marker in missing}
    with opened(path, dialect) as file:
        try:
            return _read(path.name, dialect, file, absent)
        except csv.Error as error:
            raise DataError(
                f"{path.name} cannot be read as a table ({error})",
                way_out="Look for a quotation mark that is opened and not closed",
            ) from error
        except UnicodeError as error:
            raise DataError(f"{path.name} is not {dialect.encoding} throughout") from error


def _read(name: str, dialect: Dialect, file: TextIO, absent: frozenset[str]) -> Table:
    declared: dict[str, tuple[str, ...] | None] = {}
    text: Iterator[str] = file
    if dialect.arff:
        header, declared, records, above = arff.begin(name, text)
    else:
        for _ in range(dialect.preamble):
            next(text, "")
        above = dialect.preamble
        records = csv.reader(text, delimiter=dialect.separator, strict=True)
        header, blank = _first(records)
        above += blank + 1
    names = column_names(name, header, numeric_is_data=not dialect.arff)
    kept = Kept(len(names), absent)
    problems = Problems()
    places, width = array("q"), len(names)
    block: list[list[str]] = []
    for row, cells in enumerate(records, start=above + 1):
        whole = "".join(cells)
        if not whole or whole.isspace():
            continue
        if len(cells) != width and (len(cells) < width or "".join(cells[width:]).strip()):
            problems.add(row, "", f"{len(cells)} cells, the header has {width}")
            continue
        if len(places) >= MOST_ROWS:
            raise DataError(f"{name} has more than {MOST_ROWS} rows", "a table may have so many")
        if len(whole) > MOST_FIELD:
            _refuse_long(name, row, names, cells)
        places.append(row)
        block.append(cells)
        if len(block) == BLOCK_ROWS:
            kept.add(block)
            block.clear()
    kept.add(block)
    columns = {
        title: words
        for j, title in enumerate(names)
        if not _is_unnamed_and_empty(header, j, words := kept.column(j))
    }
    return Table(name, dialect, columns, np.frombuffer(places, dtype=np.int64), problems, declared)


class Book(dict[str, int]):
    """The code of a cell as it stands in the file; what it means is looked up once."""

    def __init__(self, absent: frozenset[str]) -> None:
        super().__init__()
        self.absent = absent
        self.words: dict[str, int] = {}

    def __missing__(self, cell: str) -> int:
        word = cell.strip()
        word = "" if word.casefold() in self.absent else word
        code = self[cell] = self.words.setdefault(word, len(self.words))
        return code


class Kept:
    def __init__(self, columns: int, absent: frozenset[str]) -> None:
        self.books = [Book(absent) for _ in range(columns)]
        self.codes = [array("i") for _ in range(columns)]

    def add(self, block: list[list[str]]) -> None:
        """Rows in one go, column by column; cells behind the last column are empty."""
        for book, codes, cells in zip(
            self.books, self.codes, zip(*block, strict=False), strict=False
        ):
            codes.extend(map(book.__getitem__, cells))

    def column(self, j: int) -> Words:
        return Words(tuple(self.books[j].words), np.frombuffer(self.codes[j], dtype=np.int32))


def _refuse_long(name: str, row: int, names: list[str], cells: list[str]) -> None:
    for title, cell in zip(names, cells, strict=False):
        if len(cell) > MOST_FIELD:
            raise DataError(
                f"{name}, row {row}, column {title} has {len(cell)} characters",
                f"a cell may have {MOST_FIELD}",
                "Look for a quotation mark that is opened and not closed",
            )


def _first(records: Iterator[list[str]]) -> tuple[list[str], int]:
    blank = 0
    for cells in records:
        if any(cell.strip() for cell in cells):
            return [" ".join(cell.split()) for cell in cells], blank
        blank += 1
    return [], blank


def column_names(name: str, header: list[str], numeric_is_data: bool) -> list[str]:
    if len(header) > MOST_COLUMNS:
        raise DataError(f"{name} has {len(header)} columns", f"a table may have {MOST_COLUMNS}")
    there = [title for title in header if title]
    if numeric_is_data and there and all(_is_value(title) for title in there):
        raise DataError(
            f"{name} begins with {', '.join(header[:4])}",
            "the first row of a table names its columns",
            "Write the names of the columns above the first row",
        )
    names = [title or f"column {j}" for j, title in enumerate(header, start=1)]
    for title in names:
        if len(title) > 200:
            raise DataError(f"{name} has a column name of {len(title)} characters", "200 at most")
        places = [str(j) for j, other in enumerate(names, start=1) if other == title]
        if len(places) > 1:
            raise DataError(
                f"{name} has {len(places)} columns called {title} ({', '.join(places)})",
                "each column needs a name of its own",
                "Rename or remove one of them",
            )
    return names


def _is_value(title: str) -> bool:
    from aegis.tasks.tables.columns import is_number

    return title.casefold() in MISSING or is_number(title, ".") or is_number(title, ",")


def _is_unnamed_and_empty(header: list[str], j: int, words: Words) -> bool:
    return not header[j] and set(words.words) <= {""}
