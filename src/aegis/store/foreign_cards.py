"""Whether the parts of a model's card are what a training writes: the card may be anybody's.

The weights are held against their hash; what prepares the rows for them is not, and reaches
arithmetic. ``ValueError`` for what no training makes.
"""

from __future__ import annotations

from typing import Any

from aegis.tasks.bounded import Bounded, Prepared
from aegis.tasks.preparation import Preparation
from aegis.tasks.task import Column, Schema

LARGEST, SMALLEST = 1e150, 1e-150  # a quotient of two is a number, too


def sound(prepared: Prepared, schema: Schema) -> Prepared:
    """The preparation, if it can prepare rows of these columns; else ``ValueError``."""
    match prepared:
        case Preparation(features):
            texts = [text for f in features for text in (f.column, f.name)]
            texts += [f.category for f in features if f.category is not None]
            numbers: list[Any] = [f.centre for f in features]
            scales: list[Any] = [f.scale for f in features]
            flags = [f.missing for f in features]
            words = {f.column: f.category is not None for f in features if f.missing is not True}
        case Bounded(columns, means, deviations):
            texts = [text for c in columns for text in (c.name, c.kind, *c.categories)]
            numbers = [bound for c in columns if c.kind == "number" for bound in (c.low, c.high)]
            numbers += [*means]
            scales = [*deviations]
            flags = [c.may_miss for c in columns]
            words = {c.name: c.kind == "category" for c in columns}
            if len(words) != len(columns):
                raise ValueError("its preparation names a column twice")
            wide = {len(means), len(deviations)} - {0}
            if wide - {len(prepared.features)} or bool(means) != bool(deviations):
                raise ValueError("its preparation has not one mean and deviation for each column")
        case _:  # they allow only what they would write themselves
            return prepared
    if not (
        all(isinstance(text, str) for text in texts)
        and all(_is_number(number) for number in numbers)
        and all(_is_number(scale) and scale > SMALLEST for scale in scales)
        and all(isinstance(flag, bool) for flag in flags)
    ):
        raise ValueError("its preparation holds what is neither a name nor a number")
    for one in schema.columns:
        if words.get(one.name, one.kind == "category") != (one.kind == "category"):
            raise ValueError(f"its preparation takes {one.name} for another kind of column")
    return prepared


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and found is not True and abs(found) < LARGEST


def column(**fields: Any) -> Column:
    made = Column(**fields)
    words = (made.name, made.description, made.unit, *made.categories)
    bounds = [bound for bound in (made.low, made.high) if bound is not None]
    if (
        made.kind not in ("number", "flag", "category")
        or not all(isinstance(word, str) for word in words)
        or not all(isinstance(bound, int | float) and abs(bound) < LARGEST for bound in bounds)
    ):
        raise ValueError(f"a column {made.name!r:.40} that is none")
    return made
