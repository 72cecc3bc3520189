"""The task ``table``: any hospital's CSV, Parquet file or query, or a folder of one per hospital.

The schema is not written down anywhere: it is read from the files, and hospitals must agree on it.
Label, positive class and patient column are named by the plan; a patient's rows stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.tables.assembling import Assembled, assembled
from aegis.tasks.tables.choices import Choices, read_choices
from aegis.tasks.tables.described import ENDING, Frames, read_described
from aegis.tasks.tables.labels import labelled
from aegis.tasks.tables.reading import Table, read_table
from aegis.tasks.task import DataOptions, Dataset, Rows, Schema

ENDINGS = (".csv", ".tsv", ".txt", ".data", ".arff", ".parquet", ENDING)
_SEX = {
    **dict.fromkeys(("male", "m", "man"), "male"),
    **dict.fromkeys(("female", "f", "w", "woman"), "female"),
}


UNREAD = Schema()


@dataclass(frozen=True)
class OwnTable:
    """``schema`` is empty until files are read; a ``Dataset`` of this task brings its own."""

    name: str = "table"
    title: str = "A hospital's own table"
    positive: str = "the positive class"
    schema: Schema = UNREAD
    credits: str = "your own files, named by data.path"

    @property
    def preset(self) -> Mapping[str, Any]:
        """Newton solves the pooled ridge regression whatever the columns are; missing values are
        filled in, since few hospital tables have many complete rows."""
        return {
            "data": {"rows": "all"},
            "federated": {"num_clients": 4, "num_rounds": 12, "partition": {"by": "iid"}},
            "model": {"name": "logistic", "init": "zeros"},
            "training": {"solver": "newton", "l2": 2.0, "tolerance": 1e-8},
        }

    def load(self, options: DataOptions) -> Dataset:
        """Rows of all files. Raises ``DataError`` where a file cannot be used as it is."""
        if options.synthetic:
            raise DataError(
                "a table of your own has no synthetic look-alike",
                way_out="Leave data.synthetic out",
            )
        if options.path is None or options.label is None:
            raise DataError(
                "task table knows neither file nor label by itself",
                "data.path names a file or a folder, data.label the column of the diagnosis and "
                "data.positive its value that means disease",
                "Start with: aegis data check FILE",
            )
        tables, names = read_all(options.path, options.sites, frames=options.frames)
        parts, meaning = labelled(tables, options.label, options.positive)
        labels = np.concatenate(parts)
        apart = [options.label] + ([options.group] if options.group else [])
        patients = None if options.group is None else grouped(tables, options.group)
        made = assembled(tables, read_choices(options.path), labels, apart)
        for table, problems in zip(tables, made.problems, strict=True):
            problems.refuse(table.name)
        rows = Rows(made.columns, labels, _attributes(made))
        sites = np.repeat(np.array(names), [len(table) for table in tables])
        kept = complete(rows) if options.rows == "complete" else np.ones(len(rows), dtype=np.bool_)
        if not kept.any():
            raise DataError("no row is complete", way_out="Set data.rows: all")
        return Dataset(
            rows.take(kept),
            source=_source(tables, meaning, made),
            sites=sites[kept] if options.path.is_dir() else None,
            schema=made.schema,
            groups=None if patients is None else patients[kept],
        )


def read_all(
    path: Path,
    sites: Sequence[str] | None = None,
    *,
    strict: bool = True,
    frames: Frames | None = None,
) -> tuple[list[Table], list[str]]:
    """The tables of a folder, or the one of a file, and the hospitals' names (their stems).
    Raises ``DataError`` where there are none, and for the first that cannot be read; ``strict``
    also for one with faulty rows or without any. ``frames`` reads what only Spark can."""
    choices = read_choices(path)
    if not path.exists():
        raise DataError(f"{path} is not there", way_out="Correct data.path")
    if not path.is_dir():
        if sites is not None:
            raise DataError(
                f"{path.name} is one file without sites",
                f"data.sites is {', '.join(sites)}",
                "Leave data.sites out, or name a folder with one file per hospital",
            )
        return [_read(path, choices, strict, frames)], [path.stem]
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in ENDINGS
        and not file.name.startswith(".")
        and file.is_file()
        and file.stem.lower() != "readme"
    )
    stems = [file.stem for file in files]
    if len(set(stems)) < len(stems):
        raise DataError(f"{path} has two files of one name", "a hospital's name is its file's")
    if not files:
        raise DataError(f"{path} holds no table", f"they end in {', '.join(ENDINGS)}")
    for site in sites or ():
        if site not in stems:
            raise DataError(f"{path} has no hospital {site}", f"there are {', '.join(stems)}")
    files = [file for file in files if sites is None or file.stem in sites]
    return [_read(file, choices, strict, frames) for file in files], [file.stem for file in files]


def grouped(tables: Sequence[Table], group: str) -> NDArray[np.str_]:
    """(n,) whose rows belong together; a row without a patient stands alone, and patients of two
    hospitals are never one."""
    found = []
    for number, table in enumerate(tables):
        if group not in table.columns:
            raise DataError(
                f"{table.name} has no column {group}",
                f"there are {', '.join(list(table.columns)[:12])}",
                "Name the patients with data.group",
            )
        words = table.columns[group].spelled().tolist()
        places = table.places.tolist()
        found += [
            f"{number}/{word}" if word else f"{number}//{place}"
            for word, place in zip(words, places, strict=True)
        ]
    return np.array(found, dtype=np.str_)


def complete(rows: Rows) -> NDArray[np.bool_]:
    """(n,) whether every input is there."""
    assert not isinstance(rows.inputs, np.ndarray)
    there = np.ones(len(rows), dtype=np.bool_)
    for values in rows.inputs.values():
        there &= (values != "") if values.dtype.kind == "U" else ~np.isnan(values)
    return there


def sex_of(word: str) -> str:
    """``female`` or ``male`` as hospitals write it, "" for anything else."""
    return _SEX.get(word.casefold(), "")


def _read(path: Path, choices: Choices, strict: bool, frames: Frames | None) -> Table:
    table = _from(path, choices.missing, frames)
    if strict:
        table.problems.refuse(path.name)
    if strict and not len(table):
        raise DataError(f"{path.name} has a header and no row")
    return table


def _from(path: Path, missing: Sequence[str], frames: Frames | None) -> Table:
    match path.suffix.lower():
        case ".parquet":
            from aegis.tasks.tables.arrow import read_parquet

            return read_parquet(path, missing)
        case end if end == ENDING:
            return read_described(path, missing, frames)
        case _:
            return read_table(path, missing)


def _attributes(made: Assembled) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for name, values in made.columns.items():
        match name.casefold():
            case "age" if values.dtype.kind == "f":
                found["age"] = values
            case "sex" | "gender" if values.dtype.kind == "U":
                words = set(np.unique(values).tolist()) - {""}
                if all(map(sex_of, words)):
                    found["sex"] = np.array([sex_of(word) for word in values.tolist()])
    return found


def _source(tables: Sequence[Table], meaning: str, made: Assembled) -> str:
    said = [", ".join(table.name for table in tables[:8]) + (", ..." if len(tables) > 8 else "")]
    said.append(meaning)
    if made.left_out:
        said.append("left out: " + "; ".join(map(str, made.left_out)))
    if made.differences:
        said.append("only columns that all hospitals share")
    return ". ".join(said)


table = OwnTable()
