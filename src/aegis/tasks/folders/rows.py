"""A table of labels: a row for each file. Separators, encodings and stray blanks are the table
reader's business; which column means what is told by its name, or by the plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aegis.errors import DataError
from aegis.tasks.tables.reading import Table, read_table
from aegis.tasks.tables.table import sex_of

FILE = (
    *("image", "imagename", "file", "filename", "imagefile", "path", "filepath", "imageid", "id"),
    *("record", "signal", "recording"),
)
LABEL = ("label", "diagnosis", "class", "target", "finding", "glaucoma", "pneumonia", "category")
PATIENT = ("patient", "patientid", "subject", "subjectid", "person", "mrn")
PART = ("split", "set", "part", "subset", "partition", "fold")
HOSPITAL = ("hospital", "site", "centre", "center", "institution")


@dataclass(frozen=True)
class Row:
    """``place`` is the row as a spreadsheet counts; ``fault`` says why it cannot be used."""

    place: int
    file: str
    label: str
    part: str = ""
    hospital: str = ""
    patient: str = ""
    age: float = math.nan
    sex: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Sheet:
    name: str
    rows: tuple[Row, ...]


def read_sheet(path: Path, label: str | None = None, group: str | None = None) -> Sheet:
    """The rows of a table of labels; ``label`` and ``group`` name its columns of the diagnosis and
    of the patient. Raises ``DataError`` where there is no column of files or of labels."""
    table = read_table(path)
    table.problems.refuse(path.name)
    file = _column(table, FILE, "files", "call it image")
    wanted = _named(table, label, "data.label")
    wanted = wanted or _column(table, LABEL, "labels", "name it with data.label")
    patient = _named(table, group, "data.group") or _found(table, PATIENT)
    words = {
        "file": _words(table, file),
        "label": _words(table, wanted),
        "patient": _words(table, patient),
        "part": _words(table, _found(table, PART)),
        "hospital": _words(table, _found(table, HOSPITAL)),
        "age": _words(table, _found(table, ("age",))),
        "sex": _words(table, _found(table, ("sex", "gender"))),
    }
    rows = []
    for at, place in enumerate(table.places.tolist()):
        cell = {name: column[at] for name, column in words.items()}
        fault = "" if cell["label"] else f"column {wanted}: no label"
        rows.append(
            Row(
                place,
                cell["file"],
                cell["label"],
                cell["part"],
                cell["hospital"],
                cell["patient"],
                _years(cell["age"]),
                sex_of(cell["sex"]),
                fault if cell["file"] else f"column {file}: no file",
            )
        )
    return Sheet(path.name, tuple(rows))


def _column(table: Table, names: Sequence[str], what: str, hint: str) -> str:
    found = _found(table, names)
    if not found:
        raise DataError(
            f"{table.name} has no column of {what}",
            f"there are {', '.join(list(table.columns)[:12])}",
            hint[:1].upper() + hint[1:],
        )
    return found


def _named(table: Table, name: str | None, key: str) -> str:
    if name is not None and name not in table.columns:
        raise DataError(
            f"{table.name} has no column {name}",
            f"there are {', '.join(list(table.columns)[:12])}",
            f"Correct {key}",
        )
    return name or ""


def _found(table: Table, names: Sequence[str]) -> str:
    spelled = {_plain(column): column for column in table.columns}
    return next((spelled[name] for name in names if name in spelled), "")


def _plain(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum())


def _words(table: Table, column: str) -> list[str]:
    if not column:
        return [""] * len(table)
    words: list[str] = table.columns[column].spelled().tolist()
    return words


def _years(word: str) -> float:
    try:
        years = float(word)
    except ValueError:
        return math.nan
    return years if 0 <= years <= 120 else float(np.nan)
