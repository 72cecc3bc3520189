"""A patient typed or pasted into a form, as rows of the task. What was typed is never repeated."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.tables.columns import is_number
from aegis.tasks.tables.reading import MISSING
from aegis.tasks.task import Column, Rows, Schema

MOST_PASTED, LONGEST = 100, 2**16
_FLAGS = {"1": 1.0, "yes": 1.0, "true": 1.0, "0": 0.0, "no": 0.0, "false": 0.0}


class Misfit(BadInput):
    """``faults`` are (field, sentence), 20 at most."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = list(faults)[:20]
        super().__init__("; ".join(said for _, said in self.faults))

    def __reduce__(self) -> tuple[type[Misfit], tuple[list[tuple[str, str]]]]:  # type: ignore[override]
        return type(self), (self.faults,)


def typed_rows(schema: Schema, given: Sequence[Mapping[str, str]], field: str = "") -> Rows:
    """``given`` are cells by column. Raises ``Misfit`` that names field, row and column; ``field``
    stands for all where they were pasted into one."""
    faults: list[tuple[str, str]] = []
    inputs: dict[str, NDArray[np.float64] | NDArray[np.str_]] = {}
    for at, column in enumerate(schema.columns):
        found: list[float | str] = []
        for number, cells in enumerate(given, 1):
            cell = cells.get(column.name, "").strip()
            value, what = _value(column, cell)
            if what:
                place = f"row {number}, column {column.name}" if field else column.name
                faults.append((field or f"c{at}", f"{place}: {what}"))
            found.append(value)
        if column.kind == "category":
            inputs[column.name] = np.array([str(value) for value in found], dtype=np.str_)
        else:
            inputs[column.name] = np.array(found, dtype=np.float64)
    if faults:
        raise Misfit(faults)
    return Rows(inputs, np.zeros(len(given), dtype=np.int64))


def pasted(schema: Schema, text: str) -> list[dict[str, str]]:
    """The rows of a CSV in a text field: header first. Raises ``Misfit``."""
    if len(text) > LONGEST:
        raise Misfit([("pasted", f"pasted: more than {LONGEST:,} characters")])
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    separator = max(",;\t|", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text.strip()), delimiter=separator, strict=True))
    except csv.Error as error:
        raise Misfit([("pasted", "pasted: this is no table of cells")]) from error
    if len(rows) < 2:
        raise Misfit([("pasted", "pasted: a header and at least one row are needed")])
    if len(rows) > MOST_PASTED + 1:
        raise Misfit([("pasted", f"pasted: more than {MOST_PASTED} rows")])
    header = [cell.strip() for cell in rows[0]]
    lacking = [name for name in schema.names if name not in header]
    if lacking:
        said = f"pasted: the columns {', '.join(lacking[:10])} are missing"
        raise Misfit([("pasted", said)])
    short = [number for number, row in enumerate(rows[1:], 1) if len(row) != len(header)]
    if short:
        raise Misfit([("pasted", f"pasted: row {short[0]} has not as many cells as the header")])
    return [dict(zip(header, row, strict=True)) for row in rows[1:]]


def _value(column: Column, cell: str) -> tuple[float | str, str]:
    missing = cell.casefold() in MISSING
    if column.kind == "category":
        if missing:
            return "", ""
        good = not column.categories or cell in column.categories
        return (cell, "") if good else ("", "is none of the known words")
    if missing:
        return float("nan"), ""
    if column.kind == "flag":
        value = _FLAGS.get(cell.casefold())
        return (float("nan"), "is neither yes nor no") if value is None else (value, "")
    plain = cell.replace(",", ".")
    if len(plain) > 40 or not is_number(plain, ".") or not np.isfinite(float(plain)):
        return float("nan"), "is not a number"
    return float(plain), ""


def outside(schema: Schema, rows: Rows) -> list[str]:
    """Columns with a value outside the declared range, or missing: a prediction is then a guess."""
    said = []
    assert isinstance(rows.inputs, Mapping)
    for column in schema.columns:
        values = rows.inputs[column.name]
        if values.dtype.kind == "U":
            if bool((values == "").any()):
                said.append(f"{column.name} is missing in some rows and is filled in")
            continue
        if bool(np.isnan(values).any()):
            said.append(f"{column.name} is missing in some rows and is filled in")
        if column.low is not None and column.high is not None and column.kind == "number":
            with np.errstate(invalid="ignore"):
                if bool(((values < column.low) | (values > column.high)).any()):
                    said.append(
                        f"{column.name} is outside {column.low:g} to {column.high:g}, where the "
                        "model has seen nobody"
                    )
    return said
