"""Whom a question is about: the language of ``--where``, read word by word and never evaluated.

    age >= 60 and sex = female and not (chol missing or cp in (typical angina, asymptomatic))

Comparisons (= != < <= > >=), ``in (..)``, ``missing``; joined by ``and``, ``or``, ``not`` and
parentheses. Names and words may have spaces; what looks like a part of the language goes in quotes.
What may be named is public: the columns of the schema, the attributes beside them, and the
diagnosis. A missing value fulfils no comparison, ``!=`` and ``not in`` included; ``not`` turns the
answer round. Conditions that were read are written back in one way only, so that a question asked
in other spaces or brackets is the same question.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.task import Rows, Schema

LONGEST, DEEPEST = 1000, 20

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Kind: TypeAlias = Literal["number", "flag", "category", "words", "label"]
Values: TypeAlias = tuple[float, ...] | tuple[str, ...]

_KEYWORDS = frozenset({"and", "or", "not", "in", "missing"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORD = re.compile(r"""[^\s"'<>=!(),]+""")
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<operator><=|>=|!=|==|=|<|>)"""
    r"""|(?P<mark>[(),])|(?P<word>[^\s"'<>=!(),]+))"""
)
_YES_OR_NO = {"1": 1.0, "yes": 1.0, "true": 1.0, "0": 0.0, "no": 0.0, "false": 0.0}
_ORDERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Topics:
    """What may be asked about. ``attributes`` says of each whether it holds numbers or words;
    ``positive`` is the task's word for label 1."""

    schema: Schema
    positive: str = "positive"
    attributes: Mapping[str, Literal["number", "words"]] | None = None

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
        """What the label is called, where no column has that name already."""
        return "label" if "diagnosis" in self.schema.names else "diagnosis"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.schema.names, *(self.attributes or {}), self.label)))

    def kind(self, name: str) -> Kind:
        """Raises ``BadInput`` with the nearest name. A column comes before an attribute."""
        if name in self.schema.names:
            return self.schema[name].kind
        if name == self.label:
            return "label"
        if self.attributes and name in self.attributes:
            return self.attributes[name]
        raise BadInput(f"no column is called {name}", way_out=nearest(name, self.names))

    def also_words(self, name: str) -> bool:
        """Whether an attribute of this name says in words what the column codes."""
        return bool(self.attributes) and (self.attributes or {}).get(name) == "words"


@dataclass(frozen=True)
class Compare:
    """``=`` and ``!=`` may have several values, sorted: any of them, none of them."""

    name: str
    operator: Operator
    values: Values


@dataclass(frozen=True)
class Missing:
    name: str


@dataclass(frozen=True)
class Not:
    of: Condition


@dataclass(frozen=True)
class All:
    of: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    of: tuple[Condition, ...]


Condition: TypeAlias = Compare | Missing | Not | All | AnyOf


def read_condition(text: str, topics: Topics) -> Condition:
    """The condition in ``text``; ``BadInput`` names the word that does not fit."""
    from aegis.tasks.reader import Reader

    return Reader(text, topics).condition()


def written(condition: Condition) -> str:
    """The one way to write this condition; reading it gives the condition back."""
    match condition:
        case Compare(name, sign, values) if len(values) == 1:
            return f"{_name(name)} {sign} {_value(values[0])}"
        case Compare(name, sign, values):
            listed = ", ".join(_value(value) for value in values)
            return f"{_name(name)} {'in' if sign == '=' else 'not in'} ({listed})"
        case Missing(name):
            return f"{_name(name)} missing"
        case Not(of):
            return f"not ({written(of)})" if isinstance(of, All | AnyOf) else f"not {written(of)}"
        case All(of):
            parts = (f"({written(one)})" if isinstance(one, AnyOf) else written(one) for one in of)
            return " and ".join(parts)
        case AnyOf(of):
            return " or ".join(written(one) for one in of)


def holds(condition: Condition, rows: Rows, topics: Topics) -> NDArray[np.bool_]:
    """(n,) for which rows the condition is true."""
    match condition:
        case Compare(name, sign, values):
            column, found = _column(rows, topics, name, values), np.array(values)
            if sign in _ORDERS:
                compared: NDArray[np.bool_] = _ORDERS[sign](column, found[0])
                return compared
            there = np.isin(column, found)
            return there if sign == "=" else ~there & ~absent(column)
        case Missing(name):
            return absent(_column(rows, topics, name, ()))
        case Not(of):
            return ~holds(of, rows, topics)
        case All(of):
            return np.logical_and.reduce([holds(one, rows, topics) for one in of])
        case AnyOf(of):
            return np.logical_or.reduce([holds(one, rows, topics) for one in of])


def absent(values: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where a value is missing: NaN, or the empty word."""
    return values == "" if values.dtype.kind == "U" else np.isnan(values)


def typed(topics: Topics, name: str, words: Iterable[str]) -> Values:
    """The values that these words mean for this column, sorted, each once. Raises ``BadInput``."""
    kind, given = topics.kind(name), tuple(words)
    if "" in given:
        raise BadInput("an empty word stands for nothing", way_out=f"Write: {_name(name)} missing")
    match kind:
        case "words":
            return tuple(sorted(set(given)))
        case "label":
            known = {"positive": "positive", topics.positive: "positive", "1": "positive"}
            known |= {"negative": "negative", "0": "negative"}
            return tuple(sorted({_known(name, word, known) for word in given}))
        case "category":
            there = topics.schema[name].categories
            if not there:
                return tuple(sorted(set(given)))
            return tuple(sorted({_known(name, word, {w: w for w in there}) for word in given}))
        case "flag":
            if topics.also_words(name) and not all(word.lower() in _YES_OR_NO for word in given):
                return tuple(sorted(set(given)))
            return tuple(sorted({_known(name, word.lower(), _YES_OR_NO) for word in given}))
        case "number":
            numbers = [_number(word) for word in given]
            if topics.also_words(name) and None in numbers:
                return tuple(sorted(set(given)))
            if None in numbers:
                word = given[numbers.index(None)]
                raise BadInput(f"{name} is a number, got {shortened(word)}")
            return tuple(sorted({number for number in numbers if number is not None}))


def nearest(word: str, known: Iterable[str]) -> str:
    """"Did you mean ...?", or the first few there are."""
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


def _number(word: str) -> float | None:
    if not _NUMBER.fullmatch(word) or not math.isfinite(value := float(word)):
        return None
    return value + 0.0  # no negative zero


def _name(text: str) -> str:
    words = text.split(" ")
    plain = all(_WORD.fullmatch(word) and word.lower() not in _KEYWORDS for word in words)
    return text if plain else '"' + text.replace('"', '""') + '"'


def _value(value: float | str) -> str:
    return _name(value) if isinstance(value, str) else repr(value).removesuffix(".0")


def _column(rows: Rows, topics: Topics, name: str, values: Values) -> NDArray[Any]:
    """The column, or where it is asked for in words that it does not hold, its attribute."""
    kind = topics.kind(name)
    if kind == "label":
        return np.where(rows.labels == 1, "positive", "negative")
    spoken = kind in ("number", "flag") and bool(values) and isinstance(values[0], str)
    if name in topics.schema.names and not spoken and not isinstance(rows.inputs, np.ndarray):
        return rows.inputs[name]
    if name not in rows.attributes:
        raise BadInput(f"these rows have no column called {name}")
    return rows.attributes[name]
