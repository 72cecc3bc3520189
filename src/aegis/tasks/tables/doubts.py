"""Columns that should not be learned from, and why.

A name or a number of a patient, a date, free text, a column that never changes, a copy of another
one, and one that gives the label away (a threshold, a code or the mere absence of a value tells
it): all of these make a model that looks good here and is worthless elsewhere. They are left out
and said, unless somebody names them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 20
FEWEST_OF_A_CLASS = 5
MOST_WORDS = 100
_NAMED = re.compile(
    r"(patient|subject|person|record|case|encounter|admission|visit)?[ _-]?(id|ids|mrn|uuid)"
    r"|(patient|subject|record|case)[ _-]?(no|nr|number)|ssn|name|first[ _]?name|last[ _]?name"
    r"|surname|e-?mail|phone|address|insurance[ _](no|nr|number)"
)
_DATE = re.compile(
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}.*|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}.*"
)


@dataclass(frozen=True)
class Doubt:
    column: str
    why: str

    def __str__(self) -> str:
        return f"{self.column} {self.why}"


def doubts(
    columns: Mapping[str, NDArray[Any]], labels: NDArray[np.int64] | None = None
) -> list[Doubt]:
    """One for each doubtful column, its first reason, in the order of the columns. Numbers are
    float64 with NaN where missing, categories text with ""."""
    found: list[Doubt] = []
    seen: dict[str, str] = {}
    for name, values in columns.items():
        why = _by_itself(name, values)
        if why is None:
            digest = hashlib.sha256(f"{values.dtype.kind}".encode() + _bytes(values)).hexdigest()
            first = seen.setdefault(digest, name)
            if first != name:
                why = f"is a copy of {first}"
        if why is None and labels is not None:
            why = _telling(values, labels)
        if why is not None:
            found.append(Doubt(name, why))
    return found


def strange_numbers(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows whose value lies absurdly far out: more than ten times the middle half's width away
    from it (a pulse of 1111, an age of 350)."""
    there = values[~np.isnan(values)]
    if len(there) < FEWEST:
        return np.zeros(0, dtype=np.intp)
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the largest there are
        low, high = np.quantile(there, [0.25, 0.75])
        width = high - low
        if not width > 0 or len(np.unique(there)) <= 2:
            return np.zeros(0, dtype=np.intp)
        far = (values < low - 10 * width) | (values > high + 10 * width)
    # A long tail is a distribution, single far values are slips.
    return np.flatnonzero(far) if far.sum() <= max(3, len(there) // 200) else np.flatnonzero([])


def _by_itself(name: str, values: NDArray[Any]) -> str | None:
    text = values.dtype.kind == "U"
    present = values[values != ""] if text else values[~np.isnan(values)]
    if not len(present):
        return "is empty"
    distinct = len(np.unique(present))
    if _NAMED.fullmatch(name.casefold().strip()):
        return "names patients"
    if distinct == 1 and len(present) == len(values):
        return f"is always {present[0]}"[:80]
    if len(present) < FEWEST:
        return None
    if text:
        if all(_DATE.fullmatch(str(word)) for word in present[:200]):
            return "holds dates"
        if distinct >= 0.95 * len(present):
            return "differs in nearly every row, like a name"
        return f"is free text ({distinct} different words)" if distinct > MOST_WORDS else None
    whole = bool((present == np.round(present)).all())
    if whole and distinct == len(present) and bool((np.diff(present) > 0).all()):
        return "numbers the rows"
    return None


def _telling(values: NDArray[Any], labels: NDArray[np.int64]) -> str | None:
    positive = labels == 1
    if min(positive.sum(), (~positive).sum()) < FEWEST_OF_A_CLASS or len(labels) < FEWEST:
        return None
    text = values.dtype.kind == "U"
    absent = values == "" if text else np.isnan(values)
    if bool((absent == positive).all()) or bool((absent != positive).all()):
        return "tells the label by being there or not"
    if text:
        words, codes = np.unique(values, return_inverse=True)
        share = np.bincount(codes, weights=labels) / np.bincount(codes)
        pure = bool(np.isin(share, (0.0, 1.0)).all())
        return "tells the label by itself" if pure and 5 * len(words) <= len(values) else None
    ill, well = values[positive & ~absent], values[~positive & ~absent]
    if min(len(ill), len(well)) < FEWEST_OF_A_CLASS:
        return None
    apart = ill.min() > well.max() or ill.max() < well.min()
    return "tells the label by one threshold" if apart else None


def _bytes(values: NDArray[Any]) -> bytes:
    if values.dtype.kind == "U":
        return "\0".join(values.tolist()).encode()
    return np.ascontiguousarray(values).tobytes()
