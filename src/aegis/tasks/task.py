"""A task: what is learned, from which columns, with which model by default.

A task is one frozen value in one file, found by name among the entry points of the group
``aegis.tasks``; an installed package adds a task by naming one there, a hospital by dropping a
folder or a file in (``plugins``). What a task loads is a
``Dataset`` of ``Rows``. Rows of tables are named columns (numbers as float64 with NaN where a
value is missing, categories as text with "" where missing); rows of images are one array. No
column is standardised, filled in or encoded here: that follows from the statistics round.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.plugins import dropped_in, installed, load_plugin


@dataclass(frozen=True)
class Column:
    """``low`` and ``high`` are the public range, and ``may_miss`` whether hospitals are known not
    to measure it always; all of it is known without looking at any patient."""

    name: str
    kind: Literal["number", "flag", "category"]
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    may_miss: bool = False


@dataclass(frozen=True)
class Picture:
    """Grey images of one size."""

    height: int
    width: int


@dataclass(frozen=True)
class Schema:
    """Named columns, or an ``image``. ``classes`` names the labels 0, 1, 2, ... of more than two
    classes in the order that all hospitals agree on; with two classes it is empty."""

    columns: tuple[Column, ...] = ()
    image: Picture | None = None
    classes: tuple[str, ...] = ()

    @property
    def label_count(self) -> int:
        return len(self.classes) or 2

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def sha256(self) -> str:
        parts: list[Any] = [
            [c.name, c.kind, c.unit, c.low, c.high, list(c.categories)] for c in self.columns
        ]
        if self.image is not None:
            parts.append({"image": [self.image.height, self.image.width]})
        if self.classes:
            parts.append({"classes": list(self.classes)})
        text = json.dumps(parts, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Rows:
    """``labels`` (n,) holds 0 and 1, or the number of each row's class. ``attributes`` (age, sex,
    ...) serve partitions, Table 1 and fairness; the model sees ``inputs`` only: named columns, or
    images (n, height, width)."""

    inputs: Mapping[str, NDArray[Any]] | NDArray[Any]
    labels: NDArray[np.int64]
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Rows:
        if isinstance(self.inputs, np.ndarray):
            inputs: Mapping[str, NDArray[Any]] | NDArray[Any] = self.inputs[index]
        else:
            inputs = {name: values[index] for name, values in self.inputs.items()}
        attributes = {name: values[index] for name, values in self.attributes.items()}
        return Rows(inputs, self.labels[index], attributes)


def below(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one part below the other; attributes that all of them have."""
    inputs: Mapping[str, NDArray[Any]] | NDArray[Any]
    if isinstance(parts[0].inputs, np.ndarray):
        inputs = np.concatenate([np.asarray(part.inputs) for part in parts])
    else:
        names = list(parts[0].inputs)
        inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in names}
    shared = [name for name in parts[0].attributes if all(name in p.attributes for p in parts)]
    return Rows(
        inputs,
        np.concatenate([part.labels for part in parts]),
        {name: np.concatenate([part.attributes[name] for part in parts]) for name in shared},
    )


@dataclass(frozen=True)
class Dataset:
    """``sites`` (n,) names the centre of each row where the data have real ones; ``held_out`` (n,)
    marks the test rows where the source publishes a split; hospitals made of sites keep it, and
    with ``fixed_split`` (other patients, another time) all hospitals do. ``synthetic`` data are
    labelled so wherever they show. ``schema`` is set where it was read from files, and then stands
    for the task's. ``groups`` (n,) names the patient of each row; one's rows are never split.
    ``unit`` says what a row is, where these files hold something else than the task's usual ones.
    """

    rows: Rows
    source: str
    sites: NDArray[np.str_] | None = None
    held_out: NDArray[np.bool_] | None = None
    synthetic: bool = False
    fixed_split: bool = False
    schema: Schema | None = None
    groups: NDArray[np.str_] | None = None
    unit: str | None = None


@dataclass(frozen=True)
class DataOptions:
    """The plan's ``data`` section, as a task sees it. ``directory`` is where data sets lie,
    ``frames`` how a hospital reads what only its Spark can (a source and the most rows become an
    Arrow table)."""

    directory: Path | None = None
    path: Path | None = None
    rows: Literal["complete", "all"] = "complete"
    sites: tuple[str, ...] | None = None
    synthetic: bool = False
    seed: int = 0
    label: str | None = None
    positive: str | None = None
    group: str | None = None
    pixels: int | None = None
    frames: Callable[[str, int], Any] | None = None


@runtime_checkable
class Task(Protocol):
    """``preset`` holds the plan keys that this task sets where a plan is silent."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def positive(self) -> str: ...
    @property
    def schema(self) -> Schema: ...
    @property
    def credits(self) -> str: ...
    @property
    def preset(self) -> Mapping[str, Any]: ...
    def load(self, options: DataOptions) -> Dataset: ...


ALIASES: Mapping[str, str] = {"symptom": "symptoms"}
"""Other names of tasks, as federations that came before call them."""


def canonical(name: str) -> str:
    """The name that a task goes by here."""
    return ALIASES.get(name, name)


def task_names() -> tuple[str, ...]:
    return tuple(sorted({*installed(), *dropped_in()}))


def find_task(name: str) -> Task:
    """The task called ``name``; a name that is not there is a ``BadInput`` with the nearest one.
    Here, and nowhere else, is the code of a plug-in loaded."""
    name = canonical(name)
    if name in installed():
        return _installed_task(name)
    if name in dropped_in():
        found: Task = load_plugin(name)
        return found
    from difflib import get_close_matches

    near = get_close_matches(name, task_names(), 1, 0.5)
    hint = f"Did you mean {near[0]}?" if near else "See: aegis data list"
    raise BadInput(f"no task is called {name}", f"the tasks are {', '.join(task_names())}", hint)


@cache
def _installed_task(name: str) -> Task:
    entry = installed()[name]
    found = entry.load()
    if not isinstance(found, Task):
        raise BadInput(
            f"the task {name} from {entry.value} is not a task",
            "it needs name, title, positive, schema, credits, preset and load",
        )
    return found
