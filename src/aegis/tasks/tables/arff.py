"""The head of an ARFF file (Weka): names and kinds are declared, then rows follow as in a CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from aegis.errors import DataError

_ATTRIBUTE = re.compile(
    r"@attribute\s+('(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<bare>\S+))\s+(?P<kind>.+)",
    re.IGNORECASE,
)
_NUMBERS = ("numeric", "real", "integer")

Declared = dict[str, tuple[str, ...] | None]


def begin(name: str, text: Iterator[str]) -> tuple[list[str], Declared, Iterator[list[str]], int]:
    """Names, declared kinds (None for a number), the rows, and how many lines stand above them.
    Raises ``DataError`` for a head that cannot be read and for sparse rows."""
    names: list[str] = []
    declared: Declared = {}
    for number, line in enumerate(text, start=1):
        line = line.strip()
        word = line.split(None, 1)[0].lower() if line else ""
        if not line or line.startswith("%") or word == "@relation":
            continue
        if word == "@data":
            return names, declared, _rows(name, text, number), number
        found = _ATTRIBUTE.fullmatch(line)
        if found is None:
            raise DataError(
                f"{name}, line {number} reads {line:.40}",
                "the head of an ARFF file has @attribute NAME KIND, then @data",
            )
        title = (found["single"] or found["double"] or found["bare"] or "").strip()
        names.append(title)
        kind = found["kind"].strip()
        if kind.startswith("{"):
            inside = kind.strip("{} \t")
            quote = "'" if "'" in inside else '"'
            cells = next(csv.reader([inside], quotechar=quote, skipinitialspace=True))
            declared[title] = tuple(cell.strip() for cell in cells if cell.strip())
        elif kind.lower().startswith(_NUMBERS):
            declared[title] = None
    raise DataError(f"{name} has no @data", "its rows follow that line in an ARFF file")


def _rows(name: str, text: Iterator[str], above: int) -> Iterator[list[str]]:
    """One record a line; a comment is an empty one, so that numbers of rows stay lines."""
    for number, line in enumerate(text, start=above + 1):
        line = line.strip()
        if line.startswith("{"):
            raise DataError(
                f"{name}, line {number} is a sparse row",
                "an ARFF file is read with all its cells",
                "Save it dense, or as CSV",
            )
        if not line or line.startswith("%"):
            yield []
            continue
        quote = "'" if "'" in line else '"'
        yield next(csv.reader([line], quotechar=quote, skipinitialspace=True, strict=True))
