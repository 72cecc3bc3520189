"""The tables about usefulness: what each threshold comes to, and calibration at each hospital."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.tables import Table
from aegis.report.wording import (
    MINUS,
    NBSP,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    sequence,
)


def threshold_table(found: Mapping[str, Any]) -> Table:
    rows = [mapping(one) for one in sequence(found.get("thresholds"))]
    aims = [mapping(one) for one in sequence(found.get("aims"))]
    return Table(
        "What each threshold comes to, per 100 patients and in shares",
        (
            ("Act from", False),
            ("One found is worth", True),
            ("Found", True),
            ("Missed", True),
            ("False alarms", True),
            ("Sensitivity", True),
            ("Specificity", True),
            ("Right when it alarms", True),
            ("Right when it does not", True),
        ),
        tuple(_threshold(row) for row in (*rows, *aims)),
        "Acting from a chance of 20"
        f"{NBSP}% says that one patient found is worth four false alarms. Rows with an aim (to "
        "find so many of those with the condition, to spare so many of those without) were chosen "
        "on these very patients and flatter a little. The last two columns depend on how common "
        "the condition is here; their intervals are in the JSON result.",
    )


def _threshold(row: Mapping[str, Any]) -> tuple[str, ...]:
    threshold, per = number(row.get("threshold")) or 0.5, mapping(row.get("per_100"))
    aim = row.get("aim")
    label = f"{100 * threshold:.0f}{NBSP}%"
    worth = (1 - threshold) / threshold
    counts = [number(per.get(key)) for key in ("found", "missed", "false_alarms")]
    return (
        f"{label}, {aim}" if aim else label,
        f"{worth:.2g} false alarm" + ("" if f"{worth:.2g}" == "1" else "s"),
        *("n/a: not recorded" if n is None else f"{n:.0f}" for n in counts),
        *(_share(row.get(key)) for key in ("sensitivity", "specificity")),
        *(_bare(row.get(key)) for key in ("ppv", "npv")),
    )


def _share(found: Any) -> str:
    value, pair = number(mapping(found).get("value")), interval_of(found, "")
    if value is None or pair is None:
        return "n/a: nobody"
    return f"{percent(value)} ({interval(pair)})"


def _bare(found: Any) -> str:
    value = number(mapping(found).get("value"))
    return "n/a: nobody" if value is None else percent(value)


def recalibration_table(found: Mapping[str, Any]) -> Table | None:
    hospitals = [mapping(one) for one in sequence(found.get("hospitals"))]
    if not hospitals:
        return None
    return Table(
        "Calibration at each hospital, and whether recalibration there would help",
        (
            ("Hospital", False),
            ("Test patients", True),
            ("Intercept", True),
            ("Slope", True),
            ("Log-loss saved per patient", True),
            ("Finding", False),
        ),
        tuple(_hospital(one) for one in hospitals),
        "A hospital recalibrates by taking intercept + slope times the model’s logit. The saving "
        "is measured on patients that the two numbers were not fitted on (cross-fitted); "
        "recalibrating is advised where its whole interval is above zero.",
    )


def _hospital(one: Mapping[str, Any]) -> tuple[str, ...]:
    name, again = str(one.get("name", "unnamed")), mapping(one.get("recalibration"))
    if not again:
        why = f"n/a: {one.get('reason') or 'not computed'}"
        return (name, "withheld", "withheld", "withheld", "withheld", why)
    gain = mapping(again.get("gain"))
    saved, pair = number(gain.get("log_loss")), interval_of(gain, "")
    n = number(again.get("examples"))
    return (
        name,
        "n/a: not recorded" if n is None else f"{n:,.0f}",
        _estimate(again.get("intercept")),
        _estimate(again.get("slope")),
        (
            "n/a: too few to hold any out"
            if saved is None or pair is None
            else f"{_minus(saved, 3)} ({_minus(pair[0], 3)} to {_minus(pair[1], 3)})"
        ),
        "recalibrate here" if again.get("advised") is True else "no measurable gain",
    )


def _estimate(found: Any) -> str:
    value, pair = number(mapping(found).get("value")), interval_of(found, "")
    if value is None or pair is None:
        return "n/a: not estimable"
    return f"{_minus(value)} ({_minus(pair[0])} to {_minus(pair[1])})"


def _minus(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}"
    return text.replace("-", MINUS) if float(text) else f"{0:.{digits}f}"
