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


def reading(document: Mapping[str, Any]) -> str:
    """What happened, in one line."""
    liars, every = document["byzantine"], document["hospitals"]
    who = f"With {liars} of {every} hospitals dishonest ({_how(document)})"
    said = [_said(document, row) for row in document["rules"]]
    return f"{who}: {'. '.join(said)}."


def says(document: Mapping[str, Any]) -> str:
    """What the dishonest do."""
    searched = " Adaptive: the strength is searched anew in every round."
    return f"{document['says']}{searched if document.get('adaptive') else ''}"


def table(document: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header, and one row for each rule: all honest, then attacked, in per cent."""
    shown = [_cells(row) for row in document["rules"]]
    names = [name for name in shown[0] if any(cells[name] for cells in shown)]
    return tuple(names), [tuple(cells[name] for name in names) for cells in shown]


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    clean, spoiled = _accuracy(row, "clean"), _accuracy(row, "attacked")
    trigger = mapping(row.get("trigger"))
    return {
        "Rule": str(row["rule"]),
        "Accuracy, %": _both(clean, spoiled),
        "Change": _change(clean, spoiled),
        "Ill found, %": _both(_recall(row, "clean"), _recall(row, "attacked")),
        "Trigger, %": _both(number(trigger.get("clean")), number(trigger.get("attacked"))),
        "Flagged": _flagged(row),
    }


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
        return f"{rule} ends without a model even when all are honest ({_why(row, 'clean')})"
    if spoiled is None:
        return f"{rule} ends without a model ({_why(row, 'attacked')})"
    best = max(_accuracy(other, "clean") or 0.0 for other in document["rules"])
    if best - clean > HOLDS:
        text = f"{rule} is right on {percent(clean)} of patients even when all are honest, and on"
        text += f" {percent(spoiled)} when some are not"
    elif clean - spoiled <= HOLDS:
        text = f"{rule} holds, {percent(spoiled)} of patients right (all honest: {percent(clean)})"
    else:
        text = f"{rule} falls from {percent(clean)} to {percent(spoiled)} of patients right"
    return text + _unseen(document, row)


def _unseen(document: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """What accuracy hides."""
    trigger = mapping(row.get("trigger"))
    before, after = number(trigger.get("clean")), number(trigger.get("attacked"))
    if before is not None and after is not None:
        said = f"; {percent(after)} of the ill with the trigger are called healthy"
        return f"{said} (all honest: {percent(before)})"
    before, after = _recall(row, "clean"), _recall(row, "attacked")
    if document["attack"] == "label_flip" and before is not None and after is not None:
        return f"; {percent(after)} of the ill are found (all honest: {percent(before)})"
    return ""


def _why(row: Mapping[str, Any], which: str) -> str:
    """The reason without what each hospital was found to have done."""
    return (
        str(row[f"{which}_reason"]).removeprefix("the run attack was aborted: ").partition(" (")[0]
    )


def _accuracy(row: Mapping[str, Any], which: str) -> float | None:
    return number(mapping(row.get(which)).get("accuracy"))


def _recall(row: Mapping[str, Any], which: str) -> float | None:
    return number(mapping(row.get(which)).get("recall"))


def _percent(value: float | None) -> str:
    return "n/a" if value is None else percent(value)


def _both(before: float | None, after: float | None) -> str:
    if before is None and after is None:
        return ""
    told = ("n/a" if value is None else f"{100 * value:.1f}" for value in (before, after))
    return " to ".join(told)


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
