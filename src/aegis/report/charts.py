"""From numbers to percent coordinates: the geometry of the page's charts, without any drawing.

An SVG of fixed height and full width with percent coordinates stays sharp at 360 px and at 1440 px
without a script, and its text never scales. Curves lie in a nested viewBox of 100 by 100. All
positions are percentages from the left and from the top, with two decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_POINTS = 200
Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A linear scale from ``low`` to ``high`` with round ``ticks`` inside."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Where ``value`` lies between the ends, 0 to 100."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def labels(self, said: Callable[[float], str]) -> tuple[tuple[float, str], ...]:
        return tuple((self.at(tick), said(tick)) for tick in self.ticks)


@dataclass(frozen=True)
class Line:
    """``kind`` names the style: ``shared``, ``own``, ``pooled``. ``dots`` are (x, y)."""

    kind: str
    label: str
    path: str
    dots: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Curve:
    """One chart over rounds. Ticks are (position, label); ``band`` is the interval's outline."""

    key: str
    title: str
    finding: str
    y_ticks: tuple[tuple[float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    band: str
    drawn: int
    measured: int


@dataclass(frozen=True)
class Mark:
    """One estimate on one row: a dot at ``at`` with a whisker from ``low`` to ``high``."""

    at: float
    low: float
    high: float


def axis(
    values: Sequence[float], steps: int = 4, floor: float = -math.inf, ceiling: float = math.inf
) -> Axis:
    """The round-numbered scale that holds all ``values``, about ``steps`` steps long."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    step = _round_step((high - low) / steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [tick * step for tick in range(first, last + 1)]
    kept = tuple(round(t, 10) for t in ticks if floor - 1e-9 <= t <= ceiling + 1e-9)
    return Axis(max(ticks[0], floor), min(ticks[-1], ceiling), kept)


def mark(scale: Axis, value: float, span: tuple[float, float]) -> Mark:
    return Mark(scale.at(value), scale.at(span[0]), scale.at(span[1]))


def curve(
    key: str,
    title: str,
    finding: str,
    points: Sequence[Point],
    references: Sequence[tuple[str, str, float]],
    said: Callable[[float], str],
    band: Sequence[tuple[float, float, float]] = (),
    ceiling: float = 1.0,
) -> Curve:
    """``points`` are (round, value), ``references`` (kind, label, value), ``band`` (round, low,
    high). More points than can be told apart are thinned; first, last and extremes stay. The scale
    is cut at 0 and ``ceiling``."""
    shown = thinned(points)
    values = [y for _, y in points] + [value for _, _, value in references]
    values += [bound for _, low, high in band for bound in (low, high)]
    y = axis(values, floor=0.0, ceiling=ceiling)
    x = rounds_axis(points)
    dots = [(x.at(r), round(100 - y.at(v), 2)) for r, v in shown]
    kept = {r for r, _ in shown}
    hull = [(r, low, high) for r, low, high in band if r in kept]
    outline = [(x.at(r), round(100 - y.at(high), 2)) for r, _, high in hull]
    outline += [(x.at(r), round(100 - y.at(low), 2)) for r, low, _ in reversed(hull)]
    lines = [
        Line(kind, label, _path([(0, 100 - y.at(v)), (100, 100 - y.at(v))]))
        for kind, label, v in references
    ]
    sparse = len(shown) <= 12
    lines.append(Line("shared", "Shared model", _path(dots), tuple(dots if sparse else dots[-1:])))
    return Curve(
        key,
        title,
        finding,
        tuple((round(100 - at, 2), label) for at, label in y.labels(said)),
        x.labels(lambda value: f"{value:.0f}"),
        tuple(lines),
        _path(outline) + "Z" if len(hull) > 1 else "",
        len(shown),
        len(points),
    )


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most about ``most`` points: each bucket keeps its lowest and highest, in order."""
    if len(points) <= most:
        return list(points)
    buckets = max(1, (most - 2) // 2)
    inner = points[1:-1]
    kept = [points[0]]
    for number in range(buckets):
        part = inner[number * len(inner) // buckets : (number + 1) * len(inner) // buckets]
        if part:
            ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
            kept += sorted(ends)
    return [*kept, points[-1]]


def rounds_axis(points: Sequence[Point]) -> Axis:
    """From the first to the last round, ticks on whole rounds only, the ends among them."""
    first, last = points[0][0], points[-1][0]
    if first == last:
        return Axis(first - 1, last + 1, (first,))
    step = max(1.0, _round_step((last - first) / 5))
    inside = [t * step for t in range(math.ceil(first / step), math.floor(last / step) + 1)]
    near = 0.6 * step
    ticks = [t for t in inside if t - first > near and last - t > near and t == round(t)]
    return Axis(first, last, (first, *ticks, last))


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= rough * (1 - 1e-9))


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) if points else ""
