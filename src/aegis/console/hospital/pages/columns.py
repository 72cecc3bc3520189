"""A table's columns as pictures: a small histogram, what is missing, own beside all hospitals'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError
from aegis.operations.hospital.alone import Shared
from aegis.operations.hospital.table_check import missing_share
from aegis.report.wording import SMALL, significant
from aegis.tasks.bounded import Bounded, read_preparation
from aegis.tasks.public_map import is_amount
from aegis.tasks.task import Column, Rows, Schema

BINS = 12
MOST_WORDS = 8


@dataclass(frozen=True)
class Everybody:
    """Mean and spread over all hospitals, as the statistics round of ``run`` told them."""

    mean: float
    spread: float
    run: str
    noisy: bool


@dataclass(frozen=True)
class Picture:
    """``bars`` are (x, width, y, height) in percent; ``words`` (word, how many rows)."""

    name: str
    about: str
    kind: str
    unit: str
    missing: float
    missing_said: str
    declared: str
    own: str
    federated: str
    finding: str
    bars: tuple[tuple[float, float, float, float], ...] = ()
    ends: tuple[str, str] = ("", "")
    words: tuple[tuple[str, str], ...] = field(default=())


def pictures(schema: Schema, rows: Rows, everybody: Mapping[str, Everybody]) -> tuple[Picture, ...]:
    """One for each column of a table; none for images."""
    if not isinstance(rows.inputs, Mapping):
        return ()
    return tuple(
        _picture(column, rows.inputs[column.name], everybody.get(column.name))
        for column in schema.columns
        if column.name in rows.inputs
    )


def of_everybody(shared: Shared | None) -> dict[str, Everybody]:
    """What the last statistics round told this hospital of all hospitals' rows, by column."""
    if shared is None or not shared.meta.preparation:
        return {}
    try:
        prepared = read_preparation(shared.meta.preparation)
    except AegisError:
        return {}
    run = shared.meta.run
    if isinstance(prepared, Bounded):
        return _bounded(prepared, run)
    return {
        feature.column: Everybody(feature.centre, feature.scale, run, False)
        for feature in getattr(prepared, "features", ())
        if feature.category is None and not feature.missing
    }


def _bounded(prepared: Bounded, run: str) -> dict[str, Everybody]:
    """Told with noise, on columns mapped to [-1, 1]: brought back where the map is a line."""
    found: dict[str, Everybody] = {}
    columns = {column.name: column for column in prepared.columns}
    for feature, mean, sd in zip(
        prepared.features, prepared.means, prepared.deviations, strict=False
    ):
        column = columns[feature.column]
        plain = feature.category is None and not feature.missing
        if not plain or column.low is None or column.high is None or column.kind != "number":
            continue
        if is_amount(column.low, column.high):
            continue
        half = (column.high - column.low) / 2
        found[column.name] = Everybody(column.low + half * (1 + mean), half * sd, run, True)
    return found


def _picture(column: Column, values: NDArray[Any], everybody: Everybody | None) -> Picture:
    missing = missing_share(values)
    said = "none missing"
    if missing:
        count = round(missing * len(values))
        many = f"fewer than {SMALL}" if count < SMALL else f"{count:,}"
        said = f"{many} of {len(values):,} missing ({100 * missing:.1f} %)"
    about: dict[str, Any] = {
        "name": column.name,
        "about": column.description,
        "kind": {"number": "number", "flag": "yes or no", "category": "words"}[column.kind],
        "unit": column.unit,
        "missing": missing,
        "missing_said": said,
        "declared": _declared(column),
        "federated": _said(everybody, column.unit),
    }
    if values.dtype.kind == "U":
        return _of_words(about, values)
    there = values[~np.isnan(values)]
    if not len(there):
        return Picture(**about, own="no value", finding=f"{column.name}: no value")
    if column.kind == "flag":
        yes = int((there == 1).sum())
        own = f"yes in {yes:,} of {len(there):,}"
        bars = _bars(np.array([len(there) - yes, yes]))
        return Picture(
            **about, own=own, finding=f"{column.name}: {own}", bars=bars, ends=("no", "yes")
        )
    mean, sd = float(there.mean()), float(there.std())
    unit = f" {column.unit}" if column.unit else ""
    own = f"mean {significant(mean)}{unit}, spread {significant(sd)}{unit}"
    low, high = (float(end) for end in np.quantile(there, [0.0, 1.0]))
    counts, _ = np.histogram(
        there, bins=BINS, range=(low, high) if low < high else (low - 1, low + 1)
    )
    return Picture(
        **about,
        own=own,
        finding=f"{column.name}: {own}; {said}",
        bars=_bars(counts),
        ends=(f"{significant(low)}{unit}", f"{significant(high)}{unit}"),
    )


def _of_words(about: dict[str, Any], values: NDArray[Any]) -> Picture:
    words, counts = np.unique(values[values != ""], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_WORDS]
    shown = tuple(
        (str(words[at])[:60], f"fewer than {SMALL}" if counts[at] < SMALL else f"{counts[at]:,}")
        for at in order
    )
    more = len(words) - len(shown)
    own = f"{len(words):,} words" + (f", {more:,} of them not shown" if more > 0 else "")
    bars = _bars(counts[order])
    return Picture(**about, own=own, finding=f"{about['name']}: {own}", bars=bars, words=shown)


def _bars(counts: NDArray[Any]) -> tuple[tuple[float, float, float, float], ...]:
    most = max(1, int(counts.max(initial=0)))
    width = 100 / max(1, len(counts))
    found = []
    for at, count in enumerate(counts.tolist()):
        height = round(100 * count / most, 2)
        found.append((round(at * width, 2), round(0.9 * width, 2), round(100 - height, 2), height))
    return tuple(found)


def _declared(column: Column) -> str:
    unit = f" {column.unit}" if column.unit else ""
    if column.kind == "category":
        return f"{len(column.categories)} known words" if column.categories else "any words"
    if column.low is None or column.high is None or not math.isfinite(column.low + column.high):
        return "no range declared"
    return f"{column.low:g} to {column.high:g}{unit}"


def _said(everybody: Everybody | None, unit: str) -> str:
    if everybody is None:
        return ""
    unit = f" {unit}" if unit else ""
    noise = ", told with noise" if everybody.noisy else ""
    return (
        f"mean {significant(everybody.mean)}{unit}, spread {significant(everybody.spread)}{unit}"
        f"{noise}"
    )
