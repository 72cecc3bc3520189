"""The measurement as a Markdown table."""

from __future__ import annotations

from typing import Any

from aegis.bench.engine import TITLES, YARDSTICK


def table(document: dict[str, Any]) -> str:
    """Times, ratios over the yardstick, growth, memory and targets of ``engine``'s answer."""
    machine = document["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        "# Engine benchmark",
        "",
        f"{document['problem']}. {machine['cores']} cores, load {_number(machine['load'])} at the "
        f"end, Python {machine['python']}, {versions}. Times of a shared machine say little; the "
        "ratios are of contenders that took turns.",
        "",
    ]
    sizes = document["sizes"]
    names = [name for name in TITLES if any(name in one["contenders"] for one in sizes)]
    heads = [f"{one['hospitals']} hospitals" for one in sizes]
    lines += _grid(
        "ms per round, median (min)",
        heads,
        names,
        sizes,
        lambda one: f"{_number(one['median_ms'])} ({_number(one['min_ms'])})",
    )
    ratios = [{"contenders": one["ratios"]} for one in sizes]
    lines += _grid(
        f"times faster than {TITLES[YARDSTICK]}, of medians (of minima)",
        heads,
        [name for name in names if name != YARDSTICK],
        ratios,
        lambda one: f"{_number(one['median'])} ({_number(one['min'])})",
    )
    lines += _grid(
        "microseconds per hospital and round",
        heads,
        names,
        sizes,
        lambda one: _number(one["us_per_hospital"]),
    )
    lines += _grid("peak memory, MB", heads, names, sizes, lambda one: _number(one["peak_mb"]))
    lines += _grid(
        "largest difference of the global weights from ours",
        heads,
        names,
        sizes,
        lambda one: "" if one["apart"] is None else f"{one['apart']:.0e}",
    )
    if document["targets"]:
        lines += ["| target | measured | wanted | |", "|---|---|---|---|"]
        for one in document["targets"]:
            met = "met" if one["met"] else "MISSED"
            value, target = _number(one["value"]), _number(one["target"])
            lines.append(f"| {one['what']} | {value} | {target} | {met} |")
        lines.append("")
    lines += [f"{TITLES[name]}: {reason}." for name, reason in document["absent"].items()]
    return "\n".join(lines).rstrip() + "\n"


def _grid(
    title: str, heads: list[str], names: list[str], sizes: list[dict[str, Any]], shown: Any
) -> list[str]:
    lines = [f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in names:
        cells = [
            shown(one["contenders"][name]) if name in one["contenders"] else "" for one in sizes
        ]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return [*lines, ""]


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
