"""A table as text: the page and the terminal print the same ones.

A table of more than fifty rows is cut, and its note says so: the JSON result stays the full
source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.gains import gains
from aegis.report.wording import mapping, sequence

MOST_ROWS = 50


@dataclass(frozen=True)
class Table:
    """``columns`` are (label, whether numeric); the first cell of a row names it."""

    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for label, _ in self.columns)


def shown_hospitals(result: Mapping[str, Any], most: int = MOST_ROWS) -> tuple[set[str], str]:
    """The hospitals that tables and charts name, and the sentence that says which they are."""
    names = [str(mapping(h).get("name", "unnamed")) for h in sequence(result.get("hospitals"))]
    found = gains(result)
    ranked = [gain.hospital for gain in found]
    everyone = list(dict.fromkeys([*ranked, *names]))
    if len(everyone) <= most:
        return set(everyone), ""
    if any(gain.difference is not None for gain in found):
        picked = [*everyone[: most // 2], *ranked[-(most - most // 2) :]]
        which = "half of them those that gained most, half those that gained least"
    else:
        picked, which = everyone[:most], "the first of them"
    return set(picked), (
        f"{most} of {len(everyone):,} hospitals are shown, {which}. The full list is in the JSON "
        "result."
    )
