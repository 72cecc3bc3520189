"""A question about counts: how many patients, by one column, or by two.

    count       how many, of those whom ``where`` is about
    histogram   by one column: a number in equal bins of its public range, the ends open; a flag or
                category by its public values; and how many miss it
    crosstab    by two columns at once

Cells follow from public knowledge alone, never from what is found in them, and every patient falls
into one cell at most: one patient more or less changes one cell by one (L2 sensitivity 1). A
question is one frozen value with canonical JSON; the same question has the same hash however it was
typed. A row is taken for a patient.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.condition import holds, read_condition, written
from aegis.tasks.task import Rows
from aegis.tasks.topics import Kind, Topics, absent, nearest, shortened

QuestionKind: TypeAlias = Literal["count", "histogram", "crosstab"]

KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
COLUMNS = {"count": 0, "histogram": 1, "crosstab": 2}
BINS, MOST_BINS, MOST_CELLS = 10, 50, 400
_MOST_JSON = 8000


@dataclass(frozen=True)
class Axis:
    """One direction of a table: a label for each cell. ``edges`` are those between bins."""

    name: str
    kind: Kind
    title: str
    labels: tuple[str, ...]
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Question:
    """As ``question`` made it, which checks it: ``bins`` is set where a number is binned, ``where``
    is written in the one way of ``aegis.tasks.condition``, empty for everybody."""

    kind: QuestionKind
    columns: tuple[str, ...] = ()
    bins: int | None = None
    where: str = ""

    def to_json(self) -> str:
        return json.dumps(
            {"kind": self.kind, "columns": self.columns, "bins": self.bins, "where": self.where},
            sort_keys=True,
            separators=(",", ":"),
        )

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def sentence(self) -> str:
        by = f" by {' and '.join(self.columns)}" if self.columns else ""
        return f"patients{by}{f', where {self.where}' if self.where else ''}"

    def axes(self, topics: Topics) -> tuple[Axis, ...]:
        """One axis for each column. Raises ``BadInput`` for a column without public values."""
        return tuple(_axis(topics, name, self.bins or BINS) for name in self.columns)

    def shape(self, topics: Topics) -> tuple[int, ...]:
        """Of the cells; a count is one cell."""
        return tuple(len(axis.labels) for axis in self.axes(topics)) or (1,)

    def counts(self, rows: Rows, topics: Topics) -> NDArray[np.int64]:
        """How many rows fall into each cell, in the shape of ``shape``. Exact: not for release."""
        shape = self.shape(topics)
        asked = np.ones(len(rows), dtype=bool)
        if self.where:
            asked = holds(read_condition(self.where, topics), rows, topics)
        place = np.zeros(len(rows), dtype=np.int64)
        for axis in self.axes(topics):
            own = _place(axis, rows, topics)
            asked &= own >= 0
            place = place * len(axis.labels) + own
        cells = np.bincount(place[asked], minlength=int(np.prod(shape)))
        return cells.astype(np.int64).reshape(shape)


def question(
    topics: Topics,
    kind: str,
    columns: Sequence[str] = (),
    bins: int | None = None,
    where: str | None = None,
) -> Question:
    """The question in these words, if it is one. Raises ``BadInput``: unknown column or kind (with
    the nearest), wrong number of columns, bins beyond 50, more than 400 cells, a bad condition."""
    if kind not in KINDS:
        raise BadInput(f"no question is called {shortened(kind)}", way_out=nearest(kind, KINDS))
    columns = tuple(columns)
    if len(columns) != COLUMNS[kind]:
        raise BadInput(
            f"a {kind} has {('no column', 'one column', 'two columns')[COLUMNS[kind]]}, "
            f"got {len(columns)}",
            way_out="Say whom it is about with --where" if kind == "count" else "",
        )
    if len(set(columns)) != len(columns):
        raise BadInput(f"a crosstab is about two different columns, got {columns[0]} twice")
    if bins is not None and (isinstance(bins, bool) or not 1 <= bins <= MOST_BINS):
        raise BadInput(f"a histogram has 1 to {MOST_BINS} bins, got {bins}")
    binned = any(topics.kind(name) == "number" for name in columns)
    condition = written(read_condition(where, topics)) if where and where.strip() else ""
    made = Question(kind, columns, (bins or BINS) if binned else None, condition)
    cells = int(np.prod(made.shape(topics)))
    if cells > MOST_CELLS:
        raise BadInput(
            f"{' by '.join(columns)} has {cells} cells",
            f"at most {MOST_CELLS} can be asked for",
            "Take fewer bins" if binned else "",
        )
    return made


def read_question(text: str, topics: Topics) -> Question:
    """The question whose JSON this is, checked like one that was typed here."""
    try:
        if len(text) > _MOST_JSON:
            raise ValueError(f"{len(text)} characters")
        fields: dict[str, Any] = json.loads(text)
        kind, columns, bins = fields.pop("kind"), fields.pop("columns"), fields.pop("bins")
        where = fields.pop("where")
        if fields or not isinstance(columns, list) or not (bins is None or type(bins) is int):
            raise ValueError("other fields than kind, columns, bins and where")
        if not all(isinstance(word, str) for word in (kind, where, *columns)):
            raise ValueError("something that is not text")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"the question in this request cannot be read ({error})") from error
    return question(topics, kind, columns, bins, where)


def _axis(topics: Topics, name: str, bins: int) -> Axis:
    kind = topics.kind(name)
    if kind == "label" and topics.schema.classes:
        return Axis(name, kind, name, topics.schema.classes)
    if kind == "label":
        return Axis(name, kind, f"{name} (positive: {topics.positive})", ("negative", "positive"))
    if name not in topics.schema.names:
        raise BadInput(
            f"{name} has no public values", "cells must be known without any patient",
            "Use it in --where",
        )  # fmt: skip
    column = topics.schema[name]
    title = f"{name} ({column.unit})" if column.unit else name
    if kind == "flag":
        said = f"{name} ({column.description})" if column.description else name
        return Axis(name, kind, said, ("no", "yes", "missing"))
    if kind == "category":
        if not column.categories:
            raise BadInput(
                f"{name} has no public categories",
                "the groups of an answer are known before anyone looks at the rows",
                f"Use it in --where; or write categories for {name} to columns.yaml by the table",
            )
        return Axis(name, kind, title, (*column.categories, "missing"))
    if column.low is None or column.high is None or not column.low < column.high:
        raise BadInput(
            f"{name} has no public range",
            "a histogram's bins are known before anyone looks at the rows",
            f"Use it in --where; or write low and high for {name} to columns.yaml by the table",
        )
    edges = tuple(np.linspace(column.low, column.high, bins + 1)[1:-1].tolist())
    return Axis(name, kind, title, (*_bin_labels(edges), "missing"), edges)


def _bin_labels(edges: tuple[float, ...]) -> list[str]:
    if not edges:
        return ["any value"]
    shown = [f"{edge:.6g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    return [f"below {shown[0]}", *between, f"{shown[-1]} or more"]


def _place(axis: Axis, rows: Rows, topics: Topics) -> NDArray[np.int64]:
    """(n,) which cell of the axis each row falls into, -1 for none."""
    values = topics.column(rows, axis.name)
    place = np.full(len(values), -1, dtype=np.int64)
    if axis.kind == "number":
        place[:] = np.searchsorted(np.array(axis.edges), values, side="right")
    else:
        held = (0.0, 1.0) if axis.kind == "flag" else axis.labels
        for at, value in enumerate(held):
            place[values == value] = at
    if axis.kind != "label":
        place[absent(values)] = len(axis.labels) - 1
    return place
