"""FHIR R4 resources, one JSON object a line, flattened to one row for each patient.

    Patient       patient id, sex, age (on a day that is given, or at the last observation)
    Observation   a column for each code (LOINC): the latest value, or the mean of all
    Condition     a column that is 1 where one of its codes was diagnosed

Lines are read one after the other; what is kept is a value for each patient and column. A number
counts only with its unit: another one is converted by a factor that the owner wrote down, or is a
fault with its line. What was entered in error, refuted or cancelled does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aegis.errors import DataError
from aegis.tasks.tables.cells import table_of
from aegis.tasks.tables.dialect import MOST_ROWS
from aegis.tasks.tables.fhir_resources import (
    EVER,
    codes,
    codes_alone,
    day,
    dicts,
    moment,
    resources,
)
from aegis.tasks.tables.reading import Problems, Table

LOINC = "http://loinc.org"
TAKES = ("latest", "mean")
_VOID = ("entered-in-error", "cancelled", "refuted")


@dataclass(frozen=True)
class Wanted:
    """One column: ``codes`` of observations (LOINC, or ``system|code``), or of ``conditions``
    (a star ends a code's beginning: ``E11*``), or ``patient: deceased``. ``unit`` is UCUM's;
    ``also`` are factors from other units to it."""

    name: str
    codes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    deceased: bool = False
    unit: str = ""
    also: Mapping[str, float] = field(default_factory=dict)
    take: Literal["latest", "mean"] = "latest"
    bounds: bool = False


@dataclass(frozen=True)
class Export:
    """Files of NDJSON, and what of them becomes columns."""

    patients: tuple[Path, ...]
    observations: tuple[Path, ...]
    conditions: tuple[Path, ...]
    columns: tuple[Wanted, ...]
    on: date | None = None


class _Kept:
    """One column's values so far, by patient."""

    def __init__(self, wanted: Wanted, patients: int) -> None:
        self.wanted = wanted
        self.numbers = np.full(patients, np.nan)
        self.words: dict[int, str] = {}
        self.when = np.full(patients, -np.inf)
        self.counts = np.zeros(patients, np.int64)
        self.unit = wanted.unit

    def take(self, who: int, value: float | str, when: float) -> None:
        if self.wanted.take == "mean" and isinstance(value, float):
            self.counts[who] += 1
            before = 0.0 if np.isnan(self.numbers[who]) else self.numbers[who]
            self.numbers[who] = before + (value - before) / self.counts[who]
        elif when >= self.when[who]:
            self.when[who] = when
            self.words.pop(who, None)
            self.numbers[who] = np.nan
            if isinstance(value, float):
                self.numbers[who] = value
            else:
                self.words[who] = value

    def cell(self, who: int) -> float | str | None:
        if who in self.words:
            return self.words[who]
        number = float(self.numbers[who])
        return None if np.isnan(number) else number


def read_fhir(name: str, export: Export, missing: Iterable[str] = ()) -> Table:
    """Raises ``DataError`` for files that are no such resources; faults of single resources are
    ``problems`` of the table, with their lines."""
    problems = Problems()
    people = _People(problems)
    for path in export.patients:
        for line, resource in resources(path, "Patient"):
            people.add(path, line, resource)
    if not people.ids:
        raise DataError(f"{name} has no patient")
    kept = {wanted.name: _Kept(wanted, len(people.ids)) for wanted in export.columns}
    seen = _observed(export, kept, people, problems) + _diagnosed(export, kept, people, problems)
    for wanted in export.columns:
        if wanted.deceased:
            for who, died in enumerate(people.deceased):
                kept[wanted.name].take(who, str(int(died)), 0.0)
        elif wanted.conditions:
            for who in range(len(people.ids)):
                kept[wanted.name].take(who, "0", -np.inf)
    header = ["patient id", "sex", "age", *kept]
    rows = (
        people.told(who, export.on) + [column.cell(who) for column in kept.values()]
        for who in range(len(people.ids))
    )
    told = f"FHIR, {len(people.ids)} patients, {seen} of their observations and diagnoses"
    if people.strangers:
        told += f"; {people.strangers} of others left out"
    return table_of(name, told, header, rows, missing, problems, people.lines)


class _People:
    """Patients in the order of their file."""

    def __init__(self, problems: Problems) -> None:
        self.number: dict[str, int] = {}
        self.ids: list[str] = []
        self.sexes: list[str | None] = []
        self.births: list[date | None] = []
        self.deceased: list[bool] = []
        self.lines: list[int] = []
        self.last: dict[int, float] = {}
        self.strangers = 0
        self._problems = problems

    def add(self, path: Path, line: int, resource: Mapping[str, Any]) -> None:
        own = resource.get("id")
        if not isinstance(own, str) or not own:
            self._problems.add(line, "patient id", f"{path.name}: a patient without an id")
            return
        if own in self.number:
            self._problems.add(line, "patient id", f"{path.name}: a second patient of this id")
            return
        if len(self.ids) >= MOST_ROWS:
            raise DataError(f"{path.name} has more than {MOST_ROWS} patients")
        self.number[own] = len(self.ids)
        self.ids.append(own)
        sex = resource.get("gender")
        self.sexes.append(sex if sex in ("male", "female", "other") else None)
        self.births.append(day(resource.get("birthDate")))
        dead = resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource
        self.deceased.append(dead)
        self.lines.append(line)

    def of(self, resource: Mapping[str, Any]) -> int | None:
        """Whose this is; None for a stranger, who is counted."""
        subject = resource.get("subject")
        reference = subject.get("reference") if isinstance(subject, dict) else None
        text = reference if isinstance(reference, str) else ""
        found = self.number.get(text.split("/_history/")[0].rpartition("/")[2])
        if found is None:
            self.strangers += 1
        return found

    def told(self, who: int, on: date | None) -> list[Any]:
        return [self.ids[who], self.sexes[who], self.age(who, on)]

    def age(self, who: int, on: date | None) -> int | None:
        birth = self.births[who]
        if on is None and who in self.last:
            on = datetime.fromtimestamp(self.last[who], UTC).date()
        if birth is None or on is None:
            return None
        return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def _observed(
    export: Export, kept: Mapping[str, _Kept], people: _People, problems: Problems
) -> int:
    by_code: dict[str, list[_Kept]] = {}
    for wanted in export.columns:
        for code in wanted.codes:
            full = code if "|" in code else f"{LOINC}|{code}"
            by_code.setdefault(full, []).append(kept[wanted.name])
    seen = 0
    for path in export.observations:
        for line, resource in resources(path, "Observation"):
            if resource.get("status") in _VOID:
                continue
            who = people.of(resource)
            if who is None:
                continue
            seen += 1
            when = moment(resource)
            if when > EVER:
                people.last[who] = max(when, people.last.get(who, when))
            for part in (resource, *dicts(resource.get("component"))):
                for code in dict.fromkeys(codes(part.get("code"))):
                    for column in by_code.get(code, ()):
                        _take(column, who, part, when, path, line, problems)
    return seen


def _take(
    column: _Kept,
    who: int,
    part: Mapping[str, Any],
    when: float,
    path: Path,
    line: int,
    problems: Problems,
) -> None:
    try:
        value = _value(column, part)
    except DataError as error:
        problems.add(line, column.wanted.name, f"{path.name}: {error}")
        return
    if value is not None:
        column.take(who, value, when)


def _value(column: _Kept, part: Mapping[str, Any]) -> float | str | None:
    """A number in the column's unit, a word, or nothing. Raises ``DataError`` for another unit."""
    wanted, quantity = column.wanted, part.get("valueQuantity")
    if isinstance(quantity, dict):
        number = quantity.get("value")
        if isinstance(number, bool) or not isinstance(number, int | float):
            return None
        _held(number)
        if quantity.get("comparator") and not wanted.bounds:
            said = f"{quantity['comparator']} {number:g}"
            raise DataError(f"the value is {said:.40}", "no number", "Set bounds = true to take it")
        units = [str(quantity.get(key) or "") for key in ("code", "unit")]
        if not column.unit and not wanted.unit:
            column.unit = units[0] or units[1]
        if column.unit in units or not column.unit:
            return float(number)
        for unit in units:
            if unit in wanted.also:
                return float(number) * wanted.also[unit]
        raise DataError(
            f"the unit is {units[0] or units[1] or 'missing'}",
            f"it is {column.unit}",
            f"Write a factor to {wanted.name}.also",
        )
    for key in ("valueInteger", "valueDecimal"):
        plain = part.get(key)
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            if wanted.unit:
                raise DataError("the value has no unit", f"it is {wanted.unit}")
            return _held(plain)
    if isinstance(part.get("valueBoolean"), bool):
        return str(int(part["valueBoolean"]))
    if isinstance(part.get("valueString"), str):
        return str(part["valueString"]).strip()
    concept = part.get("valueCodeableConcept")
    if isinstance(concept, dict):
        words = [concept.get("text")]
        words += [c.get(key) for c in dicts(concept.get("coding")) for key in ("display", "code")]
        return next((word for word in words if isinstance(word, str) and word), None)
    return None


def _held(number: int | float) -> float:
    if not abs(number) < 1e300:
        raise DataError("the value is beyond all that is measured", "a number is below 1e300")
    return float(number)


def _diagnosed(
    export: Export, kept: Mapping[str, _Kept], people: _People, problems: Problems
) -> int:
    seen = 0
    for path in export.conditions:
        for _, resource in resources(path, "Condition"):
            if {*codes_alone(resource.get("verificationStatus"))} & {*_VOID}:
                continue
            who = people.of(resource)
            if who is None:
                continue
            seen += 1
            diagnosed = codes(resource.get("code"))
            for wanted in export.columns:
                if any(_matches(code, asked) for code in diagnosed for asked in wanted.conditions):
                    kept[wanted.name].take(who, "1", 0.0)
    return seen


def _matches(code: str, asked: str) -> bool:
    own = code if "|" in asked else code.rpartition("|")[2]
    return own.startswith(asked[:-1]) if asked.endswith("*") else own == asked
