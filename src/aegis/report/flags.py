"""Who was flagged: from the events of a run into its result, and from the result onto the page.

A flag says that an update was unlike the others, how much and in what; it drops nothing, the rule
decides. Where the coordinator saw only sums there is nothing to compare, and the result says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aegis.plan import Plan
from aegis.report.tables import MOST_ROWS, Table
from aegis.report.wording import counted, mapping, number, sequence

NOT_ASKED = "robust_aggregation.enable_detection was off"
HIDDEN = "not available: with trust: masked the coordinator sees only the sum of all updates"


def flags_of(records: Sequence[tuple[int, str, dict[str, Any]]]) -> dict[int, list[dict[str, Any]]]:
    """By round: hospital (in grouped mode the group), detector, score and reason of each flag."""
    found: dict[int, list[dict[str, Any]]] = {}
    for _, _, event in records:
        if event["event"] == "HospitalFlagged":
            kept = {key: event[key] for key in ("hospital", "detector", "score", "reason")}
            found.setdefault(event["round"], []).append(kept)
    return found


def detected(plan: Plan, records: Sequence[tuple[int, str, dict[str, Any]]]) -> dict[str, Any]:
    """``detection``: every flagged hospital with its rounds and its highest score; null, with
    ``detection_reason``, where nobody could look."""
    robust = plan.robust_aggregation
    if not (robust.enabled and robust.enable_detection) or plan.trust == "masked":
        why = HIDDEN if plan.trust == "masked" else NOT_ASKED
        return {"detection": None, "detection_reason": why}
    hospitals: dict[str, dict[str, Any]] = {}
    for round, flags in sorted(flags_of(records).items()):
        for flag in flags:
            name, score = flag["hospital"], flag["score"]
            one = hospitals.setdefault(name, {"hospital": name, "rounds": [], "score": score})
            one["rounds"].append(round)
            if score >= one["score"]:
                one |= {key: flag[key] for key in ("score", "detector", "reason")}
    ranked = sorted(hospitals.values(), key=lambda one: (-len(one["rounds"]), one["hospital"]))
    return {"detection": {"z_threshold": robust.z_threshold, "hospitals": ranked}}


def flag_table(result: Mapping[str, Any]) -> Table | None:
    """One row for each flagged hospital, most often first; nothing where there is none."""
    entries = [mapping(e) for e in sequence(mapping(result.get("detection")).get("hospitals"))]
    if not entries:
        return None
    threshold = number(mapping(result.get("detection")).get("z_threshold"))
    note = f"Scores are robust z; flagged above {threshold:g}." if threshold is not None else ""
    if len(entries) > MOST_ROWS:
        note += f" {MOST_ROWS} of {counted(len(entries), 'hospital')} are shown."
    return Table(
        "Updates unlike the others; a flag drops nothing, the rule decides",
        (("Hospital", False), ("Rounds", False), ("Highest score", True), ("Why", False)),
        tuple(_row(entry) for entry in entries[:MOST_ROWS]),
        note.strip(),
    )


def no_flags(result: Mapping[str, Any]) -> str:
    if isinstance(result.get("detection"), Mapping):
        return "No update was flagged in any round."
    reason = result.get("detection_reason")
    return f"Nobody looked: {reason if isinstance(reason, str) and reason else NOT_ASKED}."


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    score = number(entry.get("score"))
    return (
        str(entry.get("hospital", "unnamed")),
        _spans([int(at) for at in sequence(entry.get("rounds"))]),
        "n/a" if score is None else f"{score:.1f}" if score < 1000 else "over 1000",
        str(entry.get("reason", "")),
    )


def _spans(rounds: Sequence[int]) -> str:
    """``1-4, 7``: a timeline in words."""
    spans: list[list[int]] = []
    for at in rounds:
        if spans and at == spans[-1][1] + 1:
            spans[-1][1] = at
        else:
            spans.append([at, at])
    said = [str(a) if a == b else f"{a}-{b}" for a, b in spans]
    more = f" and {len(said) - 8} more spans" if len(said) > 8 else ""
    return ", ".join(said[:8]) + more
