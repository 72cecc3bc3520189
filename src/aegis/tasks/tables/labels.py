"""The diagnosis column: which rows are ill, and whether that can be believed."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.tables.columns import is_number, same
from aegis.tasks.tables.reading import Problems, Table

_CONDITION = re.compile(r"(>=|<=|>|<|!=)\s*(.+)")
_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
RARE = 0.05
ALIKE = 0.75


def is_positive(word: str, positive: str) -> bool:
    """``positive`` is a label, or says which ones: ``> 0``, ``>= 2``, ``!= normal``."""
    found = _CONDITION.fullmatch(positive.strip())
    if found is None:
        return same(word, positive.strip())
    sign, bound = found[1], found[2]
    if sign == "!=":
        return not same(word, bound)
    if not (is_number(word, ".") and is_number(bound, ".")):
        return False
    return bool(_COMPARE[sign](float(word), float(bound)))


def labelled(
    tables: Sequence[Table], label: str, positive: str | None
) -> tuple[list[NDArray[np.int64]], str]:
    """(n,) zeros and ones for each table, and a sentence that says what they mean.

    Raises ``DataError`` where a row has no label (its number is told), where a rare label looks
    like a slip of the pen, where ``positive`` is not there, or is all there is.
    """
    for table in tables:
        if label not in table.columns:
            raise DataError(
                f"{table.name} has no column {label}",
                f"there are {', '.join(list(table.columns)[:12])}",
                "Name the diagnosis with data.label",
            )
        problems = Problems()
        _unlabelled(table, label, problems)
        problems.refuse(table.name)
    counts = _counts(tables, label)
    listed = ", ".join(f"{word} ({count})" for word, count in counts.most_common(8))
    if positive is None:
        raise DataError(
            f"nobody said which {label} means disease",
            f"there are {listed}",
            "Name it with data.positive",
        )
    ill = {word for word in counts if is_positive(word, positive)}
    if not ill:
        raise DataError(
            f"no row has {label} {positive}", f"there are {listed}", "Correct data.positive"
        )
    if len(ill) == len(counts):
        raise DataError(
            f"every row has {label} {positive}",
            "a model learns to tell two groups apart",
            "Add rows of the other group",
        )
    for table in tables:
        problems = Problems()
        slips(table, label, counts, positive, problems)
        problems.refuse(table.name)
    found = []
    for table in tables:
        column = table.columns[label]
        is_ill = np.array([word in ill for word in column.words], dtype=np.int64)
        found.append(is_ill[column.codes])
    others = sorted(set(counts) - ill, key=lambda word: -counts[word])
    rest = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
    return found, f"{label} {positive} is positive, {rest} negative"


def slips(
    table: Table, label: str, counts: Counter[str], positive: str, problems: Problems
) -> None:
    """Rare labels, one letter away from a common one, where there are more than two."""
    if len(counts) <= 2:
        return
    column = table.columns[label]
    total = sum(counts.values())
    common = [word for word, count in counts.items() if count > RARE * total]
    for code, word in enumerate(column.words):
        if not word or word in common or is_number(word, ".") or is_positive(word, positive):
            continue
        near = max(common, key=lambda other: _alike(word, other), default="")
        rows = column.rows_of(code)
        if len(rows) and near and not same(word, near) and _alike(word, near) >= ALIKE:
            what = f"{word:.40} looks like a slip of {near:.40}"
            problems.add(int(table.places[rows[0]]), label, what, len(rows))


def _unlabelled(table: Table, label: str, problems: Problems) -> None:
    column = table.columns[label]
    if "" in column.words:
        for row in column.rows_of(column.words.index("")):
            problems.add(int(table.places[row]), label, "no label")


def _counts(tables: Sequence[Table], label: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for table in tables:
        column = table.columns[label]
        for word, count in zip(column.words, column.counts.tolist(), strict=True):
            if count and word:
                counts[word] += count
    return counts


def _alike(word: str, other: str) -> float:
    if abs(len(word) - len(other)) > 1:
        return 0.0
    return SequenceMatcher(None, word.casefold(), other.casefold()).ratio()
