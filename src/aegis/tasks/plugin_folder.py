"""A folder with ``dataset.py``, ``model.py``, ``hyperparams.py`` and ``evaluate.py`` as a task.

    dataset.py      class CustomDataset: ``columns`` (or ``image``), ``title``, ``positive``;
                    made with (path, seed), it has a length, and row i is (inputs, label)
    model.py        MODEL: a model that plans can name, or the keys of a plan's ``model`` section
    hyperparams.py  HYPERPARAMS: ``learning_rate``, ``batch_size``, ...; or any key of a plan
    evaluate.py     evaluate_model(labels, probabilities) -> figures of one's own, by name

Rows are checked as they are taken in: a hospital's file is never better than its worst row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, DataError
from aegis.tasks.task import Column, DataOptions, Dataset, Picture, Rows, Schema

PARTS = ("dataset", "model", "hyperparams", "evaluate")
PLAIN: Mapping[str, str] = {
    "learning_rate": "training.learning_rate",
    "batch_size": "training.batch_size",
    "epochs": "training.local_epochs",
    "local_epochs": "training.local_epochs",
    "optimizer": "training.optimizer",
    "momentum": "training.momentum",
    "weight_decay": "training.weight_decay",
    "solver": "training.solver",
    "l2": "training.l2",
    "num_rounds": "federated.num_rounds",
    "rounds": "federated.num_rounds",
    "num_clients": "federated.num_clients",
}
SECTIONS = ("data", "federated", "training", "server", "evaluation", "privacy", "fairness")
MOST_ROWS = 1_000_000


@dataclass(frozen=True, eq=False)
class FolderTask:
    """A task made of four files; ``evaluate`` is theirs too."""

    name: str
    title: str
    positive: str
    schema: Schema
    credits: str
    preset: Mapping[str, Any]
    dataset: Any
    judge: Any

    def load(self, options: DataOptions) -> Dataset:
        path = options.path
        if path is None and options.directory is not None:
            own = options.directory / self.name
            path = own if own.exists() else None
        try:
            data = self.dataset(path, options.seed)
            count = len(data)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise DataError(
                f"the data of {self.name} cannot be read from {path}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not 0 < count <= MOST_ROWS:
            raise DataError(f"{self.name} has {count} rows", f"1 to {MOST_ROWS} can be used")
        rows = _rows(self, [_row(self, data, number) for number in range(count)])
        return Dataset(
            rows,
            source=str(
                getattr(data, "source", "") or f"the plug-in {self.name}, {path or 'itself'}"
            ),
            sites=_names(self, data, "sites", count),
            groups=_names(self, data, "groups", count),
            synthetic=bool(getattr(data, "synthetic", False)),
        )

    def evaluate(
        self, labels: NDArray[np.int64], probabilities: NDArray[np.floating]
    ) -> dict[str, float]:
        """The plug-in's own figures on rows that were held out. Raises ``BadInput`` where it
        returns something else than numbers by name."""
        found = self.judge(labels, probabilities)
        if not isinstance(found, Mapping):
            raise BadInput(
                f"evaluate.py of {self.name} returned {type(found).__name__}",
                "evaluate_model returns numbers by name, as in {'sensitivity': 0.9}",
            )
        return {str(name): float(value) for name, value in found.items()}


def folder_task(name: str, parts: Mapping[str, ModuleType]) -> FolderTask:
    dataset = _wanted(name, parts, "dataset", "CustomDataset")
    columns, image = getattr(dataset, "columns", ()), getattr(dataset, "image", None)
    if bool(columns) == (image is not None) or not all(isinstance(c, Column) for c in columns):
        raise BadInput(
            f"dataset.py of {name} does not say what its rows hold",
            "CustomDataset has columns, a tuple of Column, or image, a (height, width)",
        )
    classes = tuple(getattr(dataset, "classes", ()))
    picture = None if image is None else Picture(*image)
    model = _wanted(name, parts, "model", "MODEL")
    preset = _preset(name, _wanted(name, parts, "hyperparams", "HYPERPARAMS"))
    preset["model"] = {"name": model} if isinstance(model, str) else dict(model)
    if "num_clients" not in preset.setdefault("federated", {}):
        preset["federated"]["num_clients"] = 4
    preset["federated"].setdefault("partition", {"by": "iid"})
    if classes:
        preset["model"].setdefault("num_classes", len(classes))
    return FolderTask(
        name,
        str(getattr(dataset, "title", name)),
        str(getattr(dataset, "positive", "the positive class")),
        Schema(tuple(columns), picture, classes),
        str(getattr(dataset, "credits", f"the plug-in {name}")),
        preset,
        dataset,
        _wanted(name, parts, "evaluate", "evaluate_model"),
    )


def _wanted(name: str, parts: Mapping[str, ModuleType], part: str, wanted: str) -> Any:
    found = getattr(parts[part], wanted, None)
    if found is None:
        raise BadInput(f"{part}.py of {name} has no {wanted}", f"a plug-in's {part}.py has one")
    return found


def _preset(name: str, said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        raise BadInput(f"HYPERPARAMS of {name} is no mapping", 'as in {"learning_rate": 0.1}')
    preset: dict[str, Any] = {}
    for key, value in said.items():
        path = PLAIN.get(key, key)
        section, _, inner = path.partition(".")
        if section not in SECTIONS or (not inner and not isinstance(value, Mapping)):
            near = get_close_matches(str(key), [*PLAIN, *SECTIONS], 1, 0.6)
            raise BadInput(
                f"HYPERPARAMS of {name} has {key}",
                f"it has {', '.join(PLAIN)}, or keys of a plan",
                f"Did you mean {near[0]}?" if near else "",
            )
        place = preset.setdefault(section, {})
        if inner:
            place[inner] = value
        else:
            place.update(value)
    return preset


def _row(task: FolderTask, data: Any, number: int) -> Any:
    try:
        return data[number]
    except (ValueError, TypeError, LookupError, OSError) as error:
        what = f"{type(error).__name__}: {error}"
        raise DataError(f"row {number} of {task.name} cannot be read: {what}") from error


def _rows(task: FolderTask, pairs: Sequence[Any]) -> Rows:
    names, labels = task.schema.names, np.zeros(len(pairs), np.int64)
    taken: list[Any] = []
    for number, pair in enumerate(pairs):
        try:
            inputs, label = pair
            labels[number] = int(label)
            same = float(label) == labels[number]
        except (TypeError, ValueError) as error:
            raise DataError(
                f"row {number} of {task.name} is {pair!r:.60}", "a row is (inputs, label)"
            ) from error
        if not same or not 0 <= labels[number] < task.schema.label_count:
            raise DataError(
                f"row {number} of {task.name} has the label {label!r:.20}",
                f"labels are 0 to {task.schema.label_count - 1}",
            )
        taken.append(inputs)
    if task.schema.image is not None:
        return Rows(_images(task, taken, task.schema.image), labels)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for number, inputs in enumerate(taken):
        cells = [inputs.get(name) for name in names] if isinstance(inputs, Mapping) else inputs
        if len(cells) != len(names):
            raise DataError(
                f"row {number} of {task.name} has {len(cells)} inputs",
                f"its columns are {', '.join(names[:12])}",
            )
        for name, cell in zip(names, cells, strict=True):
            columns[name].append(cell)
    found = {
        column.name: _column(task, column, columns[column.name]) for column in task.schema.columns
    }
    beside = {name.casefold(): found[name] for name in names if name.casefold() in ("age", "sex")}
    return Rows(found, labels, beside)


def _column(task: FolderTask, column: Column, cells: list[Any]) -> NDArray[Any]:
    if column.kind == "category":
        words = ["" if cell is None else str(cell) for cell in cells]
        for number, word in enumerate(words):
            if word and column.categories and word not in column.categories:
                raise DataError(
                    f"row {number} of {task.name}, {column.name} is {word:.40}",
                    f"it is one of {', '.join(column.categories[:8])}",
                )
        return np.array(words, dtype=np.str_)
    found = np.full(len(cells), np.nan)
    for number, cell in enumerate(cells):
        try:
            found[number] = np.nan if cell is None else float(cell)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"row {number} of {task.name}, {column.name} is {cell!r:.40}", "it is a number"
            ) from error
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    outside = np.flatnonzero((found < low) | (found > high) | np.isinf(found))
    if len(outside):
        raise DataError(
            f"row {outside[0]} of {task.name}, {column.name} is {found[outside[0]]:g}",
            f"it is {low:g} to {high:g}",
        )
    return found


def _images(task: FolderTask, taken: list[Any], picture: Picture) -> NDArray[Any]:
    shape = (picture.height, picture.width)
    for number, image in enumerate(taken):
        if np.shape(image) != shape:
            raise DataError(
                f"image {number} of {task.name} is {np.shape(image)}", f"all are {shape}"
            )
    return np.stack([np.asarray(image) for image in taken])


def _names(task: FolderTask, data: Any, what: str, count: int) -> NDArray[np.str_] | None:
    found = getattr(data, what, None)
    if found is None:
        return None
    if len(found) != count:
        raise DataError(f"{task.name} has {len(found)} {what}", f"one for each of its {count} rows")
    return np.array([str(one) for one in found], dtype=np.str_)
