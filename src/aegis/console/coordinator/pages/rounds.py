"""The rounds of a run as rows: searched, filtered, sorted, paged, exported; one source for the
table, the charts beside it and the files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aegis.console.spending import Spending
from aegis.report.wording import NBSP, mapping, number, percent, seconds, sequence

PAGE = 20
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "log_loss",
    "precision",
    "recall",
    "f1",
)
COLUMNS = (
    "round",
    "part",
    *METRICS,
    "examples",
    "learning_rate",
    "noise_multiplier",
    "epsilon",
    "seconds",
    "missing",
    "set_aside",
    "flagged",
)
SORTS = (
    ("latest", "Latest first"),
    ("first", "First round first"),
    ("accuracy", "Highest accuracy"),
    ("auc", "Highest AUC"),
    ("log_loss", "Lowest log-loss"),
    ("seconds", "Slowest"),
)
SHOWS = (
    ("all", "All rounds"),
    ("missing", "With a hospital missing"),
    ("aside", "With an update set aside or flagged"),
    ("scored", "Scored"),
)
_SPAN = re.compile(r"\s*(\d{1,9})\s*(?:-|to|\.\.)\s*(\d{1,9})\s*")


@dataclass(frozen=True)
class Asked:
    """What of the rounds is asked for; unknown values count as not asked."""

    words: str = ""
    show: str = "all"
    sort: str = "latest"
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        return cls(
            query.get("q", "").strip()[:80],
            _one_of(query.get("show"), SHOWS),
            _one_of(query.get("sort"), SORTS),
            page_number(query.get("page")),
        )

    @property
    def plain(self) -> bool:
        return self == Asked()

    def query(self, run: str, **changed: str | int) -> str:
        """The address' query for this, with something ``changed``."""
        fields: dict[str, str | int] = {"run": run}
        mine: dict[str, str | int] = {
            "q": self.words,
            "show": self.show,
            "sort": self.sort,
            "page": self.page,
        }
        usual: dict[str, str | int] = {"q": "", "show": "all", "sort": "latest", "page": 1}
        fields |= {key: value for key, value in (mine | changed).items() if usual.get(key) != value}
        return "?" + urlencode(fields)


@dataclass(frozen=True)
class Page:
    """One page of rows, ``first`` to ``last`` of ``found``, of ``total`` rounds."""

    rows: tuple[Mapping[str, Any], ...]
    first: int
    last: int
    found: int
    total: int
    page: int
    pages: int


def page_number(said: str | None) -> int:
    """1 for what is no page."""
    return int(said) if re.fullmatch("[1-9][0-9]{0,6}", said or "") and said else 1


def _one_of(value: str | None, choices: Sequence[tuple[str, str]]) -> str:
    known = [name for name, _ in choices]
    return value if value in known else known[0]


def rounds_of(
    seen: Mapping[str, Any], spending: Spending, document: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """One row a closed round, by ``COLUMNS``; None where there is no figure. Of hospitals that are
    missing in ``document`` and not named in what the reader may see, there is the number."""
    whole = sequence((seen if document is None else document).get("history"))
    shown = sequence(seen.get("history"))
    return [
        _row(mapping(one), spending, len(sequence(mapping(all_of_it).get("absent"))))
        for one, all_of_it in zip(shown, whole, strict=True)
    ]


def _row(closed: Mapping[str, Any], spending: Spending, absent: int) -> dict[str, Any]:
    metrics = mapping(closed.get("global"))
    at = int(number(closed.get("round")) or 0)
    missing = [str(name) for name in sequence(closed.get("absent"))]
    others = absent - len(missing)
    aside = [str(name) for name in sequence(closed.get("set_aside"))]
    flagged = [str(name) for name in sequence(closed.get("flagged")) if name not in aside]
    return {
        "round": at,
        "part": closed.get("part"),
        **{name: number(metrics.get(name)) for name in METRICS},
        "examples": metrics.get("examples"),
        "learning_rate": number(closed.get("learning_rate")),
        "noise_multiplier": spending.noise.get(at),
        "epsilon": spending.epsilon.get(at),
        "seconds": number(closed.get("seconds")),
        "missing": ", ".join([*missing, *([f"{others} not named"] if others > 0 else [])]),
        "set_aside": ", ".join(aside),
        "flagged": ", ".join(flagged),
    }


def chosen(rows: Sequence[Mapping[str, Any]], asked: Asked) -> list[Mapping[str, Any]]:
    """The rows that are asked for, in their order; of all pages."""
    found = [row for row in rows if _shown(row, asked.show) and _matches(row, asked.words)]
    if asked.sort == "latest":
        return found[::-1]
    if asked.sort == "first":
        return found
    down = asked.sort != "log_loss"

    def rank(row: Mapping[str, Any]) -> tuple[bool, float]:
        value = row[asked.sort]
        return value is None, 0.0 if value is None else -value if down else value

    return sorted(found, key=rank)


def paged(rows: Sequence[Mapping[str, Any]], asked: Asked) -> Page:
    found = chosen(rows, asked)
    pages = max(1, math.ceil(len(found) / PAGE))
    page = min(asked.page, pages)
    first = (page - 1) * PAGE
    shown = tuple(found[first : first + PAGE])
    return Page(
        shown, first + 1 if shown else 0, first + len(shown), len(found), len(rows), page, pages
    )


def _shown(row: Mapping[str, Any], show: str) -> bool:
    match show:
        case "missing":
            return bool(row["missing"])
        case "aside":
            return bool(row["set_aside"] or row["flagged"])
        case "scored":
            return bool(row["accuracy"] is not None)
        case _:
            return True


def _matches(row: Mapping[str, Any], words: str) -> bool:
    """A round (7), rounds (3-9), or part of the name of a hospital missing or set aside."""
    if not words:
        return True
    span = _SPAN.fullmatch(words)
    if span:
        return int(span[1]) <= int(row["round"]) <= int(span[2])
    if words.isdigit():
        return str(row["round"]) == words.lstrip("0")
    named = f"{row['missing']} {row['set_aside']} {row['flagged']}"
    return words.lower() in named.lower()


def cells(row: Mapping[str, Any], private: bool) -> tuple[str, ...]:
    """A row as the page's table says it."""
    found = [
        str(row["round"]),
        *(
            "not scored" if row[name] is None else said(name, row[name])
            for name in ("accuracy", "auc", "log_loss")
        ),
        "not recorded" if row["learning_rate"] is None else f"{row['learning_rate']:.4g}",
    ]
    if private:
        noise, epsilon = row["noise_multiplier"], row["epsilon"]
        found.append("not charged" if noise is None else f"{noise:.3g}")
        found.append("not charged" if epsilon is None else f"{epsilon:.3f}")
    return (
        *found,
        seconds(row["seconds"]),
        row["missing"] or "none",
        ", ".join(text for text in (row["set_aside"], row["flagged"]) if text) or "none",
    )


def said(metric: str, value: float) -> str:
    """A metric with its unit: shares in per cent, the others as they are."""
    if metric in ("auc", "average_precision", "log_loss"):
        return f"{value:.3f}"
    return percent(value)


def tick(metric: str, value: float) -> str:
    """The same on an axis."""
    if metric in ("auc", "average_precision", "log_loss"):
        return f"{value:.3g}"
    return f"{100 * value:.3g}{NBSP}%"


def headings(private: bool) -> tuple[tuple[str, bool], ...]:
    found = [("Round", False), ("Accuracy", True), ("AUC", True), ("Log-loss", True)]
    found.append(("Learning rate", True))
    if private:
        found += [("Noise multiplier", True), ("Epsilon so far", True)]
    return (*found, ("Time", True), ("Missing", False), ("Set aside or flagged", False))
