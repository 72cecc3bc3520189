"""All runs as one list: filtered, sorted, paged; and a few of them beside each other.

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
from aegis.console.coordinator.rounds import page_number
from aegis.console.reading import ENDED, Line, Reading
from aegis.errors import AegisError
from aegis.report.charts import Curve, axis, rounds_axis, thinned
from aegis.report.charts import Line as Drawn
from aegis.report.tables import Table
from aegis.report.wording import interval_of, mapping, number, sequence
from aegis.store.experiments import Experiment, find

PAGE = 50
MOST = 4
MOST_ROWS = 8
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
KINDS = ("shared", "own", "pooled", "fourth")


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


def overlaid(documents: Sequence[Mapping[str, Any]], metric: str, title: str) -> Curve | None:
    """One line for each run, told apart by dash and marker as well as by colour."""
    lines = [_scored(document, metric) for document in documents]
    every = sorted(point for points in lines for point in points)
    if not every:
        return None
    share = metric == "accuracy"
    y = axis([value for _, value in every], 4, 0.0, math.inf if metric == "log_loss" else 1.0)
    x = rounds_axis(every)
    drawn, said = [], []
    for kind, document, points in zip(KINDS, documents, lines, strict=False):
        name = str(document.get("run"))
        if not points:
            said.append(f"{name}: not scored")
            continue
        shown = [(x.at(at), round(100 - y.at(value), 2)) for at, value in thinned(points)]
        path = "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in shown)
        drawn.append(Drawn(kind, name, path, tuple(shown if len(shown) <= 12 else shown[-1:])))
        at, value = points[-1]
        last = f"{100 * value:.1f} %" if share else f"{value:.3f}"
        said.append(f"{name}: {last} after round {at:.0f}")
    return Curve(
        f"over-{metric}",
        title,
        f"{'; '.join(said)}.",
        tuple(
            (round(100 - at, 2), label)
            for at, label in y.labels(lambda v: f"{100 * v:.3g} %" if share else f"{v:.6g}")
        ),
        x.labels(lambda v: f"{v:.0f}"),
        tuple(drawn),
        "",
        len(every),
        len(every),
    )


def overlaid_table(documents: Sequence[Mapping[str, Any]], metric: str, title: str) -> Table:
    """The same as numbers, for a few rounds between the first and the last."""
    lines = [dict(_scored(document, metric)) for document in documents]
    rounds = sorted({at for line in lines for at in line})
    last = len(rounds) - 1
    few = min(len(rounds), MOST_ROWS)
    kept = rounds if last < few else [rounds[round(i * last / (few - 1))] for i in range(few)]
    return Table(
        title,
        (("Round", False), *((str(one.get("run")), False) for one in documents)),
        tuple(
            (
                f"{at:.0f}",
                *("not scored" if at not in line else f"{line[at]:.4f}" for line in lines),
            )
            for at in kept
        ),
        "" if len(kept) == len(rounds) else f"{len(kept)} of {len(rounds):,} rounds are shown.",
    )


def _scored(document: Mapping[str, Any], metric: str) -> list[tuple[float, float]]:
    """(round, value) of each round that was scored."""
    found = []
    for closed in map(mapping, sequence(document.get("history"))):
        at, value = number(closed.get("round")), number(mapping(closed.get("global")).get(metric))
        if at is not None and value is not None:
            found.append((at, value))
    return found


def with_interval(document: Mapping[str, Any], metric: str) -> str:
    """A metric of the final model, with its interval where there is one."""
    metrics = mapping(document.get("global"))
    value, pair = number(metrics.get(metric)), interval_of(metrics, metric)
    if value is None:
        return str(document.get("global_reason") or "not measured")
    return f"{value:.4f}" + (f" ({pair[0]:.4f} to {pair[1]:.4f})" if pair else "")
