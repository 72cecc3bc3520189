"""What the owner of a table says about it: ``columns.yaml`` in the folder of the data.

    missing: [-9, unknown]           more markers of missing values
    take: shared                     or a list of columns; silent: all, the same everywhere
    leave_out: [ward]                columns that are not learned from
    keep: [worst area]               columns to keep although they are doubtful
    columns:
      age: {low: 0, high: 120, unit: years}
      sex: {categories: [female, male]}
      glucose: {missing: [0]}

Codes become categories by naming them, and words that are none of them are then refused.
Ranges and categories are public: whoever writes them knows them without looking at any patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aegis.errors import DataError
from aegis.shallow import Shallow

NAME = "columns.yaml"
MOST_BYTES = 1 << 16
_KEYS = ("missing", "take", "leave_out", "keep", "columns")
_COLUMN_KEYS = ("low", "high", "unit", "categories", "description", "missing")


@dataclass(frozen=True)
class Known:
    """What is public about one column."""

    low: float | None = None
    high: float | None = None
    unit: str = ""
    categories: tuple[str, ...] = ()
    description: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    missing: tuple[str, ...] = ()
    take: tuple[str, ...] | Literal["shared"] | None = None
    leave_out: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    columns: Mapping[str, Known] = field(default_factory=dict)

    def absent(self, name: str) -> frozenset[str]:
        """Words that mean missing in this column."""
        known = self.columns.get(name)
        return frozenset(word.casefold() for word in known.missing) if known else frozenset()

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        return {
            name: (known.low, known.high)
            for name, known in self.columns.items()
            if known.low is not None and known.high is not None
        }


def read_choices(data: Path) -> Choices:
    """The choices beside a file or in a folder; none where there is no ``columns.yaml``.
    Raises ``DataError`` for a key or a value that is not understood."""
    import yaml

    class Words(Shallow, yaml.BaseLoader):
        """Words only: no value becomes another by looking like a switch or a date. And no aliases:
        a few lines of them stand for more than any memory holds."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("a value is used again by an alias; write it out")
            return super().compose_node(parent, index)

    path = (data if data.is_dir() else data.parent) / NAME
    if not path.is_file():
        return Choices()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} has more than {MOST_BYTES} bytes")
        document = Words(path.read_text(encoding="utf-8-sig")).get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error})", "it is YAML in UTF-8") from error
    if document in (None, ""):
        return Choices()
    _known_keys(path, document, _KEYS)
    take = document.get("take")
    columns = document.get("columns") or {}
    if not isinstance(columns, dict):
        raise DataError(f"{path}: columns is no mapping", "write  age: {low: 0, high: 120}")
    return Choices(
        missing=_words(path, "missing", document.get("missing")),
        take="shared" if take == "shared" else _words(path, "take", take) or None,
        leave_out=frozenset(_words(path, "leave_out", document.get("leave_out"))),
        keep=frozenset(_words(path, "keep", document.get("keep"))),
        columns={name: _column(path, name, known) for name, known in columns.items()},
    )


def _column(path: Path, name: str, document: Any) -> Known:
    _known_keys(path, document, _COLUMN_KEYS)
    low, high = (_number(path, name, key, document.get(key)) for key in ("low", "high"))
    if (low is None) != (high is None) or (low is not None and high is not None and low >= high):
        raise DataError(f"{path}: {name} has no range from {low} to {high}", "low is below high")
    return Known(
        low,
        high,
        str(document.get("unit", "")),
        _words(path, f"{name}.categories", document.get("categories")),
        str(document.get("description", "")),
        _words(path, f"{name}.missing", document.get("missing")),
    )


def _known_keys(path: Path, document: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(document, dict):
        raise DataError(f"{path} holds {document!r:.60}", f"it has keys: {', '.join(keys)}")
    for key in document:
        if key not in keys:
            raise DataError(f"{path} has the key {key!s:.60}", f"it has keys: {', '.join(keys)}")


def _words(path: Path, key: str, value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise DataError(f"{path}: {key} is {value!r:.60}", "it is a list, as in [one, two]")
    return tuple(" ".join(word.split()) for word in value)


def _number(path: Path, name: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < 1e300:
        raise DataError(f"{path}: {name}.{key} is {value!r:.60}", "it is a number")
    return number
