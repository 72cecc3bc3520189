"""Whether the parts of a model's card are what a training writes: the card may be anybody's.

The weights are held against their hash; what prepares the rows for them is not, and reaches
arithmetic. ``ValueError`` for what no training makes.
"""

from __future__ import annotations

from typing import Any

from aegis.tasks.bounded import Bounded, Prepared
from aegis.tasks.preparation import Preparation
from aegis.tasks.task import Column

LARGEST = 1e300


def sound(prepared: Prepared) -> Prepared:
    match prepared:
        case Preparation(features):
            texts = [text for f in features for text in (f.column, f.name, f.category or "")]
            numbers: list[Any] = [number for f in features for number in (f.centre, f.scale)]
            flags = [f.missing for f in features]
        case Bounded(columns, means, deviations):
            texts = [text for c in columns for text in (c.name, c.kind, *c.categories)]
            numbers = [bound for c in columns if c.kind == "number" for bound in (c.low, c.high)]
            numbers += [*means, *deviations]
            flags = [c.may_miss for c in columns]
            wide = {len(means), len(deviations)} - {0}
            if wide - {len(prepared.features)} or bool(means) != bool(deviations):
                raise ValueError("its preparation has not one mean and deviation for each column")
        case _:  # they allow only what they would write themselves
            return prepared
    if not (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) and abs(number) < LARGEST for number in numbers)
        and all(isinstance(flag, bool) for flag in flags)
    ):
        raise ValueError("its preparation holds what is neither a name nor a number")
    return prepared


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
