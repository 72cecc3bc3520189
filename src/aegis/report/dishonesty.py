"""Runs with dishonest hospitals in words, as a table and as a picture.

A rule that keeps its accuracy within five points of its own run without liars is said to hold; what
a backdoor or turned labels do is said in patients, because accuracy hides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aegis.report.pictures import FACE, INK, INK2, LINE, OWN, SHARED, _canvas, _saved
from aegis.report.wording import DISCLAIMER, MINUS, counted, mapping, number, percent, sequence

HOLDS = 0.05
HEADER = ("Rule", "Honest", "Attacked", "Change", "Recall", "Trigger", "Flagged")


def reading(document: Mapping[str, Any]) -> str:
    """What happened, in one line."""
    liars, every = document["byzantine"], document["hospitals"]
    who = f"With {liars} of {every} hospitals dishonest ({_how(document)})"
    return f"{who}: {'; '.join(_said(document, row) for row in document['rules'])}."


def says(document: Mapping[str, Any]) -> str:
    """What the dishonest do."""
    searched = " Adaptive: the strength is searched anew in every round."
    return f"{document['says']}{searched if document.get('adaptive') else ''}"


def table(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row for each rule, under ``HEADER``."""
    rows: list[tuple[str, ...]] = []
    for row in document["rules"]:
        clean, spoiled = _accuracy(row, "clean"), _accuracy(row, "attacked")
        trigger = mapping(row.get("trigger"))
        rows.append(
            (
                str(row["rule"]),
                _percent(clean),
                _percent(spoiled) if spoiled is not None else "aborted",
                _change(clean, spoiled),
                _both(_recall(row, "clean"), _recall(row, "attacked")),
                _both(number(trigger.get("clean")), number(trigger.get("attacked"))),
                _flagged(row),
            )
        )
    return rows


def picture(document: Mapping[str, Any], path: Path) -> Path:
    """Accuracy of each rule with all hospitals honest (hollow) and with the dishonest (filled)."""
    rows = list(document["rules"])
    figure, axes = _canvas(1.75 + 0.42 * max(len(rows), 2), right=0.84, left=0.22)
    for place, row in enumerate(rows):
        clean, spoiled = _accuracy(row, "clean"), _accuracy(row, "attacked")
        if clean is not None and spoiled is not None:
            axes.plot((clean, spoiled), (place, place), color=LINE, lw=3, zorder=2)
        if clean is not None:
            axes.plot([clean], [place], "o", ms=9, mfc="white", mec=SHARED, mew=2, zorder=3)
        if spoiled is not None:
            axes.plot([spoiled], [place], "o", ms=6, mfc=OWN, mec=OWN, zorder=4)
        axes.annotate(
            _percent(spoiled) if spoiled is not None else "aborted",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            size=10,
            family=FACE,
            color=OWN,
            annotation_clip=False,
        )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [str(row["rule"]).replace("_", " ") for row in rows])
    axes.set_xlim(0, 1)
    ticks = (0, 0.25, 0.5, 0.75, 1)
    axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.grid(axis="x", color=LINE, lw=0.8)
    height = figure.get_size_inches()[1]
    liars = counted(int(document["byzantine"]), "dishonest hospital")
    synthetic = "SYNTHETIC DATA. " if document.get("synthetic") is True else ""
    title = f"Accuracy with {liars} of {document['hospitals']}: {_how(document)}"
    note = "Hollow: all hospitals honest. Filled: some are not."
    for y, text, size, colour, weight in (
        (1 - 0.30 / height, title, 13, INK, "bold"),
        (1 - 0.55 / height, f"{synthetic}{says(document)}", 10, INK2, "normal"),
        (0.12 / height, f"{note} {DISCLAIMER}", 8, INK2, "normal"),
    ):
        figure.text(
            0.02, y, text, size=size, color=colour, weight=weight, family=FACE, parse_math=False
        )
    return _saved(figure, path)


def _how(document: Mapping[str, Any]) -> str:
    name = str(document["attack"]).replace("_", " ")
    return f"{name}, adaptive" if document.get("adaptive") else name


def _said(document: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    rule, clean, spoiled = row["rule"], _accuracy(row, "clean"), _accuracy(row, "attacked")
    if clean is None:
        return f"{rule} ends without a model even when all are honest ({row['clean_reason']})"
    if spoiled is None:
        return f"{rule} ends without a model ({row['attacked_reason']})"
    text = f"{rule} falls from {percent(clean)} to {percent(spoiled)} of patients"
    if clean - spoiled <= HOLDS:
        text = f"{rule} holds, {percent(spoiled)} of patients right (all honest: {percent(clean)})"
    else:
        text += " right"
    recall = _recall(row, "clean"), _recall(row, "attacked")
    trigger = mapping(row.get("trigger"))
    before, after = number(trigger.get("clean")), number(trigger.get("attacked"))
    if before is not None and after is not None:
        text += f", but {percent(after)} of the ill with the trigger are called healthy"
        text += f" (all honest: {percent(before)})"
    elif document["attack"] == "label_flip" and None not in recall:
        text += f", and finds {_both(*recall)} of the ill"
    return text


def _accuracy(row: Mapping[str, Any], which: str) -> float | None:
    return number(mapping(row.get(which)).get("accuracy"))


def _recall(row: Mapping[str, Any], which: str) -> float | None:
    return number(mapping(row.get(which)).get("recall"))


def _percent(value: float | None) -> str:
    return "n/a" if value is None else percent(value)


def _both(before: float | None, after: float | None) -> str:
    if before is None and after is None:
        return ""
    return f"{_percent(after)} (honest {_percent(before)})"


def _change(clean: float | None, spoiled: float | None) -> str:
    if clean is None or spoiled is None:
        return ""
    moved = 100 * (spoiled - clean)
    return f"{'+' if moved >= 0 else MINUS}{abs(moved):.1f}"


def _flagged(row: Mapping[str, Any]) -> str:
    """Who was flagged, in how many rounds; honest hospitals are marked."""
    entries: Sequence[Mapping[str, Any]] = [mapping(e) for e in sequence(row.get("flagged"))]
    said = [
        f"{entry['hospital']} ({entry['rounds']}{'' if entry['dishonest'] else ', honest'})"
        for entry in entries
    ]
    return ", ".join(said) or "nobody"
