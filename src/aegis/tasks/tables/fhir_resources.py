"""The resources of a FHIR export as they stand in its files: lines, codes, days.

One JSON object a line, read one after the other; a file is looked at before a line of it is held.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aegis.errors import DataError

MOST_LINE = 4 << 20
MOST_EXPORT = 4 << 30
EVER = -1e300
"""A time before all others."""


def resources(path: Path, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The resources of a file with their lines. Raises ``DataError`` for a file that is too large,
    a line that is no JSON object, or too long, and for another kind of resource."""
    try:
        size = path.stat().st_size
        if size > MOST_EXPORT:
            raise DataError(
                f"{path.name} has {size / 2**30:.1f} GiB", f"{MOST_EXPORT >> 30} at most"
            )
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MOST_LINE + 1):
                number += 1
                if len(line) > MOST_LINE:
                    raise DataError(f"{path.name}, line {number} is longer than {MOST_LINE} bytes")
                if line.strip():
                    yield number, _resource(path, number, line, kind)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def _resource(path: Path, number: int, line: bytes, kind: str) -> dict[str, Any]:
    try:
        found = json.loads(line.decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path.name}, line {number} is no JSON ({type(error).__name__})",
            "an export holds one resource on each line",
        ) from error
    if not isinstance(found, dict) or found.get("resourceType") != kind:
        what = found.get("resourceType") if isinstance(found, dict) else type(found).__name__
        raise DataError(f"{path.name}, line {number} is {what!s:.40}", f"each is a {kind}")
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def dicts(value: Any) -> Sequence[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def codes(concept: Any) -> list[str]:
    coding = dicts(concept.get("coding")) if isinstance(concept, dict) else []
    return [f"{one.get('system') or ''}|{one.get('code')}" for one in coding if one.get("code")]


def codes_alone(concept: Any) -> list[str]:
    return [code.rpartition("|")[2] for code in codes(concept)]


def moment(resource: Mapping[str, Any]) -> float:
    """When it was observed, in seconds; what tells no time is older than all that does."""
    period = resource.get("effectivePeriod")
    spans = [period.get("end"), period.get("start")] if isinstance(period, dict) else []
    said = [resource.get("effectiveDateTime"), resource.get("effectiveInstant"), *spans]
    for text in (*said, resource.get("issued")):
        seen = _instant(text)
        if seen is not None:
            return seen.timestamp()
    return EVER


def _instant(text: Any) -> datetime | None:
    """A FHIR date or time, which may be a year alone; without a zone it is taken as UTC. The first
    and the last year there are stand for no time: a zone would lead out of them."""
    if not isinstance(text, str):
        return None
    padded = text + {4: "-01-01", 7: "-01"}.get(len(text), "")
    try:
        found = datetime.fromisoformat(padded)
    except ValueError:
        return None
    if not 1 < found.year < 9999:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def day(text: Any) -> date | None:
    found = _instant(text)
    return None if found is None else found.date()
