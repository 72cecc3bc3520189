"""A sweep as a table and as a picture: the metric over the first key, a line for each value of the
second, with 95 % intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.report.charts import axis
from aegis.report.pictures import FACE, INK, INK2, LINE, OWN, SHARED, THIRD, _canvas, _saved
from aegis.report.wording import DISCLAIMER, counted, mapping, number, percent, sequence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = ("auc", "accuracy")
COLOURS = (SHARED, OWN, THIRD, "#3f7d3a", "#7a4fa0", "#8a6d00")
MARKS = ("o", "s", "D", "^", "v", "P")
WIDE = 8.0  # a key that spans so large a factor is drawn on a scale of factors


def header(document: Mapping[str, Any]) -> list[str]:
    return [*mapping(document["keys"]), *METRICS, "epsilon", "rounds", "model", "status"]


def rows(document: Mapping[str, Any]) -> list[list[str]]:
    """One row a run; what was not measured is empty, what failed says why."""
    found = []
    for run in map(mapping, sequence(document["runs"])):
        scores = mapping(run.get("global"))
        cells = [str(value) for value in mapping(run["keys"]).values()]
        cells += [_scored(scores, name) for name in METRICS]
        epsilon = number(run.get("epsilon"))
        cells.append("" if epsilon is None else f"{epsilon:.3g}")
        cells.append(str(run.get("rounds") or ""))
        cells.append(str(run.get("model_sha256") or "")[:12])
        cells.append(str(run.get("reason") or run.get("status")))
        found.append(cells)
    return found


def as_markdown(document: Mapping[str, Any]) -> str:
    names = header(document)
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for cells in rows(document):
        safe = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
        lines.append(f"| {' | '.join(safe)} |")
    return "\n".join([f"# {document['sweep']}: {document['task']}", "", *lines, "", DISCLAIMER, ""])


def as_csv(document: Mapping[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spans = [f"{name}_{end}" for name in METRICS for end in ("low", "high")]
    keys = list(mapping(document["keys"]))
    writer.writerow([*keys, *METRICS, *spans, "epsilon", "run", "status"])
    for run in map(mapping, sequence(document["runs"])):
        scores = mapping(run.get("global"))
        ends = [end for name in METRICS for end in _span(scores, name) or ("", "")]
        values = [scores.get(name) for name in METRICS]
        cells = [*mapping(run["keys"]).values(), *values, *ends, run.get("epsilon")]
        writer.writerow(
            ["" if c is None else c for c in (*cells, run.get("run"), run.get("status"))]
        )
    return text.getvalue()


def picture(document: Mapping[str, Any], path: Path, metric: str = "auc") -> Path:
    """The metric over the first key's values. Runs without it leave a gap."""
    keys = {str(key): [str(v) for v in values] for key, values in document["keys"].items()}
    first, second = [*keys, ""][0], [*keys, ""][1]
    places, labels, scaled = _places(keys[first])
    figure, axes = _canvas(4.5)
    lines = keys.get(second, [""])
    levels = [
        value
        for run in map(mapping, sequence(document["runs"]))
        for value in (*(_span(mapping(run.get("global")), metric) or ()), _value(run, metric))
        if value is not None
    ]
    if not levels:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No run was scored.", ha="center", family=FACE, color=INK)
    else:
        scale = axis(levels, floor=0.0, ceiling=1.0)
        axes.set_ylim(scale.low, scale.high)
        axes.set_yticks(scale.ticks, [f"{t:.3g}" for t in scale.ticks])
        axes.grid(axis="y", color=LINE, lw=0.8)
        if scaled:
            axes.set_xscale("log")
        axes.set_xticks(places, labels)
        axes.minorticks_off()
        axes.set_xlabel(first, family=FACE, color=INK2, size=10, parse_math=False)
        ends = []
        for at, line in enumerate(lines):
            shift = (at - (len(lines) - 1) / 2) * 0.008
            if end := _draw(axes, document, metric, (first, second, line), places, at, shift):
                said = f"{second.rsplit('.', 1)[-1]} {line}" if second else metric
                ends.append((end, said, COLOURS[at % len(COLOURS)]))
        _named(axes, ends, scale.high - scale.low)
    height = figure.get_size_inches()[1]
    done = [mapping(run) for run in sequence(document["runs"])]
    hospitals = max((int(run.get("hospitals") or 0) for run in done), default=0)
    invented = "SYNTHETIC DATA. " if any(run.get("synthetic") is True for run in done) else ""
    title = f"{metric.upper() if metric == 'auc' else metric.capitalize()} over {first}"
    for y, text, size, colour, weight in (
        (1 - 0.30 / height, f"{title}: {document['task']}", 13, INK, "bold"),
        (
            1 - 0.55 / height,
            f"{invented}{counted(len(done), 'run')}, {counted(hospitals, 'hospital')}",
            10,
            INK2,
            "normal",
        ),
        (0.12 / height, f"Lines: 95 % intervals of one run each. {DISCLAIMER}", 8, INK2, "normal"),
    ):
        figure.text(
            0.02, y, text, size=size, color=colour, weight=weight, family=FACE, parse_math=False
        )
    return _saved(figure, path)


def _draw(
    axes: Axes,
    document: Mapping[str, Any],
    metric: str,
    which: tuple[str, str, str],
    places: Sequence[float],
    at: int,
    shift: float,
) -> float | None:
    """One line; its last value."""
    first, second, line = which
    order = [str(value) for value in document["keys"][first]]
    colour, mark = COLOURS[at % len(COLOURS)], MARKS[at % len(MARKS)]
    xs, ys = [], []
    for run in map(mapping, sequence(document["runs"])):
        keys = mapping(run["keys"])
        value = _value(run, metric)
        if (second and str(keys[second]) != line) or value is None:
            continue
        x = places[order.index(str(keys[first]))]
        if axes.get_xscale() == "log":
            x *= (places[-1] / places[0]) ** shift
        else:
            x += shift * (places[-1] - places[0])
        xs.append(x)
        ys.append(value)
        if (span := _span(mapping(run.get("global")), metric)) is not None:
            axes.plot((x, x), span, color=colour, lw=1.4, alpha=0.7, zorder=2)
    axes.plot(xs, ys, color=colour, lw=2.2, marker=mark, ms=6, zorder=3, clip_on=False)
    return ys[-1] if ys else None


def _named(axes: Axes, ends: Sequence[tuple[float, str, str]], span: float) -> None:
    """Labels where lines end, pushed apart."""
    before: float | None = None
    for value, label, colour in sorted(ends):
        place = value if before is None else max(value, before + 0.075 * span)
        before = place
        axes.annotate(
            f"{label}: {value:.3f}",
            (1.0, place),
            xytext=(10, 0),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            va="center",
            size=10,
            family=FACE,
            color=colour,
            annotation_clip=False,
        )


def _places(values: Sequence[str]) -> tuple[list[float], list[str], bool]:
    """Where each value stands: numbers at themselves, words side by side."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if len(values) < 2 or not numbers or any(not abs(x) < float("inf") for x in numbers):
        return [float(at) for at in range(len(values))], list(values), False
    positive = min(numbers) > 0
    return numbers, list(values), positive and max(numbers) / min(numbers) >= WIDE


def _value(run: Mapping[str, Any], metric: str) -> float | None:
    return number(mapping(run.get("global")).get(metric))


def _span(scores: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    found = sequence(mapping(scores.get("ci95")).get(metric))
    low, high = (number(found[0]), number(found[1])) if len(found) == 2 else (None, None)
    return None if low is None or high is None else (low, high)


def _scored(scores: Mapping[str, Any], name: str) -> str:
    value = number(scores.get(name))
    if value is None:
        return ""
    share = name == "accuracy"
    span = _span(scores, name)
    shown = percent(value) if share else f"{value:.3f}"
    if span is None:
        return shown
    low, high = (f"{100 * end:.1f}" if share else f"{end:.3f}" for end in span)
    return f"{shown} ({low} to {high})"
