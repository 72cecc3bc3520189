"""Who gains: the shared model against each hospital's own, on the same held-out patients.

The eye cannot judge a difference from two overlapping intervals, so a hospital is called better or
worse only where the paired interval of the difference leaves zero out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from aegis.report.withheld import without_figures
from aegis.report.wording import interval_of, mapping, number, sequence

Word = Literal["better", "no clear difference", "worse", "not comparable"]


@dataclass(frozen=True)
class Measure:
    """A share with its 95 % interval, where there is one."""

    value: float
    interval: tuple[float, float] | None = None

    @property
    def span(self) -> tuple[float, float]:
        return self.interval or (self.value, self.value)


@dataclass(frozen=True)
class Gain:
    """One hospital. ``difference`` is shared minus own; ``withheld`` says why nothing of it is
    shown, if so."""

    hospital: str
    examples: int | None
    own: Measure | None
    shared: Measure | None
    difference: Measure | None
    reason: str = ""
    withheld: str = ""

    @property
    def word(self) -> Word:
        if self.difference is None or self.difference.interval is None:
            return "not comparable"
        low, high = self.difference.interval
        return "better" if low > 0 else "worse" if high < 0 else "no clear difference"


def measure(metrics: Any, key: str = "accuracy") -> Measure | None:
    value = number(mapping(metrics).get(key))
    return None if value is None else Measure(value, interval_of(metrics, key))


def gains(result: Mapping[str, Any]) -> tuple[Gain, ...]:
    """One per hospital, largest gain first; small ones and those without a difference last.

    For a hospital outside ``comparison`` the two accuracies of ``hospitals`` are taken, which have
    no paired interval: it is then called neither better nor worse.
    """
    compared = sequence(mapping(result.get("comparison")).get("hospitals"))
    found = [_compared(mapping(entry)) for entry in compared]
    named = {gain.hospital for gain in found}
    others = map(mapping, sequence(result.get("hospitals")))
    found += [_beside(entry) for entry in others if str(entry.get("name")) not in named]
    why = without_figures(result)
    found = [replace(gain, withheld=why.get(gain.hospital, "")) for gain in found]
    return tuple(sorted(found, key=_rank))


def travelled(result: Mapping[str, Any]) -> tuple[Gain, ...]:
    """Each hospital's own model and the shared one on the test patients of all hospitals."""
    compared = map(mapping, sequence(mapping(result.get("comparison")).get("hospitals")))
    return tuple(
        _compared({**mapping(entry["everywhere"]), "name": entry.get("name")})
        for entry in compared
        if mapping(entry.get("everywhere"))
    )


def own_together(result: Mapping[str, Any]) -> tuple[int, int] | None:
    """How often the own models were right, each on its own hospital's test patients, and of how
    many; None unless these are all the patients that the shared model was tested on."""
    right = total = 0
    for gain in gains(result):
        if not gain.examples:
            continue
        if gain.own is None:
            return None
        right += round(gain.own.value * gain.examples)
        total += gain.examples
    tested = number(mapping(result.get("global")).get("examples"))
    return (right, total) if total and tested == total else None


def tally(found: tuple[Gain, ...]) -> dict[Word, int]:
    counts: dict[Word, int] = {
        "better": 0,
        "no clear difference": 0,
        "worse": 0,
        "not comparable": 0,
    }
    for gain in found:
        counts[gain.word] += 1
    return counts


def _rank(gain: Gain) -> tuple[bool, float, str]:
    """A place among the others would tell what is withheld of a small hospital."""
    if gain.difference is None or gain.withheld:
        return True, 0.0, gain.hospital
    return False, -gain.difference.value, gain.hospital


def _compared(entry: Mapping[str, Any]) -> Gain:
    n = number(entry.get("examples"))
    reason = entry.get("reason")
    return Gain(
        str(entry.get("name", "unnamed")),
        None if n is None else round(n),
        measure(entry.get("alone")),
        measure(entry.get("federated")),
        measure(entry.get("difference")),
        reason if isinstance(reason, str) else "",
    )


def _beside(entry: Mapping[str, Any]) -> Gain:
    n = number(entry.get("test_examples"))
    own, shared = measure(entry.get("local")), measure(entry.get("global"))
    difference = None if own is None or shared is None else Measure(shared.value - own.value)
    return Gain(
        str(entry.get("name", "unnamed")),
        None if n is None else round(n),
        own,
        shared,
        difference,
        "no own model" if own is None else "no paired interval was computed",
    )
