"""All runs as one list: filtered, sorted, paged.

A run that is over does not change, so its line is kept; a thousand runs are read once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.pages.rounds import page_number
from aegis.console.reading import ENDED, Line, Reading
from aegis.errors import AegisError
from aegis.store.experiments import Experiment, find

PAGE = 50
MOST = 4
COLUMNS = (
    "run",
    "task",
    "started",
    "status",
    "round",
    "rounds",
    "trust",
    "private",
    "transport",
    "accuracy",
    "balanced_accuracy",
    "auc",
    "log_loss",
    "plan_sha256",
)
SORTS = (
    ("latest", "Latest first"),
    ("first", "Oldest first"),
    ("task", "Task"),
    ("accuracy", "Highest accuracy"),
    ("auc", "Highest AUC"),
    ("log_loss", "Lowest log-loss"),
    ("rounds", "Most rounds"),
)
STATUSES = (
    ("", "Any state"),
    *((name, name.capitalize()) for name in ("running", "paused", "waiting", *sorted(ENDED))),
)
TRUSTS = (
    ("", "Any"),
    ("open", "Open: each update"),
    ("masked", "Masked: the sum only"),
    ("grouped", "Grouped: a sum per group"),
)
NOISES = (("", "With or without"), ("yes", "With noise"), ("no", "Without"))


@dataclass(frozen=True)
class Asked:
    """What of the list is asked for; unknown values count as not asked."""

    words: str = ""
    status: str = ""
    trust: str = ""
    noise: str = ""
    sort: str = "latest"
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        def one_of(name: str, choices: Sequence[tuple[str, str]]) -> str:
            known = [value for value, _ in choices]
            said = query.get(name, "")
            return said if said in known else known[0]

        return cls(
            query.get("q", "").strip()[:80],
            one_of("status", STATUSES),
            one_of("trust", TRUSTS),
            one_of("noise", NOISES),
            one_of("sort", SORTS),
            page_number(query.get("page")),
        )

    @property
    def whole(self) -> bool:
        """Whether nothing is left out and the order is the stored one."""
        return not (self.words or self.status or self.trust or self.noise) and self.sort == "latest"

    def query(self, **changed: str | int) -> str:
        mine: dict[str, str | int] = {
            "q": self.words,
            "status": self.status,
            "trust": self.trust,
            "noise": self.noise,
            "sort": self.sort,
            "page": self.page,
        }
        usual = {"sort": "latest", "page": 1}
        kept = {k: v for k, v in (mine | changed).items() if v != usual.get(k, "")}
        return "?" + urlencode(kept) if kept else ""


@dataclass(frozen=True)
class Page:
    """``lines`` are those from ``first`` to ``last`` of ``found``, of ``total`` runs."""

    lines: tuple[Line, ...]
    first: int
    last: int
    found: int
    total: int
    page: int
    pages: int


class Lines:
    """One for each desk (``lines_of``); safe from several threads."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._over: dict[str, tuple[int, Line]] = {}
        self._lock = threading.Lock()

    def of(self, names: Sequence[str]) -> list[Line]:
        """The lines of these runs, in this order."""
        if not names:
            return []
        found = []
        with self._lock, self._reading.journal() as journal:
            for name in names:
                kept = self._over.get(name)
                event = journal.last_event(name)
                if kept is None or kept[0] != event:
                    kept = event, self._reading.line_in(journal, name)
                    if kept[1].over:
                        self._over[name] = kept
                found.append(kept[1])
        return found


def lines_of(desk: Desk) -> Lines:
    found: Lines = desk.extra.setdefault("lines", Lines(desk.reading))
    return found


def read_ahead(desk: Desk) -> None:
    """Reads every run's line, a page at a time, before somebody sorts or searches the list."""
    names = desk.reading.names()
    for first in range(0, len(names), PAGE):
        lines_of(desk).of(names[first : first + PAGE])


def page_of(desk: Desk, asked: Asked) -> Page:
    """One page of the list; only what it shows is read where nothing is filtered or sorted."""
    names = desk.reading.names()
    if asked.whole:
        pages = max(1, math.ceil(len(names) / PAGE))
        page = min(asked.page, pages)
        first = (page - 1) * PAGE
        shown = lines_of(desk).of(names[first : first + PAGE])
        return _page(shown, first, len(names), len(names), page, pages)
    found = chosen(lines_of(desk).of(names), asked)
    pages = max(1, math.ceil(len(found) / PAGE))
    page = min(asked.page, pages)
    first = (page - 1) * PAGE
    return _page(found[first : first + PAGE], first, len(found), len(names), page, pages)


def _page(lines: Sequence[Line], first: int, found: int, total: int, page: int, pages: int) -> Page:
    return Page(
        tuple(lines), first + 1 if lines else 0, first + len(lines), found, total, page, pages
    )


def chosen(lines: Sequence[Line], asked: Asked) -> list[Line]:
    words = asked.words.lower()
    found = [
        line
        for line in lines
        if words in f"{line.run} {line.task} {line.plan_sha256}".lower()
        and asked.status in ("", line.status)
        and asked.trust in ("", line.trust)
        and asked.noise in ("", "yes" if line.private else "no")
    ]
    match asked.sort:
        case "latest":
            return found
        case "first":
            return found[::-1]
        case "task":
            return sorted(found, key=lambda line: line.task)
        case "rounds":
            return sorted(found, key=lambda line: -line.round)
        case metric:
            return sorted(found, key=lambda line: _rank(line.metrics.get(metric), metric))


def _rank(value: float | None, metric: str) -> tuple[bool, float]:
    if value is None:
        return True, 0.0
    return False, value if metric == "log_loss" else -value


def row(line: Line) -> tuple[Any, ...]:
    """A run as ``COLUMNS``."""
    return (
        line.run,
        line.task,
        line.started,
        line.status,
        line.round,
        line.rounds,
        line.trust,
        "yes" if line.private else "no",
        line.transport,
        *(line.metrics.get(name) for name in ("accuracy", "balanced_accuracy", "auc", "log_loss")),
        line.plan_sha256,
    )


def experiment_of(desk: Desk, run: str) -> Experiment:
    """The run's file with the newest result; made of the journal where there is no such file.
    Raises ``NotFound`` for what is no run."""
    stored, document = desk.reading.stored(run), desk.reading.document(run)
    try:
        body = dict(find(desk.home, run).body)
    except AegisError:
        body = {"environment": {}}
    return Experiment(
        desk.home.experiments / f"experiment_{run}.json",
        {
            **body,
            "run": run,
            "plan": desk.reading.plan(run).model_dump(mode="json"),
            "status": document["status"],
            "started": stored.started,
            "result": document,
        },
    )
