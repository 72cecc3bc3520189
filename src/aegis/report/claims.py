"""The lines of the clinical sheet, each with the place of its evidence: how sure, what it means,
for whom not, what about privacy. What a result does not hold is unknown, and has a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.disclosure import (
    LOUD_EPSILON,
    attacked,
    coordinator_saw,
    epsilon,
    has_noise,
    mechanism,
    right_guesses,
)
from aegis.report.fairness_page import verdict_tag
from aegis.report.gains import gains, measure, own_together
from aegis.report.provenance import sureness
from aegis.report.usefulness_page import PerHundred
from aegis.report.verdict import noise_line, right_answers, test_patients
from aegis.report.wording import (
    FEWER,
    NBSP,
    counted,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    sequence,
    significant,
)

MOST_NAMED = 6


@dataclass(frozen=True)
class Claim:
    """``page`` and ``anchor`` are where its evidence stands; ``link`` says what is there."""

    text: str
    link: str
    page: str
    anchor: str = ""


def how_sure(result: Mapping[str, Any]) -> tuple[Claim, ...]:
    overall, n = measure(result.get("global")), test_patients(result)
    if overall is None or not n:
        reason = result.get("global_reason") or "no hospital returned scores"
        return (Claim(f"No patient was tested: {reason}.", "The run", "/technical", "overall"),)
    sure = (
        f", 95{NBSP}% interval {interval(overall.interval)}"
        if overall.interval
        else ", no interval was computed"
    )
    found = [
        Claim(
            f"Tested on {counted(n, 'patient')} that it had not learned from. It was right for "
            f"{right_answers(result.get('global'))} ({percent(overall.value)}{sure}).",
            "All figures",
            "/technical",
            "overall",
        )
    ]
    if noised := noise_line(result):
        found.append(Claim(noised, "All figures", "/technical", "overall"))
    together = own_together(result)
    if together is not None:
        right, total = together
        found.append(
            Claim(
                f"To compare: the hospitals’ own models were right for {right:,} of the same "
                f"{total:,} ({percent(right / total)}).",
                "Hospital by hospital",
                "/fairness",
                "gains",
            )
        )
    simplest = dict(sureness(result)).get("The simplest rule")
    if simplest:
        found.append(Claim(simplest, "How sure", "/technical", "sure"))
    ranked = _ranked(result)
    if ranked:
        found.append(Claim(ranked, "All figures", "/technical", "overall"))
    found.append(Claim(_data(result), "Where it comes from", "/technical", "origin"))
    return tuple(found)


def _ranked(result: Mapping[str, Any]) -> str:
    auc, pair = number(mapping(result.get("global")).get("auc")), None
    if auc is None:
        return ""
    pair = interval_of(result.get("global"), "auc")
    sure = f", 95{NBSP}% interval {pair[0]:.3f} to {pair[1]:.3f}" if pair else ""
    pairs = "more than 99" if 0.995 <= auc < 1 else f"{100 * auc:.0f}"
    if result.get("classes") is not None:
        return (
            f"On average over what it tells apart, a patient with a condition gets a higher chance "
            f"of it than a patient without in {pairs} of 100 such pairs (AUC {auc:.3f}{sure}; 50 "
            "would be guessing)."
        )
    return (
        f"Of a patient with the condition and one without, it gives the higher chance to the one "
        f"with it in {pairs} of 100 such pairs (AUC {auc:.3f}{sure}; 50 would be guessing)."
    )


def _data(result: Mapping[str, Any]) -> str:
    data = mapping(result.get("data"))
    rows, source = number(data.get("rows")), str(data.get("source") or "").split("; ")[0]
    said = "" if rows is None else f"{counted(round(rows), 'patient record')}. "
    return (
        f"Data: {said}{source or 'their source is not recorded'}. When the patients were seen is "
        "not recorded here."
    )


def what_it_means(
    result: Mapping[str, Any], hundred: PerHundred | None, absent: str
) -> tuple[Claim, ...]:
    if hundred is None:
        why = absent or str(result.get("usefulness_reason") or "it was not computed in this run")
        return (
            Claim(
                f"What it would mean for 100 patients is not known: {why}.",
                "The run",
                "/technical",
                "usefulness",
            ),
        )
    per = mapping(mapping(mapping(result.get("usefulness")).get("at")).get("per_100"))
    found, missed, alarms, left = (
        round(number(per.get(key)) or 0)
        for key in ("found", "missed", "false_alarms", "rightly_left_alone")
    )
    return (
        Claim(hundred.sentence, "Other thresholds", "/technical", "usefulness"),
        Claim(
            f"To compare, without any model: acting on all 100 finds all {found + missed} and "
            f"gives {alarms + left} false alarms; acting on nobody misses all {found + missed}.",
            "Is it worth it?",
            "/technical",
            "usefulness",
        ),
    )


def not_for(result: Mapping[str, Any], sees: Callable[[str], bool]) -> tuple[Claim, ...]:
    found = [*_worse_in(result, sees), *_groups(result, sees)]
    if not mapping(result.get("leave_one_out")):
        found.append(
            Claim(
                "Patients of any other hospital: it was not tested on them.",
                "What was tested",
                "/fairness",
                "outside",
            )
        )
    return tuple(found)


def _worse_in(result: Mapping[str, Any], sees: Callable[[str], bool]) -> list[Claim]:
    worse = [gain.hospital for gain in gains(result) if gain.word == "worse" and not gain.withheld]
    if not worse:
        return []
    named = [name for name in worse if sees(name)]
    others = len(worse) - len(named)
    said = _named(named)
    if others:
        said = f"{said} and {others} more" if named else counted(others, "hospital")
    return [
        Claim(
            f"Worse than the hospital’s own model: {said}.", "The comparison", "/fairness", "gains"
        )
    ]


def _groups(result: Mapping[str, Any], sees: Callable[[str], bool]) -> list[Claim]:
    fairness = mapping(result.get("fairness"))
    if not fairness:
        why = result.get("fairness_reason") or "it was not assessed in this run"
        return [
            Claim(
                f"Whether it serves groups of patients alike is not known: {why}.",
                "Groups",
                "/fairness",
                "fairness",
            )
        ]
    found = []
    kind, word = verdict_tag(fairness)
    sentence = str(fairness.get("sentence") or "")
    if kind in ("warn", "bad") and _may_be_said(fairness, sees):
        found.append(Claim(f"{word}. {sentence}", "The groups", "/fairness", "fairness"))
    elif kind in ("warn", "bad"):
        found.append(
            Claim(
                f"{word}: hospitals or groups are not served alike.",
                "The groups",
                "/fairness",
                "fairness",
            )
        )
    withheld, unmeasured = [], []
    for one in map(mapping, sequence(fairness.get("attributes"))):
        title = str(one.get("title") or one.get("attribute"))
        names = [
            str(mapping(group).get("group"))
            for group in sequence(one.get("groups"))
            if mapping(group).get("withheld")
        ]
        if one.get("attribute") == "hospital":
            hidden = [name for name in names if not sees(name)]
            names = [name for name in names if sees(name)]
            names += [counted(len(hidden), "other hospital")] if hidden else []
        if names:
            withheld.append(f"{title.lower()}: {_named(names)}")
        if not sequence(one.get("groups")):
            unmeasured.append(f"{title.lower()} ({one.get('reason') or 'not measured'})")
    if withheld:
        found.append(
            Claim(
                f"Too few test patients to say ({FEWER}, or what would give those away): "
                f"{'; '.join(withheld)}.",
                "Withheld groups",
                "/fairness",
                "fairness",
            )
        )
    if unmeasured:
        found.append(
            Claim(f"Not looked at: {'; '.join(unmeasured)}.", "The groups", "/fairness", "fairness")
        )
    if not found:
        found.append(Claim(sentence, "The groups", "/fairness", "fairness"))
    return found


def _may_be_said(fairness: Mapping[str, Any], sees: Callable[[str], bool]) -> bool:
    """A sentence about a gap between hospitals names both."""
    ends = [
        str(name)
        for one in map(mapping, sequence(fairness.get("violations")))
        if one.get("attribute") == "hospital"
        for name in sequence(one.get("between"))
    ]
    return all(sees(name) for name in ends)


def _named(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def about_privacy(result: Mapping[str, Any]) -> tuple[Claim, ...]:
    saw = coordinator_saw(result)
    found = [
        Claim(saw, "Who saw what", "/privacy"),
        Claim(_bound(result), "What was spent", "/privacy"),
    ]
    tested = attacked(result).split(" The strongest of ")[0]
    found.append(Claim(f"Was this tested? {tested}", "The test", "/privacy"))
    log = mapping(result.get("audit_log"))
    size = number(log.get("size"))
    if size is not None:
        holds = "was checked and holds" if log.get("verified") is True else "has NOT been verified"
        found.append(
            Claim(f"The log of this run, {size:,.0f} entries, {holds}.", "The log", "/audit")
        )
    return tuple(found)


def _bound(result: Mapping[str, Any]) -> str:
    if not mechanism(result):
        return "It is not recorded whether noise was added, so nothing is promised."
    if not has_noise(result):
        return (
            "No noise was added. Nothing in this run bounds how well somebody who holds the model "
            "could tell whether a given patient was among those it learned from."
        )
    spent, privacy = epsilon(result), mapping(result.get("privacy"))
    if spent is None:
        why = str(privacy.get("reason") or "no epsilon was recorded")
        return f"Noise was added, but what it protects cannot be said yet: {why}."
    delta = number(privacy.get("delta"))
    figure = (
        f"(Total epsilon of this run {significant(spent)}, delta "
        f"{f'1 in {1 / delta:,.0f}' if delta else 'not recorded'}, per {privacy.get('unit')}, "
        f"{privacy.get('neighbouring')}; what a hospital spent in earlier runs comes on top.)"
    )
    if spent >= LOUD_EPSILON:
        return f"Noise was added, but this bound alone promises little; see attack tests. {figure}"
    return (
        "Noise was added. Whoever holds the model and guesses whether one given record was used is "
        f"right in at most {right_guesses(spent)} of 100 cases; tossing a coin is right in 50. "
        f"{figure}"
    )
