"""Records of bounded length, for private training: what a column may do is known beforehand.

Columns come to one scale by their public ranges (``public_map``), never by what the data hold.
Where a private statistics round told means and deviations, mapped columns are standardised with
them and clipped again. Each record is then shortened to norm 1 at most, so that one record's part
in any sum is known without looking. How many columns there are, and which have an indicator for
missing values, follows from the schema alone.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.pixels import Pixels
from aegis.tasks.preparation import Feature, Preparation
from aegis.tasks.public_map import indicator, public_map, written_down
from aegis.tasks.task import Column, Rows, Schema

RECORD_SCALE = 0.45
SHOWN = 8
_LONGEST_REMEMBERED = 2**14


@dataclass(frozen=True)
class Bounded:
    """A preparation whose rows have norm 1 at most. ``means`` and ``deviations`` are those of the
    mapped columns, empty without a statistics round."""

    columns: tuple[Column, ...]
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    @classmethod
    def of(cls, schema: Schema) -> Bounded:
        """Raises ``DataError`` for a number without a public range, and for a category without
        public words."""
        numbers = [c.name for c in schema.columns if c.kind == "number" and None in (c.low, c.high)]
        if numbers:
            raise DataError(
                f"{_these(numbers)} no public range",
                "private training scales columns by what is known without any patient",
                written_down(numbers, "low: LEAST, high: MOST"),
            )
        words = [c.name for c in schema.columns if c.kind == "category" and not c.categories]
        if words:
            raise DataError(
                f"{_these(words)} no public categories",
                "private training knows a column's words without any patient",
                written_down(words, "categories: [ONE, TWO]"),
            )
        return cls(schema.columns)

    def standardised(
        self, means: NDArray[np.floating], deviations: NDArray[np.floating]
    ) -> Bounded:
        return replace(self, means=tuple(means.tolist()), deviations=tuple(deviations.tolist()))

    @property
    def features(self) -> tuple[Feature, ...]:
        found: list[Feature] = []
        for column in self.columns:
            if column.kind == "category":
                found += [
                    Feature(column.name, f"{column.name}={word}", category=word)
                    for word in column.categories[1:]
                ]
            else:
                found.append(Feature(column.name, column.name))
            if column.may_miss:
                found.append(Feature(column.name, f"{column.name} missing", missing=True))
        return tuple(found)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def mapped(self, rows: Rows) -> NDArray[np.float64]:
        """(n, d) columns in [-1, 1]; categories and indicators 0 or 1."""
        if isinstance(rows.inputs, np.ndarray):
            raise DataError("images have no columns to bound")
        parts: list[NDArray[np.float64]] = []
        for column in self.columns:
            values = rows.inputs[column.name]
            if column.kind == "category":
                parts += [(values == word).astype(float) for word in column.categories[1:]]
            else:
                low, high = (0.0, 1.0) if column.kind == "flag" else (column.low, column.high)
                assert low is not None
                assert high is not None
                parts.append(public_map(values, low, high, column.kind == "flag"))
            if column.may_miss:
                parts.append(indicator(values))
        return np.stack(parts, axis=1)

    def apply(self, rows: Rows) -> NDArray[np.float64]:
        """The design matrix (n, d), each row of norm 1 at most, without an intercept column. Rows
        that are an array already are taken as they are."""
        if isinstance(rows.inputs, np.ndarray):
            return np.asarray(rows.inputs, dtype=np.float64)
        mapped = self.mapped(rows)
        if self.means:
            mapped = np.clip((mapped - self.means) / (2 * np.array(self.deviations)), -1.0, 1.0)
        scaled = mapped / (RECORD_SCALE * math.sqrt(mapped.shape[1]))
        norms = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
        shortened: NDArray[np.float64] = (
            scaled * np.minimum(1.0, 1 / np.maximum(norms, 1e-300))[:, None]
        )
        return shortened

    def to_json(self) -> str:
        columns = [
            [c.name, c.kind, c.low, c.high, list(c.categories), c.may_miss] for c in self.columns
        ]
        document = {"bounded": columns, "means": self.means, "deviations": self.deviations}
        return json.dumps(document, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _these(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{shown}{more} {'has' if len(names) == 1 else 'have'}"


Prepared: TypeAlias = Preparation | Bounded | ImageFeatures | Pixels


def public_preparation(schema: Schema, private: bool, pixels: bool = False) -> Prepared:
    """What is known without asking anyone; every row of norm 1 at most where it is ``private``.
    Raises ``DataError`` for a number without a public range."""
    if schema.image is not None:
        return Pixels.of(schema.image) if pixels else ImageFeatures.of(schema.image)
    return Bounded.of(schema) if private else Preparation.from_public_ranges(schema)


def _read(text: str) -> Prepared:
    if not text.startswith("{"):
        return Preparation.from_json(text)
    if text.startswith('{"pixels"'):
        return Pixels.from_json(text)
    if text.startswith('{"image"'):
        return ImageFeatures.from_json(text)
    try:
        document: dict[str, Any] = json.loads(text)
        columns = tuple(
            Column(name, kind, "", low=low, high=high, categories=tuple(words), may_miss=may_miss)
            for name, kind, low, high, words, may_miss in document["bounded"]
        )
        return Bounded(columns, tuple(document["means"]), tuple(document["deviations"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"the preparation in this request cannot be read ({error})") from error


_remembered = lru_cache(maxsize=64)(_read)  # every hospital reads one text in every round


def read_preparation(text: str) -> Prepared:
    """The preparation whose canonical JSON this is. Long ones are not remembered, as somebody could
    fill the memory with them."""
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _read(text)
