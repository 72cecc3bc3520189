"""How own training went, round by round, as charts of two lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aegis.report.charts import Axis, Curve, Line, axis, thinned
from aegis.report.tables import Table
from aegis.report.wording import NBSP, number

Point = tuple[float, float]


def history_curves(history: Sequence[Mapping[str, Any]], best: int) -> tuple[Curve, ...]:
    """Accuracy and loss on training and validation rows; those that were measured."""
    found = (
        _curve(
            "own-accuracy",
            "Accuracy of the own model by round",
            history,
            ("val_accuracy", "accuracy"),
            lambda value: f"{100 * value:.3g}{NBSP}%",
            f"Round {best} was kept: its loss on validation rows is the lowest.",
        ),
        _curve(
            "own-loss",
            "Log-loss of the own model by round",
            history,
            ("val_loss", "loss"),
            lambda value: f"{value:.3g}",
            "A loss on validation rows that rises again while the other falls is overfitting.",
        ),
    )
    return tuple(one for one in found if one is not None)


def history_table(history: Sequence[Mapping[str, Any]], best: int) -> Table:
    columns = (
        ("Round", True),
        ("Loss, training", True),
        ("Accuracy, training", True),
        ("Loss, validation", True),
        ("Accuracy, validation", True),
        ("Learning rate", True),
    )
    keys = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    rows = tuple(
        (
            f"{one['round']}{' (kept)' if one['round'] == best else ''}",
            *(_said(one.get(key)) for key in keys),
        )
        for one in history
    )
    return Table("Own training, round by round", columns, rows)


def _curve(
    key: str,
    title: str,
    history: Sequence[Mapping[str, Any]],
    keys: tuple[str, str],
    said: Callable[[float], str],
    finding: str,
) -> Curve | None:
    points = [_points(history, name) for name in keys]
    every = [point for line in points for point in line]
    if len(points[0]) < 2:
        return None
    low, high = min(x for x, _ in every), max(x for x, _ in every)
    x = Axis(low, high, (low, high))
    ceiling = 1.0 if "accuracy" in keys[0] else float("inf")
    y = axis([value for _, value in every], floor=0.0, ceiling=ceiling)
    lines = []
    for kind, label, line in zip(
        ("own", "pooled"), ("Validation rows", "Training rows"), points, strict=True
    ):
        at = [(x.at(r), round(100 - y.at(v), 2)) for r, v in thinned(line)] if line else []
        if at:
            path = "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in at)
            lines.append(Line(kind, label, path, tuple(at[-1:])))
    return Curve(
        key,
        title,
        finding,
        tuple((round(100 - at, 2), label) for at, label in y.labels(said)),
        x.labels(lambda value: f"{value:.0f}"),
        tuple(lines),
        "",
        len(points[0]),
        len(points[0]),
    )


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    found = [(float(one["round"]), number(one.get(key))) for one in history]
    return [(at, value) for at, value in found if value is not None]


def _said(value: Any) -> str:
    found = number(value)
    return "not measured" if found is None else f"{found:.4g}"
