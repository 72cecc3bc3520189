"""A run on one page for people who decide and treat: is it better, how sure, for whom not?

Sentences without a technician's words, each with the place of its evidence: a page of the
coordinator's window and what to look for there (``aegis.report.claims``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.claims import Claim, about_privacy, how_sure, not_for, what_it_means
from aegis.report.disclosure import has_noise
from aegis.report.gains import gains, tally
from aegis.report.usefulness_page import PerHundred, usefulness_part
from aegis.report.verdict import hospitals_in
from aegis.report.wording import NBSP, counted, mapping, number, task_title

STATUS = "Research use. Not approved for patient care."
GOING_ON = frozenset({"waiting", "running", "paused"})
_ENDS = {
    "stopped": "was stopped before its planned end",
    "aborted": "broke off",
    "refused": "was refused",
    "failed": "broke off",
}


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
        how_sure(result) if ready else (),
        hundred,
        what_it_means(result, hundred, "" if part is None else part.absent),
        not_for(result, sees),
        about_privacy(result),
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
