"""Symptom lists in files: a table of noughts and ones, or one JSON object on each line.

A table has a column ``prognosis`` (or ``condition``) and one for each symptom that was asked after;
a symptom without a column was not reported by anybody. A JSONL line is ``{"symptoms": [...],
"condition": "..."}``, maybe with ``demographics`` (``age``, ``sex`` or ``gender``) and
``additional_info``, which is left alone. A word that is not on the public list is refused with its
line: a symptom that is dropped in silence is a symptom that the patient did not have.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.symptoms_words import (
    LABEL_OF,
    PLACE_OF_SYMPTOM,
    SYMPTOMS,
    folded,
    nearest,
)

MOST_BYTES = 50 << 20
MOST_ROWS = 1_000_000
MOST_ON_A_LINE = 1 << 16
LABELS = ("prognosis", "condition")
WORDS = "aegis data describe symptoms"


@dataclass(frozen=True)
class Lists:
    """``present`` (n, 131) says which symptoms each list names, ``labels`` (n,) the condition;
    ``age`` is NaN and ``sex`` "" where it was not told."""

    present: NDArray[np.bool_]
    labels: NDArray[np.int64]
    age: NDArray[np.float64]
    sex: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp]) -> Lists:
        return Lists(self.present[index], self.labels[index], self.age[index], self.sex[index])

    def distinct(self) -> NDArray[np.intp]:
        """The first row of each pair of symptoms and condition, in the order of the file."""
        whole = np.column_stack([np.packbits(self.present, axis=1), self.labels.astype(np.uint8)])
        _, first = np.unique(whole, axis=0, return_index=True)
        return np.sort(first)


def read_lists(path: Path) -> Lists:
    """The lists of a ``.csv`` or ``.jsonl`` file, as they stand there. Raises ``DataError`` that
    names the line for whatever does not belong there."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = (
                _objects(path, file) if path.suffix == ".jsonl" else _cells(path, csv.reader(file))
            )
            found = list(rows)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no text in UTF-8 ({error})") from error
    if not found:
        raise DataError(f"{path} holds no list of symptoms")
    present = np.zeros((len(found), len(SYMPTOMS)), dtype=np.bool_)
    for row, (places, *_) in enumerate(found):
        present[row, places] = True
    return Lists(
        present,
        np.array([label for _, label, _, _ in found], dtype=np.int64),
        np.array([age for _, _, age, _ in found]),
        np.array([sex for _, _, _, sex in found], dtype=np.str_),
    )


Row = tuple[list[int], int, float, str]


def _cells(path: Path, lines: Iterator[list[str]]) -> Iterator[Row]:
    header = [folded(name) for name in next(lines, [])]
    label = next((name for name in LABELS if header.count(name) == 1), None)
    if label is None:
        raise DataError(
            f"{path} has no column {' or '.join(LABELS)}", "it holds the condition of each list"
        )
    at = header.index(label)
    places: dict[int, int] = {}
    for column, name in enumerate(header):
        if column != at and name:
            places[column] = _symptom(name, f"{path}, the header")
    if not places:
        raise DataError(f"{path} has no column of a symptom", "its cells are 0 or 1")
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}, row {number} has {len(cells)} cells, not {len(header)}")
        _within(path, number)
        found = []
        for column, place in places.items():
            text = cells[column].strip()
            if text not in ("", "0", "1"):
                raise DataError(
                    f"{path}, row {number}, column {header[column]}: {text[:40]!r} is neither 0 "
                    "nor 1"
                )
            if text == "1":
                found.append(place)
        yield found, _condition(cells[at], f"{path}, row {number}"), math.nan, ""


def _objects(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        _within(path, number)
        where = f"{path}, line {number}"
        if len(line) > MOST_ON_A_LINE:
            raise DataError(f"{where} is longer than {MOST_ON_A_LINE:,} characters")
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is no JSON") from error
        if not isinstance(entry, dict):
            raise DataError(
                f"{where} is no object", 'it needs {"symptoms": [...], "condition": ""}'
            )
        words, condition = entry.get("symptoms"), entry.get("condition")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataError(f"{where}: symptoms is no list of words")
        if not isinstance(condition, str):
            raise DataError(f"{where}: condition is no word")
        places = [_symptom(word, where) for word in words]
        age, sex = _demographics(entry.get("demographics"), where)
        yield places, _condition(condition, where), age, sex


def _demographics(told: Any, where: str) -> tuple[float, str]:
    if told is None:
        return math.nan, ""
    if not isinstance(told, dict):
        raise DataError(f"{where}: demographics is no object")
    age, sex = told.get("age"), told.get("sex", told.get("gender"))
    if isinstance(age, bool) or not (age is None or isinstance(age, int | float)):
        raise DataError(f"{where}: the age is no number")
    if age is not None and not 0 <= age <= 120:
        raise DataError(f"{where}: the age {age} is not from 0 to 120")
    known = {"f": "female", "female": "female", "m": "male", "male": "male"}
    spelled = known.get(sex.strip().casefold(), "") if isinstance(sex, str) else ""
    return (math.nan if age is None else float(age)), spelled


def _symptom(word: str, where: str) -> int:
    place = PLACE_OF_SYMPTOM.get(folded(word))
    if place is None:
        raise DataError(
            f"{where}: {word.strip()[:40]!r} is not among the {len(SYMPTOMS)} symptoms"
            f"{nearest(word, PLACE_OF_SYMPTOM)}",
            way_out=f"Every hospital tells symptoms in the same words: {WORDS}",
        )
    return place


def _condition(word: str, where: str) -> int:
    label = LABEL_OF.get(folded(word))
    if label is None:
        raise DataError(
            f"{where}: {word.strip()[:40]!r} is not among the conditions{nearest(word, LABEL_OF)}",
            way_out=f"Every hospital tells conditions in the same words: {WORDS}",
        )
    return label


def _within(path: Path, number: int) -> None:
    if number > MOST_ROWS + 1:
        raise DataError(f"{path} has more than {MOST_ROWS:,} rows")
