"""Two pictures of a run as PNG files, drawn from the result's own numbers.

They use matplotlib's Agg canvas and no global state, and carry neither a date nor a path, so equal
results give equal bytes. Lines are labelled where they end instead of in a legend; colours are
those of the page and are told apart by dash and by filled or hollow marks as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.report.charts import axis, thinned
from aegis.report.gains import Gain, Measure, gains, own_together
from aegis.report.tables import shown_hospitals
from aegis.report.verdict import hospitals_in, test_patients
from aegis.report.wording import (
    DISCLAIMER,
    counted,
    mapping,
    number,
    percent,
    points,
    sequence,
    task_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, INK2, LINE, SINGLE = "#15212b", "#465461", "#dde3e8", "#8a99a6"
SHARED, OWN, THIRD = "#0a5a9c", "#b4530a", "#3d4852"
FACE = "DejaVu Sans"
MOST_LINES = 50
MOST_ROWS = 24
Series = list[tuple[float, float]]


def accuracy_over_rounds(result: Mapping[str, Any], path: Path) -> Path:
    """``aegis_results.png``: the shared model's accuracy after each scored round, single hospitals
    where they were released as thin lines, own models and all-rows-in-one-place as references."""
    shared, single = _histories(result)
    figure, axes = _canvas(4.5)
    together, own = own_together(result), number(mapping(result.get("mean_local")).get("accuracy"))
    pooled = number(mapping(result.get("pooled")).get("accuracy"))
    alone = together[0] / together[1] if together else own
    levels = [v for v in (alone, pooled) if v is not None]
    levels += [v for line in (shared, *single) for _, v in line]
    if not levels:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No round was scored.", ha="center", family=FACE, color=INK)
    else:
        scale = axis(levels, floor=0.0, ceiling=1.0)
        _percent_axis(axes, scale.low, scale.high, scale.ticks)
        _draw_rounds(axes, shared, single)
        ends = [(shared[-1][1], "Shared model", SHARED)] if shared else []
        for value, label, colour, dash in (
            (alone, "Own models" if together else "Own models, mean", OWN, (6, 4)),
            (pooled, "All rows in one place", THIRD, (2, 3)),
        ):
            if value is not None:
                axes.axhline(value, color=colour, lw=1.8, ls=(0, dash), zorder=3)
                ends.append((value, label, colour))
        _end_labels(axes, ends, scale.high - scale.low)
    _titles(figure, result, "Accuracy over rounds", _single_note(result, single))
    return _saved(figure, path)


def local_against_federated(result: Mapping[str, Any], path: Path) -> Path:
    """Own model against shared model at each hospital: dots with 95 % intervals, and the paired
    difference in figures."""
    names, _ = shown_hospitals(result, MOST_ROWS)
    found = [g for g in gains(result) if g.hospital in names and not g.withheld]
    rows = [gain for gain in found if gain.own or gain.shared]
    figure, axes = _canvas(1.7 + 0.42 * max(len(rows), 3), right=0.70, left=0.20)
    if not rows:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "Nothing to compare.", ha="center", family=FACE, color=INK)
    else:
        spans = [b for g in rows for part in (g.own, g.shared) if part for b in part.span]
        scale = axis(spans, floor=0.0, ceiling=1.0)
        _draw_rows(axes, rows)
        axes.set_xlim(scale.low, scale.high)
        axes.set_xticks(scale.ticks, [f"{100 * t:.3g} %" for t in scale.ticks])
        axes.grid(axis="x", color=LINE, lw=0.8)
    every = hospitals_in(result)
    note = ""
    if len(rows) < every:
        which = "" if len(names) >= every else ", those that gained most and least"
        note = f"{len(rows)} of {every:,} hospitals shown{which}. "
    note += "Filled: shared model. Hollow: own model. Lines: 95 % intervals."
    _titles(figure, result, "Own model against shared model", note)
    return _saved(figure, path)


def _histories(result: Mapping[str, Any]) -> tuple[Series, list[Series]]:
    shared: Series = []
    single: dict[str, Series] = {}
    for entry in map(mapping, sequence(result.get("history"))):
        at = number(entry.get("round"))
        value = number(mapping(entry.get("global")).get("accuracy"))
        if at is None:
            continue
        if value is not None:
            shared.append((at, value))
        for name, metrics in mapping(entry.get("hospitals")).items():
            one = number(mapping(metrics).get("accuracy"))
            if one is not None:
                single.setdefault(name, []).append((at, one))
    lines = [thinned(line) for _, line in list(single.items())[:MOST_LINES]]
    return thinned(shared), lines


def _draw_rounds(axes: Axes, shared: Series, single: Sequence[Series]) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    axes.add_collection(LineCollection(list(single), colors=SINGLE, linewidths=0.9, zorder=2))
    rounds = [at for at, _ in shared] or [1.0]
    axes.plot(
        rounds,
        [v for _, v in shared] or [float("nan")],
        color=SHARED,
        lw=2.6,
        zorder=4,
        marker="o" if len(shared) <= 20 else "",
        markersize=5,
        clip_on=False,
    )
    low, high = min(rounds), max(rounds)
    axes.set_xlim(low - (0.5 if low == high else 0), high + (0.5 if low == high else 0))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("Round", family=FACE, color=INK2, size=10)


def _draw_rows(axes: Axes, rows: Sequence[Gain]) -> None:
    for place, gain in enumerate(rows):
        _whisker(axes, gain.own, place - 0.16, OWN, "white")
        _whisker(axes, gain.shared, place + 0.16, SHARED, SHARED)
        said: str = gain.word
        if gain.difference is not None:
            said = f"{points(gain.difference.value, gain.difference.interval)}\n{gain.word}"
        axes.annotate(
            said,
            (1.03, place),
            xycoords=("axes fraction", "data"),
            va="center",
            size=8.5,
            family=FACE,
            color=INK2,
            annotation_clip=False,
        )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    labels = [_short(gain.hospital) for gain in rows]
    axes.set_yticks(range(len(rows)), labels)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, family=FACE, size=10, color=INK)
    axes.tick_params(axis="y", length=0)


def _whisker(axes: Axes, found: Measure | None, y: float, colour: str, fill: str) -> None:
    if found is not None:
        axes.plot(found.span, (y, y), color=colour, lw=2.0, solid_capstyle="butt", zorder=2)
        axes.plot(
            [found.value], [y], "o", ms=7, mfc=fill, mec=colour, mew=2.0, zorder=3, clip_on=False
        )


def _percent_axis(axes: Axes, low: float, high: float, ticks: Sequence[float]) -> None:
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, [f"{100 * t:.3g} %" for t in ticks])
    axes.grid(axis="y", color=LINE, lw=0.8)


def _end_labels(axes: Axes, ends: list[tuple[float, str, str]], span: float) -> None:
    """Labels at the right end, pushed apart where lines end close together."""
    gap = 0.075 * span
    places: list[float] = []
    for value, _, _ in sorted(ends):
        places.append(value if not places else max(value, places[-1] + gap))
    over = max(0.0, places[-1] - axes.get_ylim()[1])
    for (value, label, colour), place in zip(sorted(ends), places, strict=True):
        axes.annotate(
            f"{label} {percent(value)}",
            (1.0, place - over),
            xytext=(8, 0),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            va="center",
            size=10,
            family=FACE,
            color=colour,
            weight="bold" if label == "Shared model" else "normal",
            annotation_clip=False,
        )


def _canvas(height: float, *, left: float = 0.08, right: float = 0.74) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (left, 0.75 / height, right - left, (height - 1.55) / height), facecolor="white"
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK2)
    axes.tick_params(colors=INK2, labelsize=10, labelfontfamily=FACE, length=0, pad=7)
    axes.set_axisbelow(True)
    return figure, axes


def _titles(figure: Figure, result: Mapping[str, Any], title: str, note: str) -> None:
    tested = test_patients(result)
    who = counted(hospitals_in(result), "hospital")
    if tested is not None:
        who += f", {counted(tested, 'test patient')}"
    synthetic = mapping(result.get("data")).get("synthetic") is True
    height = figure.get_size_inches()[1]
    texts = (
        (1 - 0.30 / height, f"{title}: {task_title(result)}", 13, INK, "bold"),
        (1 - 0.55 / height, f"{'SYNTHETIC DATA. ' if synthetic else ''}{who}", 10, INK2, "normal"),
        (0.12 / height, f"{note} {DISCLAIMER}".strip(), 8, INK2, "normal"),
    )
    for y, text, size, colour, weight in texts:
        figure.text(
            0.02, y, text, size=size, color=colour, weight=weight, family=FACE, parse_math=False
        )


def _single_note(result: Mapping[str, Any], single: Sequence[Series]) -> str:
    if not single:
        return ""
    every = hospitals_in(result)
    return f"Thin lines: the shared model at single hospitals ({len(single)} of {every:,})."


def _short(name: str) -> str:
    flat = " ".join(name.split())
    return flat if len(flat) <= 22 else f"{flat[:21]}…"


def _saved(figure: Figure, path: Path) -> Path:
    with warnings.catch_warnings():
        # A name in a script that the bundled face lacks is drawn as boxes; that is no fault.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        figure.savefig(path, format="png", metadata={"Software": None})
    return path
