"""What can be said about a table before anybody learns from it, and a plan that runs on it.

Faults make a table unusable until they are mended; remarks are for a human to judge. Where label
or positive class are not given they are guessed, and the guess is said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.tables.assembling import Assembled, assembled
from aegis.tasks.tables.choices import read_choices
from aegis.tasks.tables.columns import decimal_mark, same, typed
from aegis.tasks.tables.described import Frames
from aegis.tasks.tables.doubts import strange_numbers
from aegis.tasks.tables.labels import labelled
from aegis.tasks.tables.reading import SHOWN, Problem, Table
from aegis.tasks.tables.table import grouped, read_all

LABELS = (
    *("label", "target", "class", "classification", "outcome", "diagnosis", "result", "disease"),
    *("risklevel", "risk level", "status", "death", "death_event", "num", "healthy", "y"),
)
ILL = (
    *("1", "yes", "true", "positive", "disease", "ckd", "malignant", "m", "abnormal", "sick"),
    *("high risk", "high", "dead", "died", "case"),
)
MOST_LABELS = 10
FEWEST_ROWS = 20


@dataclass
class Examined:
    """``faults`` and ``remarks`` are (file, problem); ``plan`` is YAML, "" where there is none."""

    files: list[dict[str, Any]]
    columns: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, Problem]] = field(default_factory=list)
    remarks: list[tuple[str, Problem]] = field(default_factory=list)
    label: str | None = None
    positive: str | None = None
    guessed: tuple[str, ...] = ()
    rows: int = 0
    plan: str = ""

    def as_json(self) -> dict[str, Any]:
        listed = {
            kind: [
                {"file": file, "row": p.row, "column": p.column, "what": p.what}
                for file, p in found
            ]
            for kind, found in (("faults", self.faults), ("remarks", self.remarks))
        }
        return {
            "usable": not self.faults,
            "files": self.files,
            "rows": self.rows,
            "label": self.label,
            "positive": self.positive,
            "guessed": list(self.guessed),
            "columns": self.columns,
            **listed,
            "plan": self.plan,
        }


def examine(
    path: Path,
    label: str | None = None,
    positive: str | None = None,
    group: str | None = None,
    frames: Frames | None = None,
) -> Examined:
    """Look at a file or a folder. Raises ``DataError`` where it is no table at all."""
    tables, _ = read_all(path, strict=False, frames=frames)
    found = Examined([_file(table) for table in tables], rows=sum(map(len, tables)))
    name = path.name
    for table in tables:
        found.faults += [(table.name, problem) for problem in table.problems.first]
        if not len(table):
            found.faults.append((table.name, Problem(None, "", "a header and no row")))
    if found.faults:
        return found
    guessed = []
    if label is None:
        label = _guess_label(tables, group)
        guessed.append("label")
    if positive is None and label is not None:
        positive = _guess_positive(tables, label)
        guessed.append("positive")
    found.label, found.positive, found.guessed = label, positive, tuple(guessed)
    labels = None
    if label is None:
        what = "no column looks like a diagnosis; name it with --label"
        found.faults.append((name, Problem(None, "", what)))
    else:
        try:
            labels = np.concatenate(labelled(tables, label, positive)[0])
        except DataError as error:
            found.faults.append((name, Problem(None, label, str(error))))
    patients = None
    try:
        patients = None if group is None else grouped(tables, group)
        apart = [column for column in (label, group) if column]
        made = assembled(tables, read_choices(path), labels, apart)
    except DataError as error:
        found.faults.append((name, Problem(None, "", str(error))))
        return found
    for table, problems in zip(tables, made.problems, strict=True):
        found.faults += [(table.name, problem) for problem in problems.first]
    found.columns = _columns(made)
    found.remarks = _remarks(tables, made, labels, group)
    if not found.faults and label is not None and positive is not None:
        people = found.rows if patients is None else len(np.unique(patients))
        found.plan = suggestion(path, len(tables), people, label, positive, group)
    return found


def suggestion(
    path: Path, files: int, patients: int, label: str, positive: str, group: str | None
) -> str:
    """A plan for ``aegis run``: one hospital for each file, or some made of one file."""
    by_site = path.is_dir() and files > 1
    hospitals = files if by_site else int(np.clip(patients // FEWEST_ROWS, 3, 5))
    lines = ["task: table"]
    if hospitals < 3:
        lines.append("trust: open  # a sealed sum needs three hospitals")
    lines += ["data:", f"  path: {quoted(str(path))}"]
    lines += [f"  label: {quoted(label)}", f"  positive: {quoted(positive)}"]
    if group is not None:
        lines.append(f"  group: {quoted(group)}")
    lines += ["federated:", f"  num_clients: {hospitals}"]
    lines.append(f"  partition: {{by: {'site' if by_site else 'iid'}}}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _file(table: Table) -> dict[str, Any]:
    return {
        "file": table.name,
        "rows": len(table),
        "columns": len(table.columns),
        "dialect": str(table.dialect),
        "decimal": "comma" if decimal_mark(table) == "," else "point",
    }


def _columns(made: Assembled) -> list[dict[str, Any]]:
    found = []
    for column in made.schema.columns:
        values = made.columns[column.name]
        text = values.dtype.kind == "U"
        absent = values == "" if text else np.isnan(values)
        words = np.unique(values[~absent])
        found.append(
            {
                "name": column.name,
                "kind": column.kind,
                "missing": int(absent.sum()),
                "distinct": len(words),
                "categories": [str(word) for word in words[:12]] if text else [],
                "range": None if column.low is None else [column.low, column.high],
                "left_out": None,
            }
        )
    found += [{"name": d.column, "kind": None, "left_out": d.why} for d in made.left_out]
    return found


def _remarks(
    tables: Sequence[Table], made: Assembled, labels: NDArray[np.int64] | None, group: str | None
) -> list[tuple[str, Problem]]:
    found = [("", Problem(None, "", line)) for line in made.differences]
    places = [(table.name, int(row)) for table in tables for row in table.places]
    for name, values in made.columns.items():
        if values.dtype.kind == "U":
            what = _spellings(values)
            if what:
                found.append(("", Problem(None, name, what)))
            continue
        zeros = _zeros(values)
        if zeros:
            found.append(("", Problem(None, name, zeros)))
        strange = set(strange_numbers(values).tolist())
        if name.casefold() == "age":
            strange |= set(np.flatnonzero((values < 0) | (values > 120)).tolist())
        for row in sorted(strange):
            what = f"{values[row]:g} lies far from all others"
            found.append((places[row][0], Problem(places[row][1], name, what)))
    for table in tables:
        copies = _copies(table)
        if len(copies):
            what = f"the same as an earlier row, as are {len(copies)} in all"
            found.append((table.name, Problem(int(table.places[copies[0]]), "", what)))
    for doubt in made.left_out:
        column = tables[0].columns.get(doubt.column)
        named = group is None and doubt.why == "names patients" and column is not None
        if named and column is not None and bool((column.counts > 1).any()):
            what = f"patients have several rows; say --group {doubt.column}"
            found.append((tables[0].name, Problem(None, doubt.column, what)))
    if labels is not None and min(labels.mean(), 1 - labels.mean()) < 0.1:
        what = f"{labels.mean():.1%} of the rows are positive, so accuracy alone would mislead"
        found.append(("", Problem(None, "", what)))
    return found[: 5 * SHOWN]


def _zeros(values: NDArray[np.float64]) -> str:
    """Zeros where nobody else comes near zero, as in a blood pressure nobody took."""
    zeros = int((values == 0).sum())
    others = values[values > 1]
    if not zeros or zeros + len(others) < (~np.isnan(values)).sum() or len(others) < FEWEST_ROWS:
        return ""
    if others.min() < 0.1 * np.median(others):
        return ""
    return f"{zeros} zeros, all others are {others.min():g} or more; do they mean missing?"


def _spellings(values: NDArray[Any]) -> str:
    """Words that differ only in case."""
    seen: dict[str, str] = {}
    for word in np.unique(values).tolist():
        other = seen.setdefault(word.casefold(), word)
        if other != word:
            return f"{other} and {word} are two categories"
    return ""


def _copies(table: Table) -> NDArray[np.intp]:
    """Rows that repeat an earlier one, compared by a keyed mix of their codes."""
    mixed = np.zeros(len(table), dtype=np.uint64)
    keys = np.random.default_rng(0).integers(1, 2**63, len(table.columns), dtype=np.uint64)
    for key, column in zip(keys, table.columns.values(), strict=True):
        mixed = (mixed ^ (column.codes.astype(np.uint64) + np.uint64(1))) * (key | np.uint64(1))
    _, first = np.unique(mixed, return_index=True)
    again = np.ones(len(table), dtype=np.bool_)
    again[first] = False
    return np.flatnonzero(again)


def _guess_label(tables: Sequence[Table], group: str | None) -> str | None:
    usable = []
    for name, column in tables[0].columns.items():
        kind = typed(column, ".", tables[0].declared.get(name, ""))
        if name != group and 2 <= kind.distinct <= MOST_LABELS and not kind.missing:
            usable.append(name)
    for wanted in LABELS:
        for name in usable:
            if name.casefold() == wanted:
                return name
    two = [name for name in usable if typed(tables[0].columns[name], ".").distinct == 2]
    return two[-1] if two else None


def _guess_positive(tables: Sequence[Table], label: str) -> str | None:
    counts: dict[str, int] = {}
    for table in tables:
        column = table.columns.get(label)
        if column is not None:
            for word, count in zip(column.words, column.counts.tolist(), strict=True):
                counts[word] = counts.get(word, 0) + count
    counts.pop("", None)
    if len(counts) > 2 and {word for word in counts if same(word, "0")}:
        return "> 0"
    for wanted in ILL:
        for word in counts:
            if same(word, wanted):
                return word
    return min(counts, key=lambda word: counts[word], default=None)
