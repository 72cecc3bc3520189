"""What the page draws, as values: curves over rounds, interval dots, the strip of rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.charts import Axis, Curve, Mark, axis, curve, mark
from aegis.report.gains import Gain, Measure, gains, own_together
from aegis.report.hospital_tables import finding, share_with_interval
from aegis.report.tables import shown_hospitals
from aegis.report.wording import (
    NBSP,
    counted,
    interval_of,
    mapping,
    number,
    percent,
    points,
    sequence,
    signed,
)

MOST_CELLS = 60
WIDEST_RATIO = 100.0
_RATIO_TICKS = (0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0)


@dataclass(frozen=True)
class Curves:
    """The charts over rounds, or ``absent``: why there are none."""

    charts: tuple[Curve, ...]
    note: str
    absent: str = ""


@dataclass(frozen=True)
class GainRow:
    """One hospital of the dot plot; marks are None where there is nothing to draw."""

    hospital: str
    patients: str
    own: Mark | None
    shared: Mark | None
    difference: Mark | None
    said: str
    values: str
    difference_said: str
    word: str
    kind: str


@dataclass(frozen=True)
class GainPlot:
    rows: tuple[GainRow, ...]
    ticks: tuple[tuple[float, str], ...]
    difference_ticks: tuple[tuple[float, str], ...]
    zero: float


@dataclass(frozen=True)
class OddsPlot:
    marks: tuple[Mark | None, ...]
    ticks: tuple[tuple[float, str], ...]
    one: float


@dataclass(frozen=True)
class RoundCell:
    """``kind``: ``all`` reported, ``some`` missing."""

    kind: str
    shown: str
    said: str


def curves(result: Mapping[str, Any]) -> Curves:
    """Accuracy and AUC of the shared model after each round that was scored."""
    history = [mapping(entry) for entry in sequence(result.get("history"))]
    drawn = [
        chart
        for key, title, said in (
            ("accuracy", "Accuracy by round", lambda v: f"{100 * v:.3g}{NBSP}%"),
            ("auc", "AUC by round", lambda v: f"{v:.3g}"),
        )
        if (chart := _curve(result, history, key, title, said)) is not None
    ]
    if not drawn:
        why = "no round was scored" if history else "no round has been scored"
        return Curves((), "", f"There is no curve: {why}.")
    return Curves(tuple(drawn), _note(history, drawn[0]))


def gain_rows(result: Mapping[str, Any]) -> GainPlot | None:
    shown, _ = shown_hospitals(result)
    found = [gain for gain in gains(result) if gain.hospital in shown]
    usable = [gain for gain in found if not gain.withheld]
    levels = [
        bound for gain in usable for part in (gain.own, gain.shared) if part for bound in part.span
    ]
    if not levels:
        return None
    apart = [bound for gain in usable if gain.difference for bound in gain.difference.span]
    level = axis(levels, floor=0.0, ceiling=1.0)
    difference = axis([*apart, -0.02, 0.02], steps=3)
    return GainPlot(
        tuple(_gain_row(gain, level, difference) for gain in found),
        level.labels(lambda v: f"{100 * v:.3g}{NBSP}%"),
        difference.labels(lambda v: signed(v).removesuffix(".0")),
        difference.at(0.0),
    )


def odds_rows(result: Mapping[str, Any]) -> OddsPlot | None:
    """Marks on a logarithmic scale, cut at 1/100 and 100."""
    entries = [mapping(entry) for entry in sequence(result.get("odds_ratios"))]
    spans = [_logs(entry) for entry in entries]
    bounds = [value for span in spans if span for value in span]
    if not bounds:
        return None
    low, high = min(*bounds, math.log10(0.5)), max(*bounds, math.log10(2.0))
    ticks = tuple(t for t in _RATIO_TICKS if low - 1e-9 <= math.log10(t) <= high + 1e-9)
    scale = Axis(low, high, ticks)
    return OddsPlot(
        tuple(span and mark(scale, span[0], (span[1], span[2])) for span in spans),
        tuple((scale.at(math.log10(t)), f"{t:g}") for t in ticks),
        scale.at(0.0),
    )


def round_cells(result: Mapping[str, Any]) -> tuple[RoundCell, ...]:
    """The strip of rounds; empty where there are too many to tell apart."""
    history = [mapping(entry) for entry in sequence(result.get("history"))]
    if len(history) > MOST_CELLS:
        return ()
    cells = []
    for entry in history:
        missing = len(sequence(entry.get("absent")))
        aside = len(sequence(entry.get("set_aside", entry.get("flagged"))))
        number_of = entry.get("round")
        if missing or aside:
            said = f"{missing} missing, {aside} set aside"
            cells.append(RoundCell("some", str(missing + aside), f"Round {number_of}: {said}"))
        else:
            cells.append(RoundCell("all", "", f"Round {number_of}: every hospital asked was used"))
    return tuple(cells)


def _curve(
    result: Mapping[str, Any],
    history: list[Mapping[str, Any]],
    key: str,
    title: str,
    said: Callable[[float], str],
) -> Curve | None:
    scored: list[tuple[float, float]] = []
    band: list[tuple[float, float, float]] = []
    for entry in history:
        at, value = number(entry.get("round")), number(mapping(entry.get("global")).get(key))
        if at is None or value is None:
            continue
        scored.append((at, value))
        pair = interval_of(entry.get("global"), key)
        if pair is not None:
            band.append((at, *pair))
    if not scored:
        return None
    references = []
    pooled = number(mapping(result.get("pooled")).get(key))
    together = own_together(result) if key == "accuracy" else None
    own = number(mapping(result.get("mean_local")).get(key))
    if together is not None:
        references.append(("own", "Hospitals’ own models", together[0] / together[1]))
    elif own is not None:
        references.append(("own", "Hospitals’ own models (mean of hospitals)", own))
    if pooled is not None:
        references.append(("pooled", "All rows in one place", pooled))
    exact = percent if key == "accuracy" else "{:.3f}".format
    (first, start), (last, end) = scored[0], scored[-1]
    text = f"Shared model {exact(start)} after round {first:.0f}"
    if len(scored) > 1:
        text += f", {exact(end)} after round {last:.0f}"
    text += "".join(f"; {label[0].lower()}{label[1:]} {exact(v)}" for _, label, v in references)
    text += "."
    return curve(key, title, text, scored, references, said, band)


def _note(history: list[Mapping[str, Any]], chart: Curve) -> str:
    parts = {str(entry.get("part")) for entry in history if entry.get("part")}
    rows = "validation patients, on whom rounds are chosen; the verdict is from other patients"
    texts = [
        f"Scored on {rows if parts == {'validation'} else 'the hospitals’ test patients'}, all "
        "hospitals together."
    ]
    if chart.measured < len(history):
        texts.append(f"{chart.measured} of {counted(len(history), 'round')} were scored.")
    if chart.drawn < chart.measured:
        texts.append(
            f"The curve draws {chart.drawn} of {chart.measured:,} scored rounds: in each stretch "
            "the lowest and the highest."
        )
    return " ".join(texts)


def _gain_row(gain: Gain, level: Axis, difference: Axis) -> GainRow:
    n = "" if gain.examples is None else counted(gain.examples, "test patient")
    kind = {"better": "ok", "worse": "bad"}.get(gain.word, "off")
    if gain.withheld:
        return GainRow(
            gain.hospital, finding(gain), None, None, None, "", "", "", "withheld", "off"
        )
    return GainRow(
        gain.hospital,
        n,
        _mark(level, gain.own),
        _mark(level, gain.shared),
        _mark(difference, gain.difference),
        f"{gain.hospital}: own model {share_with_interval(gain.own)}, shared model "
        f"{share_with_interval(gain.shared)}.",
        f"own {_alone(gain.own)}, shared {_alone(gain.shared)}",
        (
            "n/a: not comparable"
            if gain.difference is None
            else points(gain.difference.value, gain.difference.interval)
        ),
        finding(gain),
        kind,
    )


def _mark(scale: Axis, found: Measure | None) -> Mark | None:
    return None if found is None else mark(scale, found.value, found.span)


def _alone(found: Measure | None) -> str:
    return "n/a: no model" if found is None else percent(found.value)


def _logs(entry: Mapping[str, Any]) -> tuple[float, float, float] | None:
    ratio, low, high = (number(entry.get(key)) for key in ("odds_ratio", "low", "high"))
    if ratio is None or low is None or high is None:
        return None
    ends = 1 / WIDEST_RATIO, WIDEST_RATIO
    at, left, right = (math.log10(min(max(v, ends[0]), ends[1])) for v in (ratio, low, high))
    return at, left, right
