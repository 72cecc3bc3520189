"""What pages about one run begin with: which run, what it holds, and what this person may see.

``document`` is for sentences about all hospitals together, ``seen`` for lists of single ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aegis.console.coordinator.api.withholding import as_seen
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.runs.going_on import document_of
from aegis.console.coordinator.withheld import WITHHELD
from aegis.console.reading import NEVER, Line
from aegis.report.wording import mapping, task_title

MOST_PICKED = 50


@dataclass(frozen=True)
class OfRun:
    """``runs`` are what the page's picker offers; ``withheld`` is a sentence, or empty."""

    run: str
    line: Line
    document: Mapping[str, Any]
    seen: Mapping[str, Any]
    runs: tuple[str, ...]
    withheld: str

    @property
    def query(self) -> str:
        return "?" + urlencode({"run": self.run})

    @property
    def title(self) -> str:
        return task_title(self.document)

    @property
    def without_result(self) -> bool:
        """Whether it ended, or failed, before there was one."""
        return self.document.get("comparison_reason") == NEVER

    @property
    def status(self) -> str:
        return str(self.document["status"])

    @property
    def goes_on(self) -> bool:
        return not (self.line.over or self.without_result)

    @property
    def synthetic(self) -> bool:
        return mapping(self.document.get("data")).get("synthetic") is True


def of_run(desk: Desk, sight: Sight, run: str | None) -> OfRun | None:
    """None where nothing has been trained yet. Raises ``NotFound``."""
    if run is None:
        return None
    document = document_of(desk, run)
    names = desk.reading.names()[:MOST_PICKED]
    return OfRun(
        run,
        desk.reading.line(run),
        document,
        as_seen(document, sight),
        tuple(dict.fromkeys([*names, run])),
        "" if sight.only is None else f"Figures of other hospitals are {WITHHELD}.",
    )
