"""What a column of words is: a number, a flag or a category, and what speaks against using it.

The kind follows from the words alone: zeros and ones (or yes and no) are a flag, a column nearly
all of whose values are numbers is a number and the rest of them are faults with a row, everything
else (codes, answers, ranges such as ``[70-80)``) is a category. The decimal mark belongs to the
file: a comma is one where no number has a point.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.tables.reading import Problems, Table, Words

Kind: TypeAlias = Literal["number", "flag", "category"]
Mark: TypeAlias = Literal[".", ","]

NEARLY_ALL = 0.9
_POINT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_COMMA = re.compile(r"[-+]?([0-9]+(,[0-9]*)?|,[0-9]+)([eE][-+]?[0-9]{1,3})?")
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(,[0-9]{3})+")
_ONE = re.compile(r"[01][.,]0*")
_YES = {"1": 1.0, "yes": 1.0, "true": 1.0, "y": 1.0, "0": 0.0, "no": 0.0, "false": 0.0, "n": 0.0}


@dataclass(frozen=True)
class Typed:
    """``kind`` is None where a column has no value at all."""

    kind: Kind | None
    distinct: int
    missing: int


def is_number(word: str, mark: Mark) -> bool:
    return (_POINT if mark == "." else _COMMA).fullmatch(word) is not None


def decimal_mark(table: Table) -> Mark:
    """A comma where numbers with a comma are seen and none with a point; groups of three behind a
    comma in a file separated by commas are left alone, for they could be thousands."""
    commas = thousands = 0
    for column in table.columns.values():
        for word in column.words:
            if "." in word and is_number(word, "."):
                return "."
            if "," in word and is_number(word, ","):
                commas += 1
                thousands += _THOUSANDS.fullmatch(word) is not None
    if not commas or (thousands == commas and table.dialect.separator == ","):
        return "."
    return ","


def typed(column: Words, mark: Mark, declared: tuple[str, ...] | Literal[""] | None = "") -> Typed:
    """``declared`` is what an ARFF head says; "" where nothing is said."""
    counts = column.counts
    present = [(word, int(n)) for word, n in zip(column.words, counts, strict=True) if word and n]
    there = sum(n for _, n in present)
    missing = len(column) - there
    if not present:
        return Typed(None, 0, missing)
    kind: Kind
    if all(_answer(word) is not None for word, _ in present):
        kind = "flag"
    elif declared is None:
        kind = "number"
    elif declared:
        kind = "category"
    else:
        numbers = sum(n for word, n in present if is_number(word, mark))
        kind = "number" if numbers >= NEARLY_ALL * there else "category"
    return Typed(kind, len(present), missing)


def merged(kinds: Iterable[Kind | None]) -> Kind | Literal["conflict"] | None:
    """One kind for the same column of several hospitals."""
    found = {kind for kind in kinds if kind is not None}
    if found == {"flag", "number"}:
        return "number"
    if len(found) > 1:
        return "conflict"
    return found.pop() if found else None


def values(table: Table, name: str, kind: Kind, mark: Mark, problems: Problems) -> NDArray[Any]:
    """(n,) float64 with NaN, or text with "" where missing. A word that is not of the kind is a
    problem with its first row, and missing."""
    column = table.columns[name]
    if kind == "category":
        return _known(table, name, column, problems)
    parsed = np.full(max(len(column.words), 1), np.nan)
    for code, word in enumerate(column.words):
        if not word:
            continue
        if is_number(word, mark):
            parsed[code] = float(word.replace(",", "."))
        elif _all_answers(column):
            parsed[code] = _answer(word)
        if not np.isfinite(parsed[code]):
            rows = column.rows_of(code)
            if len(rows):
                problems.add(int(table.places[rows[0]]), name, _why(word, mark), len(rows))
                parsed[code] = np.nan
    return parsed[column.codes]


def sorted_into(
    table: Table, name: str, categories: tuple[str, ...], absent: frozenset[str], problems: Problems
) -> NDArray[np.str_]:
    """(n,) the owner's categories, whatever the case, and 1.0 for 1. A word that is none of them
    is a problem with its first row."""
    column = table.columns[name]
    found = []
    for code, word in enumerate(column.words):
        gone = not word or word.casefold() in absent
        fitting = "" if gone else next((c for c in categories if same(word, c)), None)
        if fitting is None:
            rows = column.rows_of(code)
            what = f"{word:.40} is none of {', '.join(categories[:8])}"
            problems.add(int(table.places[rows[0]]), name, what, len(rows))
        found.append(fitting or "")
    return np.array(found or [""], dtype=np.str_)[column.codes]


def same(word: str, other: str) -> bool:
    """``Yes`` and ``yes``, ``1`` and ``1.0`` are one word."""
    if word.casefold() == other.casefold():
        return True
    return is_number(word, ".") and is_number(other, ".") and float(word) == float(other)


def without(found: NDArray[Any], column: Words, absent: frozenset[str]) -> NDArray[Any]:
    """The values with those words missing that mean it in this column alone."""
    gone = np.array([word.casefold() in absent for word in column.words], dtype=np.bool_)
    if not gone.any():
        return found
    return np.where(gone[column.codes], "" if found.dtype.kind == "U" else np.nan, found)


def _all_answers(column: Words) -> bool:
    return all(_answer(word) is not None for word in column.words if word)


def _answer(word: str) -> float | None:
    """Yes and no, and 1.0 for 1."""
    found = _YES.get(word.casefold())
    if found is None and _ONE.fullmatch(word):
        return float(word.replace(",", "."))
    return found


def _why(word: str, mark: Mark) -> str:
    if is_number(word, "," if mark == "." else "."):
        if _THOUSANDS.fullmatch(word):
            return f"{word:.40} could have thousands or a decimal comma"
        return f"{word:.40} has another decimal mark than the rest of the file"
    return f"{word:.40} is no number"


def _known(table: Table, name: str, column: Words, problems: Problems) -> NDArray[np.str_]:
    declared = table.declared.get(name)
    if declared:
        for code, word in enumerate(column.words):
            if word and word not in declared:
                rows = column.rows_of(code)
                what = f"{word:.40} is not declared, there are {', '.join(declared[:8])}"
                problems.add(int(table.places[rows[0]]), name, what, len(rows))
    return column.spelled()


def out_of_range(
    table: Table,
    ranges: Mapping[str, tuple[float, float]],
    found: Mapping[str, NDArray[Any]],
    problems: Problems,
) -> None:
    """Numbers outside the public ranges that the user gave."""
    for name, (low, high) in ranges.items():
        if name not in found or found[name].dtype.kind != "f":
            continue
        for row in np.flatnonzero((found[name] < low) | (found[name] > high)):
            what = f"{found[name][row]:g} is outside {low:g} to {high:g}"
            problems.add(int(table.places[row]), name, what)
