"""What the page draws and says about usefulness: calibration, decision curve, thresholds, and what
the model would mean for 100 patients. Everything comes from the result's ``usefulness``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.charts import Axis, Curve, Line, axis
from aegis.report.tables import Table
from aegis.report.usefulness_tables import recalibration_table, threshold_table
from aegis.report.wording import (
    MINUS,
    NBSP,
    interval_of,
    mapping,
    number,
    percent,
    sequence,
)

FOUND, MISSED, ALARM, LEFT = "found", "missed", "alarm", "left"


@dataclass(frozen=True)
class Icon:
    """One of 100 patients on a 10 by 10 field; ``x`` and ``y`` in per cent."""

    kind: str
    x: int
    y: int


@dataclass(frozen=True)
class PerHundred:
    threshold: str
    sentence: str
    icons: tuple[Icon, ...]
    key: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class UsefulnessPart:
    """``absent`` says why there is nothing to show."""

    calibration: Curve | None = None
    decision: Curve | None = None
    believed: str = ""
    per_hundred: PerHundred | None = None
    thresholds: Table | None = None
    recalibration: Table | None = None
    absent: str = ""


def usefulness_part(result: Mapping[str, Any]) -> UsefulnessPart | None:
    """None for a result that says nothing about it at all."""
    found = mapping(result.get("usefulness"))
    if not found:
        if "usefulness" not in result:
            return None
        reason = result.get("usefulness_reason")
        return UsefulnessPart(absent=str(reason or "it was not computed in this run"))
    calibration = mapping(found.get("calibration"))
    return UsefulnessPart(
        _calibration(calibration),
        _decision(found),
        _believed(calibration),
        _per_hundred(mapping(found.get("at"))),
        threshold_table(found),
        recalibration_table(calibration),
    )


def usefulness_line(result: Mapping[str, Any]) -> str:
    """One line for the terminal; empty where the result holds nothing."""
    at = mapping(mapping(result.get("usefulness")).get("at"))
    return _hundred_sentence(at) if at else ""


def _calibration(found: Mapping[str, Any]) -> Curve | None:
    points = []
    for one in map(mapping, sequence(found.get("classes"))):
        x, y, pair = number(one.get("expected")), number(one.get("observed")), interval_of(one, "")
        if x is not None and y is not None and pair is not None:
            points.append((x, y, pair))
    if not points:
        return None
    unit = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    dots = tuple((unit.at(x), round(100 - unit.at(y), 2)) for x, y, _ in points)
    whiskers = "".join(
        f"M{unit.at(x):.2f} {100 - unit.at(low):.2f}L{unit.at(x):.2f} {100 - unit.at(high):.2f}"
        for x, _, (low, high) in points
    )
    share = unit.labels(lambda v: f"{100 * v:.0f}{NBSP}%")
    return Curve(
        "calibration",
        "Predicted chance and what happened",
        _classes_said([(x, y) for x, y, _ in points]),
        tuple((round(100 - at, 2), label) for at, label in share),
        share,
        (
            Line("pooled", "Perfect calibration", "M0 100L100 0"),
            Line("shared", "Patients of one class", whiskers, dots),
        ),
        "",
        len(points),
        len(points),
    )


def _classes_said(points: list[tuple[float, float]]) -> str:
    (low, seen), (high, came) = points[0], points[-1]
    if len(points) == 1:
        return f"Predicted {percent(low)}, {percent(seen)} had the condition."
    return (
        f"Of the {len(points)} classes of patients, the lowest was given {percent(low)} and "
        f"{percent(seen)} had the condition; the highest {percent(high)}, and {percent(came)} had "
        "it."
    )


def _decision(found: Mapping[str, Any]) -> Curve | None:
    points = []
    for one in map(mapping, sequence(found.get("decision_curve"))):
        t, model, every = (number(one.get(key)) for key in ("threshold", "model", "everybody"))
        pair = interval_of(one, "")
        if t is not None and model is not None and every is not None and pair is not None:
            points.append((t, model, every, pair))
    if len(points) < 2:
        return None
    top = max(max(model, every, high) for _, model, every, (_, high) in points)
    low = min(-0.05, *(min(model, 0.0) for _, model, _, _ in points))
    y = axis([max(low, -0.15), top])
    x = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))

    def at(t: float, value: float) -> tuple[float, float]:
        return x.at(t), round(100 - y.at(value), 2)

    everybody = [(t, every) for t, _, every, _ in points if every >= y.low]
    hull = [at(t, high) for t, _, _, (_, high) in points]
    hull += [at(t, bottom) for t, _, _, (bottom, _) in reversed(points)]
    return Curve(
        "decision",
        "Net benefit by threshold",
        _worth(found),
        tuple((round(100 - place, 2), label) for place, label in y.labels(_hundredths)),
        x.labels(lambda v: f"{100 * v:.0f}{NBSP}%"),
        (
            Line("own", "Act on everybody", _path([at(t, v) for t, v in everybody])),
            Line("pooled", "Act on nobody", _path([at(0.0, 0.0), at(1.0, 0.0)])),
            Line("shared", "Act on the model", _path([at(t, v) for t, v, _, _ in points])),
        ),
        _path(hull) + "Z",
        len(points),
        len(points),
    )


def _hundredths(value: float) -> str:
    return f"{100 * value:.0f}".replace("-", MINUS) if abs(value) > 1e-9 else "0"


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) if points else ""


def _believed(found: Mapping[str, Any]) -> str:
    """Calibration of all hospitals together, in words."""
    expected, observed = number(found.get("expected")), number(found.get("observed"))
    if expected is None or observed is None:
        return ""
    text = (
        f"On average the model gives {percent(expected)} where {percent(observed)} have the "
        "condition."
    )
    again = mapping(found.get("recalibration"))
    slope = number(mapping(again.get("slope")).get("value"))
    pair = interval_of(again.get("slope"), "")
    if slope is None or pair is None:
        return text
    if pair[0] > 1:
        said = "its chances are too timid"
    elif pair[1] < 1:
        said = "its chances are too extreme"
    else:
        said = "it is not measurably too timid or too extreme"
    return (
        f"{text} The calibration slope is {slope:.2f} (95{NBSP}% interval {pair[0]:.2f} to "
        f"{pair[1]:.2f}; 1 is perfect): {said}."
    )


def _worth(found: Mapping[str, Any]) -> str:
    pair = sequence(found.get("useful_range"))
    if len(pair) != 2:
        return "At no threshold is acting on the model better than acting on everybody or nobody."
    low, high = number(pair[0]), number(pair[1])
    if low is None or high is None:
        return ""
    return (
        "Acting on the model is better than acting on everybody and than acting on nobody for "
        f"thresholds from {100 * low:.0f} to {100 * high:.0f}{NBSP}%."
    )


def _hundred_sentence(at: Mapping[str, Any]) -> str:
    per, threshold = mapping(at.get("per_100")), number(at.get("threshold"))
    found, missed, alarms, left = (
        number(per.get(key)) for key in ("found", "missed", "false_alarms", "rightly_left_alone")
    )
    if None in (found, missed, alarms, left) or threshold is None:
        return ""
    return (
        f"Of 100 such patients, acting on a chance of {100 * threshold:.0f}{NBSP}% or more finds "
        f"{found:.0f} with the condition and misses {missed:.0f}; it gives {alarms:.0f} false "
        f"alarm{'' if alarms == 1 else 's'} and rightly leaves {left:.0f} alone."
    )


def _per_hundred(at: Mapping[str, Any]) -> PerHundred | None:
    sentence = _hundred_sentence(at)
    if not sentence:
        return None
    per = mapping(at.get("per_100"))
    kinds = (
        (FOUND, "found", "with the condition, found"),
        (MISSED, "missed", "with the condition, missed"),
        (ALARM, "false_alarms", "without it, false alarm"),
        (LEFT, "rightly_left_alone", "without it, rightly left alone"),
    )
    row = [kind for kind, key, _ in kinds for _ in range(round(number(per.get(key)) or 0))][:100]
    icons = tuple(
        Icon(kind, 5 + 10 * (place % 10), 5 + 10 * (place // 10)) for place, kind in enumerate(row)
    )
    threshold = number(at.get("threshold")) or 0.0
    key = tuple((kind, f"{row.count(kind)} {said}") for kind, _, said in kinds)
    return PerHundred(f"{100 * threshold:.0f}{NBSP}%", sentence, icons, key)
