"""The charts of the technical page: what changed from round to round, and hospitals side by side.

Each chart comes with a table of its numbers, cut to a few rounds; all of them are in the table of
rounds and its CSV.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aegis.console.coordinator.pages.rounds import METRICS, said, tick
from aegis.console.spending import Spending
from aegis.report.charts import Curve, Line, axis, curve, rounds_axis, thinned
from aegis.report.tables import Table
from aegis.report.withheld import WITHHELD, counts, kept_back
from aegis.report.wording import mapping, number, sequence

MOST_ROWS = 8
MOST_LINES = 8
MOST_POINTS = 60  # a frame of the stream holds every chart
MOST_HOSPITALS = 50
METRIC_NAMES: Mapping[str, str] = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "log_loss": "Log-loss",
    "average_precision": "Average precision",
    "precision": "Precision",
    "recall": "Sensitivity (recall)",
    "f1": "F1",
}
NOT_RELEASED = (
    "no figures of single hospitals were released: hospitals shared the sum of their scores only"
)
Point = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """A chart with its table, or ``absent``: why there is none."""

    title: str
    chart: Curve | None
    table: Table | None
    absent: str = ""


@dataclass(frozen=True)
class Beside:
    """Hospitals on one metric: small charts on one scale, and a table of all of them."""

    metric: str
    name: str
    charts: tuple[Curve, ...]
    table: Table | None
    note: str
    absent: str = ""


def figures(rows: Sequence[Mapping[str, Any]], spending: Spending) -> tuple[Figure, ...]:
    """``rows`` as ``rounds_of`` makes them."""
    unclosed = "" if rows else "no round has been closed yet"
    unscored = unclosed or "no round was scored"

    def plain(value: float) -> str:
        return f"{value:.6g}"

    return (
        _figure("log_loss", "Log-loss", rows, plain, unscored),
        _figure("auc", "AUC", rows, plain, unscored),
        _figure("accuracy", "Accuracy", rows, lambda v: tick("accuracy", v), unscored),
        _figure("learning_rate", "Learning rate", rows, plain, unclosed),
        _figure(
            "epsilon",
            (
                f"Epsilon spent so far, at {spending.where}"
                if spending.where
                else "Epsilon spent so far"
            ),
            rows,
            plain,
            spending.reason,
        ),
        _figure(
            "noise_multiplier",
            "Noise multiplier, in units of the sensitivity",
            rows,
            plain,
            spending.noise_reason,
        ),
    )


def _figure(
    key: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    shown: Callable[[float], str],
    absent: str,
) -> Figure:
    points = [(float(row["round"]), row[key]) for row in rows if row[key] is not None]
    if not points:
        return Figure(title, None, None, absent or "it is not recorded")

    def exact(value: float) -> str:
        return said(key, value) if key in METRICS else f"{value:.4g}"

    (first, start), (last, end) = points[0], points[-1]
    finding = f"{exact(start)} after round {first:.0f}"
    if len(points) > 1:
        finding += f", {exact(end)} after round {last:.0f}"
    few = thinned(points, MOST_POINTS)
    drawn = curve(f"by-{key}", title, f"{finding}.", few, (), shown, (), math.inf)
    spaced = _spaced(points)
    note = (
        "" if len(spaced) == len(points) else f"{len(spaced)} of {len(points):,} rounds are shown."
    )
    cells = tuple((f"{at:.0f}", exact(value)) for at, value in spaced)
    columns = (("Round", False), (title.split(",")[0], True))
    return Figure(title, drawn, Table(f"{title}, by round", columns, cells, note))


def _spaced(points: Sequence[Point], most: int = MOST_ROWS) -> list[Point]:
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(i * last / (most - 1))] for i in range(most)]


def metric_of(asked: str | None) -> str:
    """The metric of that name, AUC for any other."""
    return asked if asked is not None and asked in METRIC_NAMES else "auc"


def beside(seen: Mapping[str, Any], metric: str) -> Beside:
    """``seen`` is the run's document as the reader may see it."""
    name = METRIC_NAMES[metric]
    sizes = {
        str(mapping(one).get("name")): number(mapping(one).get("test_examples"))
        for one in sequence(seen.get("hospitals"))
    }
    lines = _by_hospital(seen, metric)
    if not lines:
        scored = any(mapping(one).get("hospitals") for one in sequence(seen.get("history")))
        why = f"{name} was not measured in any hospital" if scored else NOT_RELEASED
        return Beside(metric, name, (), None, "", why if sequence(seen.get("history")) else
                      "no round has been closed yet")  # fmt: skip
    kept = kept_back(sizes)
    large = {one: points for one, points in lines.items() if one not in kept}
    up = metric == "log_loss"
    ranked = sorted(large, key=lambda one: (large[one][-1][1] * (-1 if up else 1), one))
    drawn = _small(ranked[:MOST_LINES], large, metric)
    table = _table(ranked, sorted(set(lines) - set(large)), large, sizes, metric)
    notes = ["The worst served first, as of the last scored round; one scale for all."]
    if len(ranked) > MOST_LINES:
        notes.append(f"{MOST_LINES} of {len(ranked)} are drawn.")
    return Beside(metric, name, drawn, table, " ".join(notes))


def _by_hospital(seen: Mapping[str, Any], metric: str) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for closed in map(mapping, sequence(seen.get("history"))):
        at = number(closed.get("round"))
        for name, metrics in mapping(closed.get("hospitals")).items():
            value = number(mapping(metrics).get(metric))
            if at is not None and value is not None:
                found.setdefault(str(name), []).append((at, value))
    return found


def _small(
    names: Sequence[str], lines: Mapping[str, list[Point]], metric: str
) -> tuple[Curve, ...]:
    if not names:
        return ()
    every = [value for name in names for _, value in lines[name]]
    y = axis(every, 3, 0.0, math.inf if metric == "log_loss" else 1.0)
    x = rounds_axis(sorted(point for name in names for point in lines[name]))
    found = []
    for number_of, name in enumerate(names):
        points = lines[name]
        dots = [
            (x.at(at), round(100 - y.at(value), 2))
            for at, value in thinned(points, MOST_POINTS // 2)
        ]
        path = "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in dots)
        finding = f"{said(metric, points[0][1])} after round {points[0][0]:.0f}"
        finding += f", {said(metric, points[-1][1])} after round {points[-1][0]:.0f}."
        found.append(
            Curve(
                f"beside-{number_of}",
                name,
                finding,
                tuple(
                    (round(100 - at, 2), text) for at, text in y.labels(lambda v: tick(metric, v))
                ),
                tuple((x.at(end), f"{end:.0f}") for end in sorted({x.ticks[0], x.ticks[-1]})),
                (Line("shared", name, path, tuple(dots[-1:])),),
                "",
                len(dots),
                len(points),
            )
        )
    return tuple(found)


def _table(
    ranked: Sequence[str],
    kept: Sequence[str],
    lines: Mapping[str, list[Point]],
    sizes: Mapping[str, float | None],
    metric: str,
) -> Table:
    best = min if metric == "log_loss" else max
    rows: list[tuple[str, ...]] = []
    for name in ranked[:MOST_HOSPITALS]:
        points = lines[name]
        at, value = best(points, key=lambda point: point[1])
        n = sizes.get(name)
        rows.append(
            (
                name,
                "not recorded" if n is None else f"{n:,.0f}",
                said(metric, points[0][1]),
                f"{said(metric, value)} (round {at:.0f})",
                said(metric, points[-1][1]),
            )
        )
    said_of = counts(sizes)
    rows += [(name, said_of[name], *[WITHHELD] * 3) for name in kept]
    note = "" if len(ranked) <= MOST_HOSPITALS else f"{MOST_HOSPITALS} of {len(ranked)} are shown."
    return Table(
        f"{METRIC_NAMES[metric]} of the shared model in each hospital",
        (
            ("Hospital", False),
            ("Test patients", True),
            ("First scored round", True),
            ("Best", True),
            ("Last scored round", True),
        ),
        tuple(rows),
        note,
    )


def explored(
    document: Mapping[str, Any], metric: str, all_hospitals: bool
) -> tuple[dict[str, Any] | None, Table | None]:
    """What the explore chart draws (names and columns), and the same as a table. The mean of
    hospitals is left out for a reader who sees one of them only."""
    lines = _by_hospital(document, metric) if all_hospitals else {}
    together: dict[float, list[float]] = {}
    for points in lines.values():
        for point in points:
            together.setdefault(point[0], []).append(point[1])
    rows: list[tuple[float, float, float | None]] = []
    for closed in map(mapping, sequence(document.get("history"))):
        at, value = number(closed.get("round")), number(mapping(closed.get("global")).get(metric))
        if at is not None and value is not None:
            mine = together.get(at, [])
            rows.append((at, value, sum(mine) / len(mine) if mine else None))
    if len(rows) < 2:
        return None, None
    series = ["Shared model, all patients"]
    data: list[list[Any]] = [[row[0] for row in rows], [row[1] for row in rows]]
    if any(row[2] is not None for row in rows):
        series.append("Mean of hospitals")
        data.append([row[2] for row in rows])
    kept = [rows[round(i * (len(rows) - 1) / (MOST_ROWS - 1))] for i in range(MOST_ROWS)]
    kept = rows if len(rows) <= MOST_ROWS else kept
    table = Table(
        f"{METRIC_NAMES[metric]} by round",
        (("Round", False), *((label, True) for label in series)),
        tuple(
            (
                f"{row[0]:.0f}",
                *(
                    "not measured" if v is None else said(metric, v)
                    for v in row[1 : 1 + len(series)]
                ),
            )
            for row in kept
        ),
        "" if len(kept) == len(rows) else f"{len(kept)} of {len(rows):,} rounds are shown.",
    )
    return {"series": series, "data": data}, table
