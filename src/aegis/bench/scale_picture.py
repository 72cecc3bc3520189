"""The growth curves of ``scale`` as one picture: seconds above, memory below, on scales of factors.

Equal steps to the right and upwards are equal factors, so a straight line is a power and its
steepness the exponent, which stands where the line ends. No date and no path are in the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.bench.scale import AXES, LINES, curve_of
from aegis.report.pictures import FACE, INK, INK2, LINE, OWN, SHARED, THIRD, _saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"open": SHARED, "private": OWN, "masked": THIRD}
MARKS = {"open": "o", "private": "s", "masked": "D"}
SHORT = {"open": "open", "private": "DP-SGD", "masked": "sealed sums"}
ROWS = (("round_s", "One round, seconds of CPU"), ("grown_mb", "Memory grown, MB"))
_HIGH = 6.9  # inches


def picture(document: Mapping[str, Any], path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.6, _HIGH), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3)
    figure.subplots_adjust(0.06, 0.115, 0.885, 0.855, wspace=0.62, hspace=0.3)
    for row, (name, title) in enumerate(ROWS):
        for column, axis in enumerate(AXES):
            _panel(panels[row][column], document["curves"], axis, name)
            if row == 0:
                panels[row][column].set_title(
                    f"over {axis}", loc="left", family=FACE, color=INK, fontsize=11, pad=10
                )
            else:
                panels[row][column].set_xlabel(axis, family=FACE, color=INK2, size=10)
        panels[row][0].set_ylabel(title, family=FACE, color=INK2, size=10)
    made = document["machine"]
    load = "" if made["load"] is None else f", load {made['load']:.1f}"
    notes = (
        (0.965, "How time and memory grow", 14, INK, "bold"),
        (
            0.928,
            "Both scales are of factors. Behind each name: the exponent over the last decade "
            "(1 is proportional, 2 is every pair).",
            10,
            INK2,
            "normal",
        ),
        (
            0.02,
            "All hospitals in one process, one after the other; one step of 32 rows a round. "
            f"{made['cores']} shared cores{load}. Made by aegis bench scale.",
            8.5,
            INK2,
            "normal",
        ),
    )
    for y, text, size, colour, weight in notes:
        figure.text(0.012, y, text, size=size, color=colour, weight=weight, family=FACE)
    return _saved(figure, path)


def _panel(axes: Axes, curves: Sequence[Mapping[str, Any]], axis: str, name: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = []
    for line in LINES:
        curve = curve_of(curves, axis, line)
        if curve is None:
            continue
        sizes = [point[axis] for point in curve["points"]]
        values = [point[name] for point in curve["points"]]
        colour = COLOURS[line]
        axes.plot(sizes, values, color=colour, lw=2.2, marker=MARKS[line], ms=5.5, clip_on=False)
        ends.append((values[-1], sizes[-1], line, curve["exponents"].get(name)))
    _decades(
        axes,
        [
            point[name]
            for one in curves
            if one["axis"] == axis
            for point in one["points"]
            if name in point
        ],
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(LINE)
    axes.grid(which="major", color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    axes.minorticks_off()
    axes.tick_params(colors=INK2, labelsize=9, labelfontfamily=FACE, length=0, pad=5)
    _named(axes, ends)


def _decades(axes: Axes, values: Sequence[float]) -> None:
    """Whole powers of ten around ``values``, written out."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    axes.set_ylim(10.0**low, 10.0**high)
    ticks = [10.0**power for power in range(low, high + 1)]
    axes.set_yticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    at = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(at, [f"{tick:,.0f}" if tick < 1e6 else f"{tick / 1e6:g} M" for tick in at])


def _named(axes: Axes, ends: Sequence[tuple[float, float, str, float | None]]) -> None:
    """Names where lines end, at the right edge, pushed apart."""
    low, high = axes.get_ylim()
    before: float | None = None
    for value, _, line, power in sorted(ends):
        place = value if before is None else max(value, before * (high / low) ** 0.095)
        before = place
        shown = SHORT[line] if power is None else f"{SHORT[line]}  {power:.2f}"
        axes.annotate(
            shown,
            (1.0, place),
            xytext=(7, 0),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            va="center",
            size=9,
            family=FACE,
            color=COLOURS[line],
            annotation_clip=False,
        )
