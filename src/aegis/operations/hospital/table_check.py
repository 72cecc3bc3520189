"""What is wrong with a table before it is registered, by row and column: never what stands there.

A cell is a patient's. Errors of the readers below may quote one, so their words are not passed on:
the place is, and one of a few sentences of our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, BadInput, DataError
from aegis.operations.hospital.folder import Registered
from aegis.operations.hospital.rows import load
from aegis.tasks.tables.columns import Mark, decimal_mark, is_number
from aegis.tasks.tables.dialect import MOST_BYTES, MOST_COLUMNS, MOST_FIELD, MOST_ROWS
from aegis.tasks.tables.doubts import strange_numbers
from aegis.tasks.tables.reading import SHOWN, Problem, Problems, Table, read_table
from aegis.tasks.task import Column, Dataset, Schema, find_task, task_names

_ROW = re.compile(r"row (\d{1,7})")
_WHY: tuple[tuple[str, str], ...] = (
    ("begins with", "the first row does not name the columns"),
    ("MiB", f"the file is larger than {MOST_BYTES // 2**20} MiB"),
    ("holds the byte", "the file is not text; save it as CSV from the program that made it"),
    ("archive", "the file is an archive or a workbook; save it as CSV"),
    ("workbook", "the file is a workbook; save it as CSV"),
    ("a PDF", "the file is a PDF; a table is text"),
    ("picture", "the file is a picture; a table is text"),
    ("a Parquet", "the file is a Parquet file; save it as CSV"),
    ("columns called", "two columns have the same name"),
    ("column name of", "a column's name has more than 200 characters"),
    (" columns", f"the file has more than {MOST_COLUMNS} columns"),
    ("more than", f"the file has more than {MOST_ROWS:,} rows"),
    (
        "characters",
        f"a cell has more than {MOST_FIELD:,} characters; look for an open quotation mark",
    ),
    ("cannot be read as a table", "a quotation mark is opened and not closed"),
    ("throughout", "the file is written in two encodings; save it as UTF-8"),
    ("empty", "the file is empty"),
    ("one column", "the file has one column only, or its separator is not found"),
    ("complete", "no row is complete"),
)
# What begins a formula, also as East Asian spreadsheets write it (OWASP, CSV injection).
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass
class Checked:
    """``faults`` keep a table from being used, ``remarks`` are to be judged; at most 20 of each,
    ``fault_count`` counts all. ``columns`` are the statistics, empty where there are faults."""

    task: str
    label: str
    positive: str
    rows: int = 0
    header: list[str] = field(default_factory=list)
    preview: list[list[str]] = field(default_factory=list)
    faults: list[Problem] = field(default_factory=list)
    fault_count: int = 0
    remarks: list[Problem] = field(default_factory=list)
    formulas: int = 0
    dataset: Dataset | None = None
    schema: Schema = field(default_factory=Schema)


def tasks_with_tables() -> tuple[str, ...]:
    """The tasks that take a hospital's own CSV, plug-ins included."""
    from aegis.tasks.plugins import dropped_in

    return tuple(
        name for name in task_names() if name in ("table", "vitals") or name in dropped_in()
    )


def checked(path: Path, task: str, label: str = "", positive: str = "", group: str = "") -> Checked:
    """Everything there is to say of a file before it is registered. Never raises for what stands in
    the file; ``BadInput`` for a task or a label that is none."""
    if task not in tasks_with_tables():
        raise BadInput(f"task: {task!r:.40} takes no table", f"{', '.join(tasks_with_tables())} do")
    found = Checked(task, label, positive)
    try:
        table = read_table(path)
    except AegisError as error:
        found.faults = [_unquoted(error)]
        found.fault_count = 1
        return found
    found.rows, found.header = len(table), list(table.columns)
    found.preview = _preview(table)
    problems = Problems(list(table.problems.first), table.problems.count)
    if not len(table):
        problems.add(None, "", "a header and no row")
    schema = find_task(task).schema
    for column in schema.columns:
        _check_column(table, column, problems, found.remarks, strict=task == "vitals")
    if task == "vitals":
        _check_words(table, "healthy", ("0", "1", "0.0", "1.0"), "is neither 0 nor 1", problems)
    _check_label(table, task, label, positive, group, problems)
    found.formulas = _formulas(table, found.remarks)
    if not problems.count:
        registered = Registered(task, str(path), "", "", label, positive, group)
        try:
            found.dataset = load(registered, "all", 0)
            found.schema = found.dataset.schema or schema
        except AegisError as error:
            fault = _unquoted(error)
            problems.add(fault.row, fault.column, fault.what)
    found.faults, found.fault_count = problems.first[:SHOWN], problems.count
    if found.dataset is not None:
        found.remarks += _remarks(path, table, label, positive, group, found.dataset)
    found.remarks = found.remarks[:SHOWN]
    return found


def missing_share(values: NDArray[Any]) -> float:
    absent = values == "" if values.dtype.kind == "U" else np.isnan(values)
    return float(absent.mean()) if len(values) else 0.0


def neutral(cell: str) -> str:
    """A cell as a spreadsheet may open it: what would be a formula becomes text (OWASP)."""
    risky = cell[:1] in _RISKY and not is_number(cell.strip(), ".")
    return f"'{cell}" if risky else cell


def _check_column(
    table: Table, column: Column, problems: Problems, remarks: list[Problem], strict: bool
) -> None:
    """``strict``: a value outside the public range is a fault, else a remark."""
    words = table.columns.get(column.name)
    if words is None:
        problems.add(None, column.name, "there is no such column")
        return
    mark = decimal_mark(table)
    unit = f" {column.unit}" if column.unit else ""
    for code, word in enumerate(words.words):
        if not word:
            continue
        places = [int(table.places[at]) for at in words.rows_of(code)]
        what = _misfit(column, word, mark)
        if what:
            _add(problems, places, column.name, what)
            continue
        if column.kind == "category" or column.low is None or column.high is None:
            continue
        if not column.low <= float(word.replace(",", ".")) <= column.high:
            what = f"is not from {column.low:g} to {column.high:g}{unit}"
            if strict:
                _add(problems, places, column.name, what)
            else:
                remarks += [Problem(place, column.name, what) for place in places[:SHOWN]]
    remarks[:] = remarks[: 5 * SHOWN]


def _add(problems: Problems, places: list[int], column: str, what: str) -> None:
    """All of them count, the first ones are listed."""
    for place in places[:SHOWN]:
        problems.add(place, column, what)
    problems.count += max(0, len(places) - SHOWN)


def _misfit(column: Column, word: str, mark: Mark) -> str:
    if column.kind == "category":
        known = not column.categories or word in column.categories
        return "" if known else "is none of the known words"
    return "" if is_number(word, mark) else "is not a number"


def _check_words(
    table: Table, name: str, known: tuple[str, ...], what: str, problems: Problems
) -> None:
    words = table.columns.get(name)
    if words is None:
        problems.add(None, name, "there is no such column")
        return
    for code, word in enumerate(words.words):
        if word not in known:
            _add(problems, [int(table.places[at]) for at in words.rows_of(code)], name, what)


def _check_label(
    table: Table, task: str, label: str, positive: str, group: str, problems: Problems
) -> None:
    if task != "table":
        return
    if not label:
        problems.add(None, "", "label: say which column holds the diagnosis")
    elif label not in table.columns:
        problems.add(None, "", "label: the file has no such column")
    elif positive and positive not in table.columns[label].words and not positive.startswith(">"):
        problems.add(None, label, "positive: no row has this value")
    if group and group not in table.columns:
        problems.add(None, "", "group: the file has no such column")


def _formulas(table: Table, remarks: list[Problem]) -> int:
    count = 0
    for name, words in table.columns.items():
        for code, word in enumerate(words.words):
            if word and neutral(word) != word:
                rows = words.rows_of(code)
                count += len(rows)
                for at in rows[: max(0, SHOWN - len(remarks))]:
                    what = "begins like a formula; it is kept as text, and exports mark it so"
                    remarks.append(Problem(int(table.places[at]), name, what))
    return count


def _remarks(
    path: Path, table: Table, label: str, positive: str, group: str, dataset: Dataset
) -> list[Problem]:
    """What ``aegis data check`` would say, without what stands in the cells."""
    found: list[Problem] = []
    inputs = dataset.rows.inputs
    if isinstance(inputs, Mapping):
        for name, values in inputs.items():
            if values.dtype.kind == "f" and len(values) == len(table):
                for at in strange_numbers(values)[:5]:
                    found.append(Problem(int(table.places[at]), name, "lies far from all others"))
    share = float((dataset.rows.labels == 1).mean())
    if min(share, 1 - share) < 0.1:
        what = f"{share:.1%} of the rows are positive, so accuracy alone would mislead"
        found.append(Problem(None, "", what))
    return found


def _preview(table: Table, most: int = 5) -> list[list[str]]:
    columns = [words.spelled()[:most].tolist() for words in table.columns.values()]
    return [[str(cell)[:80] for cell in row] for row in zip(*columns, strict=True)]


def _unquoted(error: AegisError) -> Problem:
    """The place and the kind of a fault; its own words may quote a cell."""
    said = f"{error.value} {error.need}"
    row = _ROW.search(said)
    if isinstance(error, DataError) and error.value.endswith("is not there"):
        return Problem(None, "", "the file is not there any more")
    for mark, why in _WHY:
        if mark in said:
            return Problem(int(row[1]) if row else None, "", why)
    what = "a cell does not fit its column" if row else "the file cannot be used as a table"
    return Problem(int(row[1]) if row else None, "", what)
