"""A run on one page for people who decide and treat: is it better, how sure, for whom not?

Sentences without a technician's words, each with the place of its evidence: a page of the
coordinator's window and what to look for there. Nothing is said that the result does not hold, and
what it does not hold is said to be unknown, with the reason.
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
from aegis.report.gains import gains, measure, own_together, tally
from aegis.report.provenance import sureness
from aegis.report.usefulness_page import PerHundred, usefulness_part
from aegis.report.verdict import hospitals_in, right_answers, test_patients
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
    task_title,
)

STATUS = "Research use. Not approved for patient care."
GOING_ON = frozenset({"waiting", "running", "paused"})
_ENDS = {
    "stopped": "was stopped before its planned end",
    "aborted": "broke off",
    "refused": "was refused",
    "failed": "broke off",
}
MOST_NAMED = 6


@dataclass(frozen=True)
class Claim:
    """``page`` and ``anchor`` are where its evidence stands; ``link`` says what is there."""

    text: str
    link: str
    page: str
    anchor: str = ""


@dataclass(frozen=True)
class Clinical:
    """The page from top to bottom. ``ready`` is False while the run goes on; ``notes`` are (kind,
    sentence) that must be read first."""

    ready: bool
    headline: str
    verdict: Claim
    notes: tuple[tuple[str, str], ...]
    sure: tuple[Claim, ...]
    hundred: PerHundred | None
    meaning: tuple[Claim, ...]
    not_for: tuple[Claim, ...]
    privacy: tuple[Claim, ...]
    words: tuple[tuple[str, str], ...]


def clinical(
    result: Mapping[str, Any], sees: Callable[[str], bool] = lambda hospital: True
) -> Clinical:
    """``sees`` says which hospitals may be named with a finding of their own."""
    part = usefulness_part(result)
    hundred = None if part is None else part.per_hundred
    ready = str(result.get("status")) not in GOING_ON
    return Clinical(
        ready,
        _headline(result, ready),
        Claim("", "Each hospital’s own model against the shared one", "/fairness", "gains"),
        _notes(result),
        _sure(result) if ready else (),
        hundred,
        _meaning(result, hundred, "" if part is None else part.absent),
        _not_for(result, sees),
        _privacy(result),
        _words(result),
    )


def condition(result: Mapping[str, Any]) -> str:
    """What is looked for, as words in a sentence: ``heart disease``."""
    title = task_title(result)
    title = title.lower() if not title.isupper() else title
    positive = str(mapping(result.get("data")).get("positive") or "")
    if not positive or positive == title:
        return title
    return positive if title in positive else f"{title} ({positive} or not)"


def _headline(result: Mapping[str, Any], ready: bool) -> str:
    where = f"For {condition(result)} in {_hospitals(result)}"
    if not ready:
        done = counted(round(number(result.get("rounds")) or 0), "round")
        return f"{where} there is nothing to decide yet: the run goes on, with {done} done."
    if number(mapping(result.get("global")).get("accuracy")) is None:
        return f"{where} there is no finding: the run ended without a model that was tested."
    counts = tally(gains(result))
    compared = sum(counts.values()) - counts["not comparable"]
    if not compared:
        return (
            f"{where} it is not known whether the shared model is better than the hospitals’ own "
            "models: they were not compared."
        )
    aside = counts["not comparable"]
    return (
        f"{where} the shared model is right more often than the hospitals’ own models in "
        f"{counts['better']} of {compared + aside}, no clear difference in "
        f"{counts['no clear difference']}, worse in {counts['worse']}"
        + (f", not compared in {aside}." if aside else ".")
    )


def _hospitals(result: Mapping[str, Any]) -> str:
    n = hospitals_in(result)
    return f"these {n} hospitals" if n != 1 else "this hospital"


def _notes(result: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = []
    status = str(result.get("status"))
    if mapping(result.get("data")).get("synthetic") is True:
        found.append(
            (
                "warn",
                "SYNTHETIC DATA. These patients do not exist. No figure on this page says anything "
                "about real ones.",
            )
        )
    if status in _ENDS:
        done = counted(round(number(result.get("rounds")) or 0), "round")
        reason = str(result.get("reason") or "no reason was recorded").rstrip(".")
        found.append(("warn", f"This run {_ENDS[status]}, after {done}: {reason}."))
    if result.get("transport") == "inprocess":
        found.append(
            (
                "info",
                "The hospitals were simulated on one machine. The page shows how well the method "
                "works, not that patients’ rows stayed where they were.",
            )
        )
    return tuple(found)


def _sure(result: Mapping[str, Any]) -> tuple[Claim, ...]:
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


def _meaning(
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


def _not_for(result: Mapping[str, Any], sees: Callable[[str], bool]) -> tuple[Claim, ...]:
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
    worse = [gain.hospital for gain in gains(result) if gain.word == "worse" and not gain.small]
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


def _privacy(result: Mapping[str, Any]) -> tuple[Claim, ...]:
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


def _words(result: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = [
        ("Shared model", "The one that all hospitals made together by sending what their computers "
         "learned, not their patients’ rows."),
        ("Own model", "The same kind, made by one hospital from its own patients only."),
        (f"95{NBSP}% interval", "Where the true figure may well lie: of 100 intervals made like "
         "this, about 95 hold it."),
    ]  # fmt: skip
    if number(mapping(result.get("global")).get("auc")) is not None:
        found.append(
            ("AUC", "How often a patient with the condition gets the higher chance than one "
             "without. 0.5 is guessing, 1 is perfect."),
        )  # fmt: skip
    if has_noise(result):
        found.append(
            ("Epsilon, delta", "The largest privacy loss that the noise allows, smaller is safer; "
             "and the chance that this bound does not hold."),
        )  # fmt: skip
    return tuple(found)
