"""Groups of patients that fairness is asked about: by sex, by band of age, by a column.

Which groups there are follows from public knowledge alone, so that every party lays them out alike
before any patient is looked at: ages are cut at 45, 55 and 65, another number at the quarters of
its public range, a category at its public values. Every row falls into exactly one group of each
attribute; the last group holds those of whom nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.task import Rows, Schema
from aegis.tasks.topics import absent, nearest, shortened

AGE_EDGES = (45.0, 55.0, 65.0)
SEXES = ("female", "male")
ALWAYS = ("sex", "age")
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Grouping:
    """One attribute. ``labels`` name its groups, the last one ``UNKNOWN``; ``edges`` are those
    between groups of a number."""

    attribute: str
    title: str
    labels: tuple[str, ...]
    edges: tuple[float, ...] = ()

    def places(self, rows: Rows) -> NDArray[np.intp]:
        """(n,) the number of the group of each row."""
        place = np.full(len(rows), len(self.labels) - 1, dtype=np.intp)
        values = self._values(rows)
        if values is None:
            return place
        there = ~absent(values)
        if self.edges:
            found = np.searchsorted(np.array(self.edges), values[there], side="right")
            place[there] = found
        elif values.dtype.kind == "U":
            for number, label in enumerate(self.labels[:-1]):
                place[values == label] = number
        else:
            place[there] = values[there].astype(np.intp)
        return place

    def _values(self, rows: Rows) -> NDArray[Any] | None:
        """What the rows hold, words of an attribute before the codes of a column."""
        column = rows.attributes.get(self.attribute)
        if column is None and not isinstance(rows.inputs, np.ndarray):
            column = rows.inputs.get(self.attribute)
        if column is None or (column.dtype.kind == "U" and self.edges):
            return None
        return column


def groupings(schema: Schema, attributes: Sequence[str]) -> tuple[Grouping, ...]:
    """One grouping for each attribute. Raises ``BadInput`` for what is neither ``sex``, ``age`` nor
    a column with public values."""
    return tuple(_grouping(schema, attribute) for attribute in dict.fromkeys(attributes))


def _grouping(schema: Schema, name: str) -> Grouping:
    if name == "sex":
        return Grouping(name, "Sex", (*SEXES, UNKNOWN))
    if name == "age":
        return Grouping(name, "Age", (*_bands(AGE_EDGES, "years"), UNKNOWN), AGE_EDGES)
    if name not in schema.names:
        known = (*ALWAYS, *(other for other in schema.names if other not in ALWAYS))
        raise BadInput(
            f"fairness.attributes: {shortened(name)} is not an attribute of this task",
            way_out=nearest(name, known),
        )
    column = schema[name]
    title = column.description or name
    title = title[:1].upper() + title[1:] + (f", {column.unit}" if column.unit else "")
    if column.kind == "flag":
        return Grouping(name, title, ("no", "yes", UNKNOWN))
    if column.kind == "category" and column.categories:
        return Grouping(name, title, (*column.categories, UNKNOWN))
    if column.kind == "category" or column.low is None or column.high is None:
        raise BadInput(
            f"fairness.attributes: {shortened(name)} has no public values",
            "groups must be known without any patient",
            "Leave it out",
        )
    edges = tuple(np.linspace(column.low, column.high, 5)[1:-1].tolist())
    return Grouping(name, title, (*_bands(edges, column.unit), UNKNOWN), edges)


def _bands(edges: tuple[float, ...], unit: str) -> list[str]:
    """``under 45``, ``45 to 54``, ``65 and over``; ``a to under b`` where years are not whole."""
    whole = unit == "years"
    between = [
        f"{low:g} to {high - 1:g}" if whole else f"{low:g} to under {high:g}"
        for low, high in pairwise(edges)
    ]
    return [f"under {edges[0]:g}", *between, f"{edges[-1]:g} and over"]
