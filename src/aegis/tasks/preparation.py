"""From sums to a design matrix: the statistics round and everything that follows from it.

Each hospital returns one flat vector of sums (a ``Tally``): for a number or a flag how many values
are there, their sum and their sum of squares; for a category how many rows hold each value; for
every column how many are missing. The vectors of all hospitals are added, slot by slot, and the
total alone fixes the ``Preparation``: mean imputation, standardisation, one-hot encoding with the
first category as reference, and one indicator for each column that misses values anywhere.
Nothing here ever sees pooled rows, and adding is all that a secure sum has to offer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.public_map import written_down
from aegis.tasks.task import Rows, Schema

MINIMUM_CELL = 10


def vocabulary(
    schema: Schema, rows: Rows, minimum: int = MINIMUM_CELL
) -> dict[str, tuple[str, ...]]:
    """The values of each category column without public categories, rare ones left out."""
    found = {}
    for column in schema.columns:
        if column.kind == "category" and not column.categories:
            values, counts = np.unique(_column(rows, column.name), return_counts=True)
            kept = [str(v) for v, n in zip(values, counts, strict=True) if v != "" and n >= minimum]
            found[column.name] = tuple(kept)
    return found


def with_vocabulary(schema: Schema, words: Mapping[str, Sequence[str]]) -> Schema:
    """The schema with discovered categories filled in."""
    from dataclasses import replace

    columns = tuple(
        replace(c, categories=tuple(words[c.name])) if c.name in words else c
        for c in schema.columns
    )
    return replace(schema, columns=columns)


def slots(schema: Schema) -> list[tuple[str, str]]:
    """The layout of a tally: (column, what) for each of its numbers. ``("", "rows")`` comes first,
    then ``("", "positive")``, or ``("", "=name")`` for each of more than two classes."""
    layout = [("", "rows")]
    layout += [("", f"={name}") for name in schema.classes] or [("", "positive")]
    for column in schema.columns:
        layout.append((column.name, "missing"))
        if column.kind == "category":
            layout += [(column.name, f"={category}") for category in column.categories]
        else:
            layout += [(column.name, what) for what in ("count", "sum", "squares")]
    return layout


def tally(schema: Schema, rows: Rows) -> NDArray[np.float64]:
    """The sums of these rows, float64, laid out as ``slots(schema)``."""
    sums: list[float] = [len(rows)]
    if schema.classes:
        sums += np.bincount(rows.labels, minlength=len(schema.classes)).astype(float).tolist()
    else:
        sums.append(float(rows.labels.sum()))
    for column in schema.columns:
        values = _column(rows, column.name)
        if column.kind == "category":
            sums.append(float((values == "").sum()))
            sums += [float((values == category).sum()) for category in column.categories]
        else:
            there = values[~np.isnan(values)]
            sums += [len(values) - len(there), len(there), there.sum(), (there * there).sum()]
    return np.array(sums, dtype=np.float64)


@dataclass(frozen=True)
class Feature:
    """One column of the design matrix. ``category`` is set for one-hot, ``missing`` for an
    indicator; otherwise the value is (x - centre) / scale, and a missing x becomes 0."""

    column: str
    name: str
    centre: float = 0.0
    scale: float = 1.0
    category: str | None = None
    missing: bool = False


@dataclass(frozen=True)
class Preparation:
    """How a row becomes numbers; a frozen value with a canonical JSON that travels in requests."""

    features: tuple[Feature, ...]

    def apply(self, rows: Rows) -> NDArray[np.float64]:
        """The design matrix (n, d), float64, without an intercept column."""
        if isinstance(rows.inputs, np.ndarray):
            return np.asarray(rows.inputs, dtype=np.float64)
        design = np.empty((len(rows), len(self.features)))
        for j, feature in enumerate(self.features):
            values = _column(rows, feature.column)
            if feature.category is not None:
                design[:, j] = values == feature.category
            elif feature.missing:
                design[:, j] = values == "" if values.dtype.kind == "U" else np.isnan(values)
            else:
                design[:, j] = np.nan_to_num((values - feature.centre) / feature.scale, nan=0.0)
        return design

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """The categories of each one-hot column, the reference (which has no feature) as ""."""
        words: dict[str, tuple[str, ...]] = {}
        for feature in self.features:
            if feature.category is not None:
                words[feature.column] = (*words.get(feature.column, ("",)), feature.category)
        return words

    def to_json(self) -> str:
        return json.dumps(
            [[f.column, f.name, f.centre, f.scale, f.category, f.missing] for f in self.features],
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Preparation:
        try:
            return cls(tuple(Feature(*fields) for fields in json.loads(text)))
        except (ValueError, TypeError) as error:
            raise DataError(f"the preparation in this request cannot be read ({error})") from error

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_tally(cls, schema: Schema, sums: NDArray[np.float64]) -> Preparation:
        """What the summed tally of all hospitals fixes.

        A column that is constant, or missing everywhere, has scale 1 and carries nothing.
        Raises ``DataError`` where the sums do not fit the schema or hold no row.
        """
        layout = slots(schema)
        if len(sums) != len(layout):
            raise DataError(f"{len(sums)} sums do not fit a schema with {len(layout)} slots")
        total: dict[tuple[str, str], float] = {
            slot: float(value) for slot, value in zip(layout, sums, strict=True)
        }
        if not total["", "rows"] > 0:
            raise DataError(
                "the statistics round counted no row", "at least one hospital needs rows"
            )
        return cls(tuple(_features(schema, total)))

    @classmethod
    def from_public_ranges(cls, schema: Schema) -> Preparation:
        """What is known without asking anyone: each public range mapped to -1..1, the middle where
        a value is missing. Raises ``DataError`` for a number without a range."""
        features: list[Feature] = []
        for column in schema.columns:
            if column.kind == "category":
                features += [
                    Feature(column.name, f"{column.name}={category}", category=category)
                    for category in column.categories[1:]
                ]
                continue
            low, high = (0.0, 1.0) if column.kind == "flag" else (column.low, column.high)
            if low is None or high is None:
                raise DataError(
                    f"{column.name} has no public range",
                    "data.standardize: none needs one",
                    written_down([column.name], "low: LEAST, high: MOST"),
                )
            middle, half = (low + high) / 2, (high - low) / 2
            features.append(Feature(column.name, column.name, centre=middle, scale=half))
        return cls(tuple(features))

    def recentred(self, schema: Schema, sums: NDArray[np.float64]) -> Preparation:
        """The same features, numbers centred and scaled by another tally (one hospital's own)."""
        own = {f.name: f for f in Preparation.from_tally(schema, sums).features}
        return Preparation(tuple(own.get(f.name, f) for f in self.features))


def _features(schema: Schema, total: Mapping[tuple[str, str], float]) -> Iterator[Feature]:
    for column in schema.columns:
        name = column.name
        if column.kind == "category":
            for category in column.categories[1:]:
                yield Feature(name, f"{name}={category}", category=category)
        else:
            count = max(total[name, "count"], 1.0)
            mean = total[name, "sum"] / count
            spread = float(np.sqrt(max(total[name, "squares"] / count - mean * mean, 0.0)))
            # Squares and mean cancel to about 1e-7 of the mean, so below that nothing is known.
            flat = spread <= 1e-6 * abs(mean)
            yield Feature(name, name, centre=mean, scale=1.0 if flat else spread)
        if total[name, "missing"] > 0:
            yield Feature(name, f"{name} missing", missing=True)


def _column(rows: Rows, name: str) -> NDArray[Any]:
    if isinstance(rows.inputs, np.ndarray):
        raise DataError("images have no columns", "statistics rounds are for tables")
    return rows.inputs[name]
