"""Vital signs: heart rate, blood pressure, oxygen saturation, and whether the person is healthy.

``data.path`` names a CSV, or a folder with one CSV per hospital (the file's name is the
hospital's). The columns may stand in any order, and others are left alone. A value outside its
range, a label other than 0 or 1 and a cell that is no number are refused with row and column: a
heart rate of 300 is a slip of the pen, not a patient. A sign that was not taken is an empty cell;
such rows are left out, or kept with ``rows: all``. What is told from the signs is who is unwell, so
``healthy`` 0 is the positive label.

Without a file, ``synthetic: true`` takes the invented sample of ``vitals_sample``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks import vitals_sample
from aegis.tasks.task import Column, DataOptions, Dataset, Rows, Schema
from aegis.tasks.vitals_sample import COLUMNS, LIMITS

_WORDS = (
    ("heart rate", "1/min"),
    ("systolic blood pressure", "mmHg"),
    ("diastolic blood pressure", "mmHg"),
    ("oxygen saturation", "%"),
)
SCHEMA = Schema(
    tuple(
        Column(name, "number", words, unit, low, high, may_miss=False)
        for name, (words, unit), (low, high) in zip(COLUMNS[:-1], _WORDS, LIMITS, strict=True)
    )
)
SITES = 5
SITE_ROWS = 1000
MOST_ROWS = 1_000_000
MOST_BYTES = 50 << 20


@dataclass(frozen=True)
class Vitals:
    """Rows of whatever hospitals bring; 5,000 in the sample."""

    name: str = "vitals"
    title: str = "Vital signs: who is unwell"
    positive: str = "unwell"
    schema: Schema = SCHEMA
    credits: str = "The hospital's own table; without one, an invented sample labelled SYNTHETIC"

    @property
    def preset(self) -> Mapping[str, Any]:
        """A small network by Adam, its rate halved where the validation loss stands still."""
        return {
            "data": {"validation_fraction": 0.15},
            "federated": {
                "num_clients": SITES,
                "num_rounds": 24,
                "partition": {"by": "site"},
            },
            "model": {"name": "vitals_mlp", "init": "uniform"},
            "training": {
                "solver": "sgd",
                "optimizer": "adam",
                "learning_rate": 0.01,
                "schedule": "plateau",
                "plateau_patience": 4,
                "batch_size": 32,
                "local_epochs": 4,
                "weight_decay": 1e-5,
            },
            "evaluation": {"keep": "best", "metric": "log_loss"},
        }

    def load(self, options: DataOptions) -> Dataset:
        """All hospitals' rows; ``sites`` takes some of them, by name."""
        tables = _invented(options) if options.synthetic else _brought(options)
        if options.sites is not None:
            unknown = sorted(set(options.sites) - set(tables))
            if unknown:
                raise DataError(
                    f"data.sites names {', '.join(unknown)}", f"there are {', '.join(tables)}"
                )
            tables = {name: tables[name] for name in tables if name in options.sites}
        if options.rows == "complete":
            tables = {name: table[~np.isnan(table).any(axis=1)] for name, table in tables.items()}
        for name, table in tables.items():
            if not len(table):
                raise DataError(f"{name} has no row that can be used")
        table = np.concatenate(list(tables.values()))
        sites = np.repeat(np.array(list(tables)), [len(t) for t in tables.values()])
        return Dataset(
            Rows(
                {name: table[:, j].copy() for j, name in enumerate(SCHEMA.names)},
                (table[:, -1] == 0).astype(np.int64),
            ),
            source=_origin(options),
            sites=None if options.path and options.path.is_file() else sites,
            synthetic=options.synthetic,
        )


def read_vitals(path: Path) -> NDArray[np.float64]:
    """The table (n, 5) of one CSV in the order of ``COLUMNS``, NaN for an empty sign. Raises
    ``DataError`` that names row and column for whatever does not belong there; the header is
    row 1."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _table(path, csv.reader(file))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV in UTF-8 ({error})") from error


def _table(path: Path, lines: Iterator[list[str]]) -> NDArray[np.float64]:
    header = [name.strip() for name in next(lines, [])]
    lacking = [name for name in COLUMNS if header.count(name) != 1]
    if lacking:
        raise DataError(
            f"{path} has not exactly one column {', '.join(lacking)}",
            f"the columns {', '.join(COLUMNS)} are needed",
            "A sample: aegis data sample vitals",
        )
    places = [header.index(name) for name in COLUMNS]
    found: list[list[float]] = []
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}, row {number} has {len(cells)} cells, not {len(header)}")
        if len(found) == MOST_ROWS:
            raise DataError(f"{path} has more than {MOST_ROWS:,} rows")
        where = f"{path}, row {number}"
        signs = [
            _sign(cells[at], name, limits, where)
            for at, name, limits in zip(places[:-1], COLUMNS[:-1], LIMITS, strict=True)
        ]
        found.append([*signs, _label(cells[places[-1]], where)])
    if not found:
        raise DataError(f"{path} has a header and no row")
    return np.array(found)


def _sign(cell: str, name: str, limits: tuple[float, float], where: str) -> float:
    text = cell.strip()
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{where}, column {name}: {text[:40]!r} is no number") from None
    low, high = limits
    if not low <= value <= high:
        raise DataError(
            f"{where}, column {name}: {text[:40]} is not from {low:g} to {high:g}",
            way_out="Correct the value, or leave the cell empty where it was not taken",
        )
    return value


def _label(cell: str, where: str) -> float:
    text = cell.strip()
    if text not in ("0", "1", "0.0", "1.0"):
        raise DataError(f"{where}, column healthy: {text[:40]!r} is neither 0 nor 1")
    return float(text)


def _brought(options: DataOptions) -> dict[str, NDArray[np.float64]]:
    path = options.path
    if path is None:
        raise DataError(
            "vitals needs a file",
            "data.path names a CSV, or a folder with one CSV per hospital",
            "For an invented sample set data.synthetic: true, or: aegis data sample vitals",
        )
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"{path} holds no .csv file", way_out="aegis data sample vitals writes some"
        )
    return {file.stem: read_vitals(file) for file in files}


def _invented(options: DataOptions) -> dict[str, NDArray[np.float64]]:
    if options.path is not None:
        raise DataError("data.path and data.synthetic exclude each other", way_out="Drop one")
    return {
        f"hospital_{number + 1}": vitals_sample.sample(number, SITE_ROWS, options.seed)[0]
        for number in range(SITES)
    }


def _origin(options: DataOptions) -> str:
    if options.synthetic:
        return (
            f"{vitals_sample.LABEL} (seed {options.seed}; {vitals_sample.RULE}; nothing can be "
            f"right more often than {vitals_sample.BAYES_ACCURACY:.0%})"
        )
    assert options.path is not None
    return f"{options.path.name}, the hospital's own table"


vitals = Vitals()
