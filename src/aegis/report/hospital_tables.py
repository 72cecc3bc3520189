"""The tables with a row for each hospital: what it holds, what it gains, how it is served.

Figures of a hospital with fewer than ten test patients are withheld, and those that would give
them back (``withheld``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.gains import Gain, Measure, gains
from aegis.report.tables import MOST_ROWS, Table, shown_hospitals
from aegis.report.withheld import (
    WITHHELD,
    counts,
    counts_tested,
    in_place_of_number,
    without_figures,
)
from aegis.report.wording import (
    FEWER,
    NBSP,
    SMALL,
    absent,
    interval,
    mapping,
    measured,
    number,
    percent,
    points,
    sequence,
)

NOT_RECORDED = "n/a: not recorded"


def comparison_table(result: Mapping[str, Any]) -> Table | None:
    shown, note = shown_hospitals(result)
    found = gains(result)
    if all(gain.own is None and gain.shared is None for gain in found):
        return None
    return Table(
        "Accuracy of each hospital’s own model and of the shared model on the hospital’s "
        "test patients, with 95"
        f"{NBSP}% intervals",
        (
            ("Hospital", False),
            ("Test patients", True),
            ("Own model", True),
            ("Shared model", True),
            ("Difference", True),
            ("Finding", False),
        ),
        tuple(_compared(gain) for gain in found if gain.hospital in shown),
        note,
    )


def finding(gain: Gain) -> str:
    if gain.withheld:
        return gain.withheld
    if gain.word != "not comparable":
        return gain.word
    return f"not comparable: {gain.reason}" if gain.reason else "not comparable"


def _compared(gain: Gain) -> tuple[str, ...]:
    if gain.withheld:
        n = in_place_of_number(gain.withheld)
        return (gain.hospital, n, *[WITHHELD] * 3, finding(gain))
    n = NOT_RECORDED if gain.examples is None else f"{gain.examples:,}"
    difference = gain.difference
    return (
        gain.hospital,
        n,
        share_with_interval(gain.own),
        share_with_interval(gain.shared),
        (
            "n/a: not comparable"
            if difference is None
            else points(difference.value, difference.interval)
        ),
        finding(gain),
    )


def share_with_interval(found: Measure | None) -> str:
    if found is None:
        return "n/a: no model"
    if found.interval is None:
        return percent(found.value)
    return f"{percent(found.value)} ({interval(found.interval)})"


def hospital_table(result: Mapping[str, Any]) -> Table:
    """The shared model in each hospital."""
    shown, note = shown_hospitals(result)
    hospitals = [mapping(h) for h in sequence(result.get("hospitals"))]
    several = result.get("classes") is not None
    groups = _groups(result)
    why, tested = without_figures(result), counts_tested(result)
    trained = counts({str(h.get("name", "unnamed")): number(h.get("examples")) for h in hospitals})
    return Table(
        "The shared model on each hospital’s own test patients",
        (
            ("Hospital", False),
            ("Training patients", True),
            ("Test patients", True),
            ("Accuracy", True),
            ("Among the first three" if several else "Sensitivity", True),
            ("Balanced accuracy" if several else "Specificity", True),
            ("AUC", True),
            ("Log-loss", True),
            ("Rounds", True),
            ("State", False),
        ),
        tuple(
            (
                name,
                trained[name],
                tested.get(name, NOT_RECORDED),
                *_figures(h, several, groups.get(name), why.get(name)),
            )
            for h in hospitals
            if (name := str(h.get("name", "unnamed"))) in shown
        ),
        note,
    )


def _groups(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The hospitals as groups of patients, as far as fairness compared them."""
    compared = sequence(mapping(result.get("fairness")).get("attributes"))
    return {
        str(mapping(group).get("group")): mapping(group)
        for attribute in compared
        if mapping(attribute).get("attribute") == "hospital"
        for group in sequence(mapping(attribute).get("groups"))
    }


def _kept_back(group: Mapping[str, Any] | None, share: str) -> bool:
    """Whether fairness withholds this share of the hospital: too few ill or too few well."""
    return group is not None and number(mapping(group.get(share)).get("value")) is None


def _figures(
    hospital: Mapping[str, Any], several: bool, group: Mapping[str, Any] | None, why: str | None
) -> tuple[str, ...]:
    metrics = mapping(hospital.get("global"))
    if why is not None:
        figures = [why] + [WITHHELD] * 4
    else:
        figures = [
            measured(metrics, "accuracy"),
            measured(metrics, "top_3_accuracy" if several else "recall"),
            measured(metrics, "balanced_accuracy") if several else specificity(metrics),
            measured(metrics, "auc"),
            measured(metrics, "log_loss"),
        ]
        if not several:  # from one of the two the other could be told
            few = _kept_back(group, "found") or _kept_back(group, "false_alarms")
            figures[1:3] = [WITHHELD] * 2 if few else figures[1:3]
    rounds = number(hospital.get("rounds"))
    return (
        *figures,
        NOT_RECORDED if rounds is None else f"{rounds:.0f}",
        str(hospital.get("status") or NOT_RECORDED),
    )


def specificity(metrics: Mapping[str, Any]) -> str:
    """Follows from balanced accuracy, which is the mean of sensitivity and specificity."""
    balanced, recall = number(metrics.get("balanced_accuracy")), number(metrics.get("recall"))
    if balanced is None or recall is None:
        return absent(metrics, "auc") if "auc" in metrics else absent(metrics, "balanced_accuracy")
    return percent(min(max(2 * balanced - recall, 0.0), 1.0))


def partition_table(result: Mapping[str, Any]) -> Table | None:
    """What each hospital holds."""
    hospitals = [mapping(h) for h in sequence(mapping(result.get("partition")).get("hospitals"))]
    if not hospitals:
        return None
    shown, note = shown_hospitals(result)
    several = any("classes" in h for h in hospitals)
    named = [h for h in hospitals if not shown or str(h.get("hospital")) in shown][:MOST_ROWS]
    held = [
        counts({str(h.get("hospital", "unnamed")): number(h.get(part)) for h in hospitals})
        for part in ("train", "test")
    ]
    return Table(
        "Patients of each hospital",
        (
            ("Hospital", False),
            ("For training", True),
            ("For testing", True),
            ("Classes there" if several else "With the condition", True),
            ("Age, mean (sd)", True),
            ("Youngest to oldest", True),
            ("Female", True),
        ),
        tuple(_held(h, *held) for h in named),
        note,
    )


def _held(
    hospital: Mapping[str, Any], trained: Mapping[str, str], tested: Mapping[str, str]
) -> tuple[str, ...]:
    name = str(hospital.get("hospital", "unnamed"))
    # The whole less the one is the other.
    kept = {WITHHELD, FEWER} & {trained[name], tested[name]}
    parts = [number(hospital.get(name)) for name in ("train", "validation", "test")]
    rows = number(hospital.get("rows"))
    if rows is None and parts[0] is not None and parts[2] is not None:
        rows = sum(part or 0.0 for part in parts)
    mean, sd = number(hospital.get("age_mean")), number(hospital.get("age_sd"))
    low = number(hospital.get("age_low", hospital.get("age_min")))
    high = number(hospital.get("age_high", hospital.get("age_max")))
    return (
        name,
        _held_rows(hospital.get("train"), trained[name]),
        _held_rows(hospital.get("test"), tested[name]),
        WITHHELD if kept else _ill(hospital, rows),
        (NOT_RECORDED if mean is None else f"{mean:.1f}" + ("" if sd is None else f" ({sd:.1f})")),
        NOT_RECORDED if low is None or high is None else f"{low:.0f} to {high:.0f} years",
        WITHHELD if kept else share_of(number(hospital.get("female_share")), rows),
    )


def _ill(hospital: Mapping[str, Any], rows: float | None) -> str:
    there, of = number(hospital.get("classes")), number(hospital.get("of_classes"))
    if there is not None and of is not None:
        return f"{there:.0f} of {of:.0f}"
    return share_of(number(hospital.get("positive_share")), rows)


def _held_rows(value: Any, counted: str) -> str:
    """A word of the hospital's own, or its number as far as it may be said."""
    return value if isinstance(value, str) else counted


def share_of(share: float | None, rows: float | None) -> str:
    """``98 of 261 (37.5 %)``; a side under ten is only said to be under ten."""
    if share is None or rows is None:
        return "n/a: not shown or not recorded"
    count = round(share * rows)
    if count < SMALL:
        return FEWER
    if rows - count < SMALL:
        return f"all but {FEWER}"
    return f"{count:,} of {round(rows):,} ({percent(share)})"
