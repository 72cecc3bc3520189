"""Data where a hospital keeps them: a ``.toml`` file stands for a table and says how to get it.

    kind = "sqlite"            database, query
    kind = "postgresql"        connection, query
    kind = "fhir"              patients, observations, conditions, as_of, take, [columns.NAME]
    kind = "spark"             source: a CSV or Parquet file or folder, or a table Spark knows

``query`` is an SQL statement, or the name of a file that holds it. Files are named beside this one.
It lies among a hospital's files and counts as one: its name is the hospital's.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aegis.errors import DataError
from aegis.tasks.tables.dialect import MOST_ROWS
from aegis.tasks.tables.fhir import TAKES, Export, Wanted, read_fhir
from aegis.tasks.tables.reading import Table
from aegis.tasks.tables.sql import read_postgres, read_sqlite

ENDING = ".toml"
MOST_BYTES = 1 << 18
KINDS: Mapping[str, tuple[str, ...]] = {
    "sqlite": ("database", "query", "timeout_s"),
    "postgresql": ("connection", "query", "timeout_s"),
    "fhir": ("patients", "observations", "conditions", "as_of", "take", "columns"),
    "spark": ("source",),
}
_COLUMN = ("code", "condition", "patient", "unit", "also", "take", "bounds")

Frames = Callable[[str, int], Any]
"""From a source and the most rows: an Arrow table. Spark's, where a hospital has it."""


def read_described(path: Path, missing: Iterable[str] = (), frames: Frames | None = None) -> Table:
    """The table that ``path`` describes. Raises ``DataError`` for a description that is not
    understood, and whatever reading the source does."""
    said = _Said(path)
    match said.kind:
        case "sqlite":
            database = said.file("database")
            return read_sqlite(path.name, database, said.query(), said.timeout(), missing)
        case "postgresql":
            query, connection = said.query(), said.text("connection")
            return read_postgres(path.name, connection, query, said.timeout(), missing)
        case "fhir":
            return read_fhir(path.name, said.export(), missing)
        case _:
            return _of_spark(path, said.text("source"), missing, frames)


def _of_spark(path: Path, source: str, missing: Iterable[str], frames: Frames | None) -> Table:
    from aegis.tasks.tables.arrow import from_arrow

    if frames is None:
        raise DataError(
            f"{path.name} is read by Spark",
            "this hospital does not train in Spark",
            "Set USE_SPARK=true, or --engine spark",
        )
    beside = path.parent / source
    where = str(beside.absolute()) if os.path.exists(beside) else source  # false for no name at all
    return from_arrow(path.name, f"Spark, {source}", frames(where, MOST_ROWS), missing)


class _Said:
    """A description, its keys checked one by one as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DataError(f"{path.name} has more than {MOST_BYTES} bytes")
            self.keys = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:  # also a number of 5000 digits
            raise DataError(f"{path} cannot be read ({error})", "it is TOML in UTF-8") from error
        kind = self.keys.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise DataError(f"{path.name} has the kind {kind!r}", f"there are {', '.join(KINDS)}")
        self.kind = kind
        self._known(self.keys, ("kind", *KINDS[self.kind]), "")

    def _known(self, keys: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in keys:
            if key not in known:
                near = get_close_matches(key, known, 1, 0.6)
                raise DataError(
                    f"{self.path.name} has the key {where}{key}",
                    f"it has keys: {', '.join(known)}",
                    f"Did you mean {near[0]}?" if near else "",
                )

    def text(self, key: str) -> str:
        value = self.keys.get(key)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.path.name}: {key} is {value!r:.60}", "it is a text")
        if "\0" in value:
            raise DataError(f"{self.path.name}: {key} holds a zero byte", "it is a text")
        return value.strip()

    def file(self, key: str) -> Path:
        return self.path.parent / self.text(key)

    def files(self, key: str) -> tuple[Path, ...]:
        value = self.keys.get(key, [])
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(
            isinstance(name, str) and "\0" not in name for name in names
        ):
            raise DataError(f"{self.path.name}: {key} is {value!r:.60}", "it names a file, or some")
        return tuple(self.path.parent / name for name in names)

    def query(self) -> str:
        text = self.text("query")
        if len(text.split()) > 1:
            return text
        try:
            return (self.path.parent / text).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.path.name}: the query {text} cannot be read",
                "it is a statement, or a file beside this one",
            ) from error

    def timeout(self) -> float:
        value = self.keys.get("timeout_s", 300)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise DataError(f"{self.path.name}: timeout_s is {value!r:.40}", "it is seconds")
        return float(value)

    def export(self) -> Export:
        on = self.keys.get("as_of")
        if isinstance(on, str):
            try:
                on = date.fromisoformat(on)
            except ValueError:
                on = f"{on}"
        on = on.date() if isinstance(on, datetime) else on
        if on is not None and not isinstance(on, date):
            raise DataError(f"{self.path.name}: as_of is {on!r:.40}", "it is a day: 2024-12-31")
        columns = self.keys.get("columns")
        if not isinstance(columns, dict) or not columns:
            raise DataError(
                f"{self.path.name} names no column",
                way_out='Write [columns.NAME] with code = "..."',
            )
        return Export(
            self.files("patients"),
            self.files("observations"),
            self.files("conditions"),
            tuple(self._column(name, keys) for name, keys in columns.items()),
            on,
        )

    def _column(self, name: str, keys: Any) -> Wanted:
        where = f"columns.{name}"
        if not isinstance(keys, dict):
            raise DataError(f"{self.path.name}: {where} is {keys!r:.40}", 'it has a code = "..."')
        self._known(keys, _COLUMN, f"{where}.")
        sources = [key for key in ("code", "condition", "patient") if key in keys]
        if len(sources) != 1 or keys.get("patient", "deceased") != "deceased":
            raise DataError(
                f"{self.path.name}: {where} comes from {' and '.join(sources) or 'nowhere'}",
                'it has one of code, condition, and patient = "deceased"',
            )
        take, also = keys.get("take", self.keys.get("take", "latest")), keys.get("also", {})
        if take not in TAKES:
            raise DataError(f"{self.path.name}: take is {take!r:.40}", "it is latest or mean")
        good = isinstance(also, dict) and all(
            isinstance(factor, int | float)
            and not isinstance(factor, bool)
            and 0 < abs(factor) < 1e300
            for factor in also.values()
        )
        if not good:
            raise DataError(
                f"{self.path.name}: {where}.also is {also!r:.60}", 'as in {"mmol/L" = 18.016}'
            )
        return Wanted(
            name,
            _listed(keys.get("code")),
            _listed(keys.get("condition")),
            "patient" in keys,
            str(keys.get("unit", "")),
            {unit: float(factor) for unit, factor in also.items()},
            take,
            keys.get("bounds") is True,
        )


def _listed(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(one) for one in value)
    return (str(value),) if value else ()
