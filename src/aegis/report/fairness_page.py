"""What the page and the terminal say about fairness: a verdict, and each attribute's groups, the
worst served first. Everything comes from the result's ``fairness``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.charts import Mark, axis, mark
from aegis.report.tables import MOST_ROWS, Table
from aegis.report.wording import (
    FEWER,
    NBSP,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    points,
    sequence,
    signed,
)

MEASURES: Mapping[str, str] = {
    "accuracy_parity": "Accuracy",
    "equalised_odds": "Equalised odds",
    "calibration": "Calibration",
    "demographic_parity": "Called positive",
    "disparate_impact": "Called positive, as a ratio",
}
COLUMNS = (
    ("Group", False),
    ("Test patients", True),
    ("Accuracy", True),
    ("Found, of those with the condition", True),
    ("False alarms, of those without", True),
    ("Predicted chance, and share with the condition", True),
)


@dataclass(frozen=True)
class GroupRow:
    """``cells`` as ``COLUMNS``; ``mark`` is the accuracy on the attribute's scale."""

    cells: tuple[str, ...]
    mark: Mark | None


@dataclass(frozen=True)
class AttributePart:
    """One attribute's groups, or ``absent``: why there are none."""

    title: str
    rows: tuple[GroupRow, ...]
    ticks: tuple[tuple[float, str], ...]
    gap: str
    gaps: Table | None
    within: Table | None
    note: str
    absent: str = ""


@dataclass(frozen=True)
class FairnessPart:
    """``kind`` and ``word`` are those of the verdict's tag."""

    kind: str
    word: str
    sentence: str
    spread: str
    parts: tuple[AttributePart, ...]


def fairness_part(result: Mapping[str, Any]) -> FairnessPart | None:
    found = mapping(result.get("fairness"))
    if not found:
        return None
    kind, word = verdict_tag(found)
    within = {
        str(mapping(one).get("attribute")): mapping(one)
        for one in sequence(found.get("within_hospitals"))
    }
    parts = tuple(
        _attribute(one, mapping(found.get("thresholds")), within.get(str(one.get("attribute"))))
        for one in map(mapping, sequence(found.get("attributes")))
    )
    return FairnessPart(kind, word, str(found.get("sentence") or ""), _spread(found), parts)


def verdict_tag(found: Mapping[str, Any]) -> tuple[str, str]:
    """(kind, word): no hue without its word."""
    if found.get("fair") is None:
        return "off", "Not compared"
    broken = [mapping(one) for one in sequence(found.get("violations"))]
    if not broken:
        return "ok", "Within the plan’s limits"
    if all(one.get("may_be_chance") is True for one in broken):
        return "warn", "Limit exceeded, may be chance"
    return "bad", "Limit exceeded"


def fairness_line(result: Mapping[str, Any]) -> str:
    """One line for the terminal; empty where the result holds nothing."""
    found = mapping(result.get("fairness"))
    return "" if not found else f"{verdict_tag(found)[1]}. {found.get('sentence') or ''}".strip()


def _spread(found: Mapping[str, Any]) -> str:
    spread, limits = mapping(found.get("hospital_accuracy")), mapping(found.get("thresholds"))
    sd, variance = number(spread.get("sd")), number(spread.get("variance"))
    limit, n = number(limits.get("hospital_variance")), number(spread.get("hospitals"))
    if sd is None or variance is None or limit is None or n is None:
        return ""
    return (
        f"Between {n:.0f} hospitals the accuracies have a variance of {variance:.4f}, a standard "
        f"deviation of {100 * sd:.1f}{NBSP}points. The plan’s limit is a variance of {limit:g}, "
        f"which is {100 * limit**0.5:.1f}{NBSP}points."
    )


def _attribute(
    found: Mapping[str, Any], limits: Mapping[str, Any], within: Mapping[str, Any] | None
) -> AttributePart:
    title = str(found.get("title") or found.get("attribute") or "unnamed")
    groups = [mapping(group) for group in sequence(found.get("groups"))]
    if not groups:
        reason = str(found.get("reason") or "it was not measured")
        return AttributePart(title, (), (), "", None, None, "", reason)
    ranked = sorted(groups, key=_rank)
    shown = ranked[:MOST_ROWS]
    spans = [pair for group in shown if (pair := _span(group.get("accuracy")))]
    scale = axis([bound for pair in spans for bound in pair] or [0.0, 1.0], 2, 0.0, 1.0)
    rows = tuple(
        GroupRow(
            _cells(group),
            None if (pair := _span(group.get("accuracy"))) is None or (at := _value(group)) is None
            else mark(scale, at, pair),
        )
        for group in shown
    )  # fmt: skip
    notes = []
    if any(group.get("withheld") for group in groups):
        notes.append(
            f"Groups of {FEWER} test patients are withheld, and whatever would give them back by "
            "subtraction."
        )
    if len(ranked) > len(shown):
        notes.append(f"{len(shown)} of {len(ranked):,} groups are shown, the worst served first.")
    measures = mapping(found.get("measures"))
    return AttributePart(
        title,
        rows,
        scale.labels(lambda v: f"{100 * v:.3g}{NBSP}%"),
        _gap_sentence(mapping(measures.get("accuracy_parity")), limits),
        _gaps(title, measures, limits),
        _within(title, within),
        " ".join(notes),
    )


def _rank(group: Mapping[str, Any]) -> tuple[bool, float, str]:
    at = _value(group)
    return at is None, at or 0.0, str(group.get("group"))


def _value(group: Mapping[str, Any]) -> float | None:
    return number(mapping(group.get("accuracy")).get("value"))


def _span(share: Any) -> tuple[float, float] | None:
    return interval_of(share, "value")


def _cells(group: Mapping[str, Any]) -> tuple[str, ...]:
    name = str(group.get("group", "unnamed"))
    if group.get("withheld"):
        return (name, *(["withheld"] * (len(COLUMNS) - 1)))
    expected, observed = number(group.get("expected")), group.get("observed")
    seen = number(mapping(observed).get("value"))
    if expected is None:
        calibrated = "n/a: chances not released"
    elif seen is None:
        calibrated = f"{percent(expected)}, withheld"
    else:
        calibrated = f"{percent(expected)}, {percent(seen)}"
    n = number(group.get("examples"))
    if "found" not in group:
        apart = "n/a: more than two classes"
        tested = "n/a: not recorded" if n is None else f"{n:,.0f}"
        return (name, tested, _said(group.get("accuracy")), apart, apart, apart)
    return (
        name,
        "n/a: not recorded" if n is None else f"{n:,.0f}",
        _said(group.get("accuracy")),
        _said(group.get("found"), of=True),
        _said(group.get("false_alarms"), of=True),
        calibrated,
    )


def _said(share: Any, of: bool = False) -> str:
    """``82.6 % (74.3 to 88.8 %)``, with its denominator where that is not the row's."""
    value, pair = number(mapping(share).get("value")), _span(share)
    if value is None:
        return "withheld"
    n = number(mapping(share).get("of"))
    base = f" of {n:,.0f}" if of and n is not None else ""
    return f"{percent(value)}{base} ({interval(pair)})"


def _gap_sentence(gap: Mapping[str, Any], limits: Mapping[str, Any]) -> str:
    value, limit = number(gap.get("value")), number(limits.get("accuracy_parity"))
    if value is None or limit is None:
        return "Fewer than two groups are large enough to be compared."
    chance = number(gap.get("by_chance"))
    text = (
        f"Widest gap in accuracy: {100 * value:.1f}{NBSP}points, between {gap.get('highest')} and "
        f"{gap.get('lowest')}; the plan’s limit is {100 * limit:.1f}."
    )
    if chance is None:
        return text
    known = "no more than chance may open" if value <= chance else "more than chance opens"
    return (
        f"{text} Groups of these sizes that are served alike would lie up to "
        f"{100 * chance:.1f}{NBSP}points apart in 95 of 100 repetitions, so this is {known}."
    )


def _gaps(title: str, measures: Mapping[str, Any], limits: Mapping[str, Any]) -> Table | None:
    rows = []
    for key, label in MEASURES.items():
        if measures and key not in measures:
            continue
        gap = mapping(measures.get(key))
        value, pair = number(gap.get("value")), interval_of(gap, "value")
        if value is None or pair is None:
            rows.append((label, "n/a: too few patients", "", "", "", ""))
            continue
        ratio = key == "disparate_impact"
        chance = number(gap.get("by_chance"))
        among = gap.get("among")
        limit = number(limits.get(key))
        rows.append(
            (
                f"{label}, {among}" if among else label,
                f"{value:.2f}" if ratio else f"{100 * value:.1f}{NBSP}points",
                f"{pair[0]:.2f} to {pair[1]:.2f}" if ratio else _signed_span(pair),
                "n/a: not worked out" if chance is None else f"{100 * chance:.1f}{NBSP}points",
                f"highest {gap.get('highest')}, lowest {gap.get('lowest')}",
                "decides nothing" if limit is None else f"{100 * limit:.1f}{NBSP}points",
            )
        )
    return Table(
        f"Every gap between groups, by {title.lower()}",
        (
            ("What is compared", False),
            ("Widest gap", True),
            (f"95{NBSP}% interval", True),
            ("By chance up to", True),
            ("Between", False),
            ("The plan’s limit", False),
        ),
        tuple(rows),
        "Patients who have the condition more often are rightly called positive more often, so the "
        "last two rows are no aims of a diagnosis. A ratio between 0.8 and 1.25 is the commonly "
        "quoted rule of four fifths.",
    )


def _signed_span(pair: tuple[float, float]) -> str:
    return points(pair[0], None).split(NBSP)[0] + " to " + signed(pair[1])


def _within(title: str, found: Mapping[str, Any] | None) -> Table | None:
    """Accuracy by group inside each hospital."""
    hospitals = [mapping(one) for one in sequence(mapping(found).get("hospitals"))][:MOST_ROWS]
    if not hospitals:
        return None
    groups = [
        [mapping(group) for group in sequence(hospital.get("groups"))] for hospital in hospitals
    ]
    names = [str(group.get("group")) for group in groups[0]]
    kept = [
        at for at in range(len(names)) if any(mapping(row[at].get("accuracy")) for row in groups)
    ]
    if not kept:
        return None
    return Table(
        f"Accuracy inside each hospital, by {title.lower()}",
        (("Hospital", False), *((names[at], True) for at in kept)),
        tuple(
            (str(hospital.get("hospital")), *(_inside(row[at]) for at in kept))
            for hospital, row in zip(hospitals, groups, strict=True)
        ),
        f"Cells of {FEWER} patients are withheld, and others with them that would give them back.",
    )


def _inside(group: Mapping[str, Any]) -> str:
    share = mapping(group.get("accuracy"))
    value, n = number(share.get("value")), number(share.get("of"))
    return "withheld" if value is None or n is None else f"{percent(value)} of {n:,.0f}"
