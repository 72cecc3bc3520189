"""The rows of one hospital. Change ``columns`` to what you measure and ``__init__`` to read it."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from aegis.tasks.task import Column


class CustomDataset:
    """Made with (path, seed): ``path`` is the plan's ``data.path``, or the folder of this plug-in's
    name under AEGIS_DATA_DIR, or None. Row i is (inputs, label): inputs in the order of
    ``columns``, None where a value is missing; the label is 0 or 1."""

    title = "A task of my own"
    positive = "ill"
    credits = "describe where the data come from, and their licence"
    # Ranges and categories are public: known without looking at any patient.
    columns = (
        Column("age", "number", "age at admission", "years", low=0, high=120),
        Column("marker", "number", "a laboratory value", "mg/l", low=0, high=50),
        Column("sex", "category", "sex", categories=("female", "male")),
    )
    # For images instead:  image = (28, 28), and row i is (an array of that shape, label).
    # For more than two classes:  classes = ("none", "mild", "severe").

    def __init__(self, path: Path | None, seed: int) -> None:
        self.synthetic = path is None
        self.rows = _invented(seed) if path is None else _read(path)
        # The rows' hospitals and patients, where the data have them; one name for each row:
        # self.sites = [...]
        # self.groups = [...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[list[Any], int]:
        row = self.rows[number]
        inputs = [float(row["age"]), float(row["marker"]) if row["marker"] else None, row["sex"]]
        return inputs, int(row["label"])


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _invented(seed: int) -> list[dict[str, str]]:
    draw, rows = random.Random(seed), []  # noqa: S311 - an example, not a secret
    for _ in range(400):
        age, marker = draw.randint(30, 90), draw.uniform(0, 20)
        ill = draw.random() < 1 / (1 + 2.718 ** (12 - age / 8 - marker / 3))
        row = {"age": f"{age}", "marker": f"{marker:.1f}", "sex": draw.choice(["female", "male"])}
        rows.append({**row, "label": str(int(ill))})
    return rows
