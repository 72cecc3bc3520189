"""What a question may name, and which words mean which values: public knowledge only.

There are the columns of the schema, the attributes beside them, and the diagnosis. Words are
checked against public categories; what only the data know is neither listed nor suggested. A column
comes before an attribute of the same name, except for words that the column does not hold
(``sex = female`` where sex is coded 0 and 1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.task import Rows, Schema

Kind: TypeAlias = Literal["number", "flag", "category", "words", "label"]
Values: TypeAlias = tuple[float, ...] | tuple[str, ...]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FLAGS = {"1": 1.0, "yes": 1.0, "true": 1.0, "0": 0.0, "no": 0.0, "false": 0.0}


@dataclass(frozen=True)
class Topics:
    """``positive`` is the task's word for label 1 of two classes; ``attributes`` says what each one
    holds."""

    schema: Schema
    positive: str = "positive"
    attributes: Mapping[str, Literal["number", "words"]] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema, positive: str, rows: Rows) -> Topics:
        """``rows`` are looked at for the names and types of their attributes only."""
        kinds: dict[str, Literal["number", "words"]] = {
            name: "words" if values.dtype.kind == "U" else "number"
            for name, values in rows.attributes.items()
        }
        return cls(schema, positive, kinds)

    @property
    def label(self) -> str:
        """What the label is called."""
        return "label" if "diagnosis" in self.schema.names else "diagnosis"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.schema.names, *self.attributes, self.label)))

    def kind(self, name: str) -> Kind:
        """Raises ``BadInput`` with the nearest name."""
        if name in self.schema.names:
            return self.schema[name].kind
        if name == self.label:
            return "label"
        if name in self.attributes:
            return self.attributes[name]
        raise BadInput(f"no column is called {shortened(name)}", way_out=nearest(name, self.names))

    def values(self, name: str, words: Iterable[str]) -> Values:
        """What these words mean for this column, sorted, each once: all numbers or all text.
        Raises ``BadInput`` with the nearest word."""
        given = tuple(words)
        if "" in given:
            raise BadInput("the empty word stands for nothing", way_out=f"Write: {name} missing")
        if self._spoken(name, given):
            return tuple(sorted(set(given)))
        match self.kind(name):
            case "words":
                return tuple(sorted(set(given)))
            case "category":
                categories = {word: word for word in self.schema[name].categories}
                if not categories:
                    return tuple(sorted(set(given)))
                return tuple(sorted({_known(name, word, categories) for word in given}))
            case "label":
                if self.schema.classes:
                    named = {word: word for word in self.schema.classes}
                    return tuple(sorted({_known(name, word, named) for word in given}))
                answers = {self.positive: "positive", "1": "positive", "0": "negative"}
                answers |= {"positive": "positive", "negative": "negative"}
                return tuple(sorted({_known(name, word, answers) for word in given}))
            case "flag":
                return tuple(sorted({_known(name, word.lower(), _FLAGS) for word in given}))
            case "number":
                return tuple(sorted({_number(name, word) for word in given}))

    def column(self, rows: Rows, name: str, values: Values = ()) -> NDArray[Any]:
        """(n,) what the rows hold, fit to be compared with ``values``."""
        if self.kind(name) == "label":
            if self.schema.classes:
                return np.array(self.schema.classes)[rows.labels]
            return np.where(rows.labels == 1, "positive", "negative")
        if name in self.schema.names and not isinstance(rows.inputs, np.ndarray):
            column = rows.inputs[name]
            if column.dtype.kind == "U" or not any(isinstance(value, str) for value in values):
                return column
        if name not in rows.attributes:
            raise BadInput(f"these rows have no column called {shortened(name)}")
        return rows.attributes[name]

    def _spoken(self, name: str, words: tuple[str, ...]) -> bool:
        """Whether these are words of the attribute that says what a coded column means."""
        if self.attributes.get(name) != "words":
            return False
        match self.kind(name):
            case "number":
                return not all(_NUMBER.fullmatch(word) for word in words)
            case "flag":
                return not all(word.lower() in _FLAGS for word in words)
            case _:
                return False


def absent(values: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where a value is missing: NaN, or the empty word."""
    found: NDArray[np.bool_] = values == "" if values.dtype.kind == "U" else np.isnan(values)
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """Did you mean this one? Or the first few there are."""
    from difflib import get_close_matches

    there = {one.lower(): one for one in known}
    near = get_close_matches(word.lower(), there, 1, 0.5)
    if near:
        return f"Did you mean {there[near[0]]}?"
    shown = ", ".join(list(there.values())[:12])
    return f"There are {shown}{' and more' if len(there) > 12 else ''}"


def shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _known(name: str, word: str, known: Mapping[str, Any]) -> Any:
    if word not in known:
        raise BadInput(f"{name} is never {shortened(word)}", way_out=nearest(word, known))
    return known[word]


def _number(name: str, word: str) -> float:
    if not _NUMBER.fullmatch(word) or not math.isfinite(value := float(word)):
        raise BadInput(f"{name} is a number, got {shortened(word)}")
    return value + 0.0  # no negative zero
