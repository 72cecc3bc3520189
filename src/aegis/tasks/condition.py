"""Whom a question is about: the language of ``--where``, read word by word and never evaluated.

    age >= 60 and sex = female and not (chol missing or cp in (typical angina, asymptomatic))

Comparisons (= != < <= > >=), ``in (..)``, ``missing``; joined by ``and``, ``or``, ``not`` and
parentheses, ``and`` binding tighter. Names and words may have spaces; what looks like a part of the
language goes in quotes. A missing value fulfils no comparison, ``!=`` and ``not in`` included. A
condition is written back in one way only, so that a question asked in other spaces or brackets is
the same question.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.task import Rows
from aegis.tasks.topics import Topics, Values, absent, shortened

LONGEST, DEEPEST = 1000, 20

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]

_KEYWORDS = frozenset({"and", "or", "not", "in", "missing"})
_WORD = re.compile(r"""[^\s"'<>=!(),]+""")
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<sign><=|>=|!=|==|=|<|>)"""
    rf"""|(?P<mark>[(),])|(?P<word>{_WORD.pattern}))"""
)
_ORDERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Compare:
    """``=`` and ``!=`` may have several values: any of them, none of them."""

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
    """The condition in ``text``. Raises ``BadInput`` that names the word which does not fit."""
    return _Reader(text, topics).condition()


def written(condition: Condition) -> str:
    """The one way to write this condition; reading it gives the condition back."""
    match condition:
        case Compare(name, sign, values) if len(values) == 1:
            return f"{_word(name)} {sign} {_value(values[0])}"
        case Compare(name, sign, values):
            listed = ", ".join(_value(value) for value in values)
            return f"{_word(name)} {'in' if sign == '=' else 'not in'} ({listed})"
        case Missing(name):
            return f"{_word(name)} missing"
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
            column = topics.column(rows, name, values)
            if sign in _ORDERS:
                compared: NDArray[np.bool_] = _ORDERS[sign](column, values[0])
                return compared
            there = np.isin(column, np.array(values))
            return there if sign == "=" else ~there & ~absent(column)
        case Missing(name):
            return absent(topics.column(rows, name))
        case Not(of):
            return ~holds(of, rows, topics)
        case All(of):
            return reduce(operator.and_, [holds(one, rows, topics) for one in of])
        case AnyOf(of):
            return reduce(operator.or_, [holds(one, rows, topics) for one in of])


def _word(text: str) -> str:
    words = text.split(" ")
    plain = all(_WORD.fullmatch(word) and word.lower() not in _KEYWORDS for word in words)
    return text if plain else '"' + text.replace('"', '""') + '"'


def _value(value: float | str) -> str:
    return _word(value) if isinstance(value, str) else repr(value).removesuffix(".0")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def keyword(self) -> str:
        """The part of the language that this is, or nothing."""
        if self.kind == "word":
            return self.text.lower() if self.text.lower() in _KEYWORDS else ""
        return "" if self.kind == "quoted" else self.text


class _Reader:
    """A descent by hand: or, and, not and brackets, comparison."""

    def __init__(self, text: str, topics: Topics) -> None:
        self._topics, self._at = topics, 0
        self._tokens = _tokens(text)

    def condition(self) -> Condition:
        found = self._either(0)
        if self._at < len(self._tokens):
            raise self._fault("a condition ends, or goes on with and, or")
        return found

    def _either(self, depth: int) -> Condition:
        terms = [self._both(depth)]
        while self._took("or"):
            terms.append(self._both(depth))
        return _joined(AnyOf, terms)

    def _both(self, depth: int) -> Condition:
        terms = [self._single(depth)]
        while self._took("and"):
            terms.append(self._single(depth))
        return _joined(All, terms)

    def _single(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise BadInput(f"this condition has more than {DEEPEST} brackets or nots in each other")
        if self._took("not"):
            of = self._single(depth + 1)
            return of.of if isinstance(of, Not) else Not(of)
        if self._took("("):
            found = self._either(depth + 1)
            self._expect(")")
            return found
        return self._test()

    def _test(self) -> Condition:
        name = self._words("the name of a column")
        kind = self._topics.kind(name)
        if self._took("missing"):
            return Missing(name)
        if self._took("not"):
            if self._took("missing"):
                return Not(Missing(name))
            self._expect("in")
            return self._among(name, "!=")
        if self._took("in"):
            return self._among(name, "=")
        token = self._next()
        if token is None or token.kind != "sign":
            raise self._fault(f"after {shortened(name)} comes = != < <= > >= in or missing")
        self._at += 1
        sign = cast(Operator, "=" if token.text == "==" else token.text)
        if sign in ("=", "!=") and self._took("missing"):
            return Missing(name) if sign == "=" else Not(Missing(name))
        values = self._topics.values(name, [self._words("a value")])
        if sign in _ORDERS and (kind != "number" or isinstance(values[0], str)):
            raise BadInput(
                f"{shortened(name)} {sign} has no meaning: {shortened(name)} holds no amounts",
                way_out=f"Compare it with = or !=, as in: {shortened(name)} = "
                f"{shortened(str(values[0]))}",
            )
        return Compare(name, sign, values)

    def _among(self, name: str, sign: Operator) -> Condition:
        self._expect("(")
        words = [self._words("a value")]
        while self._took(","):
            words.append(self._words("a value"))
        self._expect(")")
        return Compare(name, sign, self._topics.values(name, words))

    def _words(self, wanted: str) -> str:
        """One quoted text, or plain words up to the next part of the language."""
        token = self._next()
        if token is not None and token.kind == "quoted":
            self._at += 1
            mark = token.text[0]
            return token.text[1:-1].replace(2 * mark, mark)
        words: list[str] = []
        while token is not None and token.kind == "word" and not token.keyword:
            words.append(token.text)
            self._at += 1
            token = self._next()
        if not words:
            raise self._fault(f"{wanted} is expected")
        return " ".join(words)

    def _next(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _took(self, keyword: str) -> bool:
        token = self._next()
        taken = token is not None and token.keyword == keyword
        self._at += taken
        return taken

    def _expect(self, keyword: str) -> None:
        if not self._took(keyword):
            raise self._fault(f"{keyword} is expected")

    def _fault(self, need: str) -> BadInput:
        token = self._next()
        if token is None:
            return BadInput("the condition ends too early", need)
        return BadInput(f"{shortened(token.text)} does not fit into this condition", need)


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        raise BadInput(f"a condition has at most {LONGEST} characters, got {len(text)}")
    if not re.sub(r"[\t\r\n]", " ", text).isprintable():
        raise BadInput("the condition holds a character that cannot be shown")
    text, at, found = text.rstrip(), 0, []
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadInput(
                f"{shortened(text[at:].strip())} cannot be read as a condition",
                way_out="Quotes come in pairs; ! stands before = only",
            )
        found.append(_Token(match.lastgroup or "", match[match.lastgroup or 0]))
        at = match.end()
    return found


def _joined(kind: type[All] | type[AnyOf], terms: list[Condition]) -> Condition:
    """One term is itself; terms of the same kind lose their brackets."""
    flat: list[Condition] = []
    for term in terms:
        flat += term.of if isinstance(term, All | AnyOf) and type(term) is kind else [term]
    return flat[0] if len(flat) == 1 else kind(tuple(flat))
