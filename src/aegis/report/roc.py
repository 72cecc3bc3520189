"""The receiver operating characteristic, and what the model comes to at a chosen threshold.

Both are read from the counts that the result holds. A result of an earlier version holds none but
those of its table of thresholds: the curve is drawn through these, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.evaluation.decision_curve import Decisions
from aegis.report.charts import Axis, Curve, Line
from aegis.report.tables import Table
from aegis.report.wording import (
    NBSP,
    counted,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    score,
    sequence,
)

UNIT = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
_SHARES = (
    ("sensitivity", "Of those with the condition, found"),
    ("specificity", "Of those without it, left alone"),
    ("ppv", "Of those called positive, with the condition"),
    ("npv", "Of those called negative, without it"),
)


@dataclass(frozen=True)
class Matrix:
    """The counts at the threshold nearest to the one that was asked for."""

    asked: float
    at: Decisions
    table: Table
    shares: Table
    sentence: str


def points(result: Mapping[str, Any]) -> tuple[Decisions, ...]:
    """Every threshold whose counts the result holds, the highest first; empty where it holds
    none."""
    found = mapping(result.get("usefulness"))
    total, ill = number(found.get("examples")), number(found.get("positives"))
    if not total or ill is None:
        return ()
    there: dict[float, Decisions] = {}
    for one in map(mapping, sequence(found.get("operating_points"))):
        at, *counts = (
            number(one.get(key))
            for key in ("threshold", "found", "missed", "false_alarms", "rightly_left_alone")
        )
        if at is not None and None not in counts:
            there[at] = Decisions(at, *(round(count or 0.0) for count in counts))
    rows = (found.get("at"), *sequence(found.get("thresholds")), *sequence(found.get("aims")))
    for row in map(mapping, rows):
        t = number(row.get("threshold"))
        hit = number(mapping(row.get("sensitivity")).get("value"))
        spared = number(mapping(row.get("specificity")).get("value"))
        if t is not None and hit is not None and spared is not None:
            tp, tn = round(hit * ill), round(spared * (total - ill))
            there[t] = Decisions(t, tp, round(ill) - tp, round(total - ill) - tn, tn)
    return tuple(there[t] for t in sorted(there, reverse=True))


def roc(result: Mapping[str, Any], chosen: Decisions | None = None) -> Curve | None:
    """The curve through ``points``, with the chosen threshold marked."""
    found = points(result)
    if len(found) < 2:
        return None
    way = [(0.0, 0.0), *map(_place, found), (1.0, 1.0)]
    way = sorted(dict.fromkeys(way))
    lines = [
        Line("pooled", "Guessing", "M0 100L100 0"),
        Line(
            "shared", "Shared model", "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in map(_at, way))
        ),
    ]
    if chosen is not None:
        lines.append(Line("own", "The chosen threshold", "", (_at(_place(chosen)),)))
    metrics = mapping(result.get("global"))
    auc, pair = number(metrics.get("auc")), interval_of(metrics, "auc")
    said = "No AUC was measured."
    if auc is not None:
        sure = f" (95{NBSP}% interval {score(pair[0])} to {score(pair[1])})" if pair else ""
        said = (
            f"AUC {score(auc)}{sure}: of two patients, one with the condition and one without, the "
            f"model gives the first the higher chance in {math.floor(100 * auc)} of 100 cases."
        )
    labels = UNIT.labels(lambda v: f"{100 * v:.0f}{NBSP}%")
    return Curve(
        "roc",
        "Found against false alarms",
        f"{said} Drawn through {len(found)} thresholds.",
        tuple((round(100 - at, 2), label) for at, label in labels),
        labels,
        tuple(lines),
        "",
        len(found),
        len(found),
    )


def matrix(result: Mapping[str, Any], threshold: float) -> Matrix | None:
    """What the model comes to at the threshold nearest to ``threshold`` that the result holds."""
    found = points(result)
    if not found:
        return None
    at = min(found, key=lambda one: abs(one.threshold - threshold))
    ill, well = at.found + at.missed, at.false_alarms + at.cleared
    said = f"{100 * at.threshold:.3g}{NBSP}%"
    return Matrix(
        threshold,
        at,
        Table(
            f"Test patients at a threshold of {said}, all hospitals together",
            (("", False), ("Called positive", True), ("Called negative", True), ("All", True)),
            (
                ("With the condition", _of(at.found, ill), _of(at.missed, ill), f"{ill:,}"),
                ("Without it", _of(at.false_alarms, well), _of(at.cleared, well), f"{well:,}"),
            ),
        ),
        Table(
            f"In shares, with 95{NBSP}% intervals",
            (("", False), ("Share", True), (f"95{NBSP}% interval", True)),
            tuple((label, *_share(at, name)) for name, label in _SHARES),
        ),
        f"Of {counted(at.examples, 'test patient')}, acting on a chance of {said} or more finds "
        f"{at.found:,}, misses {at.missed:,}, and gives {at.false_alarms:,} false "
        f"alarm{'' if at.false_alarms == 1 else 's'}.",
    )


def _of(part: int, whole: int) -> str:
    return f"{part:,} ({percent(part / whole)})" if whole else f"{part:,}"


def _share(at: Decisions, name: str) -> tuple[str, str]:
    found = at.share(name)
    return (
        ("n/a: nobody", "no interval") if found is None else (percent(found[0]), interval(found[1]))
    )


def _place(point: Decisions) -> tuple[float, float]:
    """(false alarms, found), as shares."""
    return (
        point.false_alarms / max(1, point.false_alarms + point.cleared),
        point.found / max(1, point.found + point.missed),
    )


def _at(place: tuple[float, float]) -> tuple[float, float]:
    return UNIT.at(place[0]), round(100 - UNIT.at(place[1]), 2)
