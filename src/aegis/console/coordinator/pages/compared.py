"""A few runs beside each other: their curves in one chart, and figures with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aegis.report.charts import Curve, axis, rounds_axis, thinned
from aegis.report.charts import Line as Drawn
from aegis.report.tables import Table
from aegis.report.wording import interval_of, mapping, number, sequence

KINDS = ("shared", "own", "pooled", "fourth")
MOST_ROWS = 8


def overlaid(documents: Sequence[Mapping[str, Any]], metric: str, title: str) -> Curve | None:
    """One line for each run, told apart by dash and marker as well as by colour."""
    lines = [_scored(document, metric) for document in documents]
    every = sorted(point for points in lines for point in points)
    if not every:
        return None
    share = metric == "accuracy"
    y = axis([value for _, value in every], 4, 0.0, math.inf if metric == "log_loss" else 1.0)
    x = rounds_axis(every)
    drawn, said = [], []
    for kind, document, points in zip(KINDS, documents, lines, strict=False):
        name = str(document.get("run"))
        if not points:
            said.append(f"{name}: not scored")
            continue
        shown = [(x.at(at), round(100 - y.at(value), 2)) for at, value in thinned(points)]
        path = "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in shown)
        drawn.append(Drawn(kind, name, path, tuple(shown if len(shown) <= 12 else shown[-1:])))
        at, value = points[-1]
        last = f"{100 * value:.1f} %" if share else f"{value:.3f}"
        said.append(f"{name}: {last} after round {at:.0f}")
    return Curve(
        f"over-{metric}",
        title,
        f"{'; '.join(said)}.",
        tuple(
            (round(100 - at, 2), label)
            for at, label in y.labels(lambda v: f"{100 * v:.3g} %" if share else f"{v:.6g}")
        ),
        x.labels(lambda v: f"{v:.0f}"),
        tuple(drawn),
        "",
        len(every),
        len(every),
    )


def overlaid_table(documents: Sequence[Mapping[str, Any]], metric: str, title: str) -> Table:
    """The same as numbers, for a few rounds between the first and the last."""
    lines = [dict(_scored(document, metric)) for document in documents]
    rounds = sorted({at for line in lines for at in line})
    last = len(rounds) - 1
    few = min(len(rounds), MOST_ROWS)
    kept = rounds if last < few else [rounds[round(i * last / (few - 1))] for i in range(few)]
    return Table(
        title,
        (("Round", False), *((str(one.get("run")), False) for one in documents)),
        tuple(
            (
                f"{at:.0f}",
                *("not scored" if at not in line else f"{line[at]:.4f}" for line in lines),
            )
            for at in kept
        ),
        "" if len(kept) == len(rounds) else f"{len(kept)} of {len(rounds):,} rounds are shown.",
    )


def _scored(document: Mapping[str, Any], metric: str) -> list[tuple[float, float]]:
    """(round, value) of each round that was scored."""
    found = []
    for closed in map(mapping, sequence(document.get("history"))):
        at, value = number(closed.get("round")), number(mapping(closed.get("global")).get(metric))
        if at is not None and value is not None:
            found.append((at, value))
    return found


def with_interval(document: Mapping[str, Any], metric: str) -> str:
    """A metric of the final model, with its interval where there is one."""
    metrics = mapping(document.get("global"))
    value, pair = number(metrics.get(metric)), interval_of(metrics, metric)
    if value is None:
        return str(document.get("global_reason") or "not measured")
    return f"{value:.4f}" + (f" ({pair[0]:.4f} to {pair[1]:.4f})" if pair else "")
