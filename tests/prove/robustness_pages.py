"""The matrix as a Markdown table and as heat maps, drawn from kept figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aegis.report.pictures import FACE, INK, INK2, _saved
from aegis.simulation.attacks import ATTACKS
from tests.prove.matrix import HOSPITALS, LIARS, NONE, PARTITIONS, RULES, SEARCHED, SEEDS

# (data set, partition, rule, adaptive) -> one list of cells for each seed
Found = Callable[[str, str, str, bool], Sequence[Sequence[Mapping[str, float]]]]
COLUMNS = (NONE, *ATTACKS)
SEARCHED_ON = "Dirichlet 0.3"


def means(cells: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over the seeds."""
    return {name: float(np.mean([cell[name] for cell in cells])) for name in cells[0]}


def least(accuracy: Mapping[str, float]) -> float:
    return min(value for name, value in accuracy.items() if name != NONE)


def page(found: Found, dataset: str) -> str:
    part = "robustness" if dataset == "digits" else f"robustness_{dataset}"
    lines = [
        f"# Rules against dishonest hospitals: {dataset}",
        "",
        f"{HOSPITALS} hospitals, {LIARS} of them dishonest, test accuracy in per cent, mean of "
        f"{SEEDS} seeds (standard deviation behind the least). `least` is the lowest of the nine "
        "attacks, which is what an attacker would choose; `cost` is what the rule costs beside "
        f"FedAvg when everybody is honest. Made by `make prove PART={part}`.",
        "",
    ]
    for partition in PARTITIONS:
        lines += [f"## {partition}", ""]
        lines += _table(found, dataset, partition)
        if partition == SEARCHED_ON:
            lines += _searched(found, dataset)
    lines += _triggers(found, dataset)
    lines += _recall(found, dataset) if dataset == "heart" else []
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(cells), _row(["---"] + ["--:"] * (len(cells) - 1))]


def _per_cent(value: float) -> str:
    return f"{100 * value:.1f}"


def _table(found: Found, dataset: str, partition: str) -> list[str]:
    lines = _head(["rule", *(name.replace("_", " ") for name in COLUMNS), "least", "cost"])
    fedavg = means([seed[0] for seed in found(dataset, partition, "fedavg", False)])
    for rule in RULES:
        cells = [seed[0] for seed in found(dataset, partition, rule, False)]
        mean = means(cells)
        worst = min(ATTACKS, key=lambda name: mean[name])
        spread = float(np.std([cell[worst] for cell in cells], ddof=1))
        shown = [_per_cent(mean[name]) for name in COLUMNS]
        lowest = f"**{_per_cent(mean[worst])}** ({_per_cent(spread)})"
        lines.append(_row([rule, *shown, lowest, _per_cent(fedavg[NONE] - mean[NONE])]))
    return [*lines, ""]


def _searched(found: Found, dataset: str) -> list[str]:
    lines = ["The attacker knows the rule and searches the strength in every round:", ""]
    lines += _head(["rule", *(name.replace("_", " ") for name in SEARCHED), "least"])
    for rule in RULES:
        mean = means([seed[0] for seed in found(dataset, SEARCHED_ON, rule, True)])
        shown = [_per_cent(mean[name]) for name in SEARCHED]
        lines.append(_row([rule, *shown, f"**{_per_cent(min(mean.values()))}**"]))
    return [*lines, ""]


def _triggers(found: Found, dataset: str) -> list[str]:
    lines = [
        "## How often the backdoor's trigger works, per cent",
        "",
        "Held-out rows of another class that are given the attacker's label once they carry the "
        "trigger; in brackets the same with all hospitals honest.",
        "",
    ]
    lines += _head(["rule", *PARTITIONS])
    for rule in RULES:
        shown = []
        for partition in PARTITIONS:
            rate = means([seed[1] for seed in found(dataset, partition, rule, False)])
            shown.append(f"{_per_cent(rate['backdoor'])} ({_per_cent(rate[NONE])})")
        lines.append(_row([rule, *shown]))
    return [*lines, ""]


def _recall(found: Found, dataset: str) -> list[str]:
    lines = [
        "## Share of the ill who are found when labels are turned round, per cent",
        "",
    ]
    lines += _head(["rule", *PARTITIONS])
    for rule in RULES:
        shown = []
        for partition in PARTITIONS:
            rate = means([seed[2] for seed in found(dataset, partition, rule, False)])
            shown.append(f"{_per_cent(rate['label_flip'])} ({_per_cent(rate[NONE])})")
        lines.append(_row([rule, *shown]))
    return [*lines, ""]


def heat_map(found: Found, dataset: str, path: Path) -> Path:
    """Four panels, one for each way of dealing rows; the last columns are the least over the
    attacks and, where they were searched, over the adaptive ones."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 11), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{dataset.capitalize()}: test accuracy (%) with {LIARS} of {HOSPITALS} hospitals "
        f"dishonest, mean of {SEEDS} seeds",
        family=FACE,
        color=INK,
        fontsize=15,
        weight="bold",
        x=0.01,
        ha="left",
    )
    for axes, partition in zip(figure.subplots(2, 2).reshape(-1), PARTITIONS, strict=True):
        searched = partition == SEARCHED_ON
        table = []
        for rule in RULES:
            mean = means([seed[0] for seed in found(dataset, partition, rule, False)])
            row = [100 * mean[name] for name in COLUMNS] + [100 * least(mean)]
            if searched:
                adaptive = means([seed[0] for seed in found(dataset, partition, rule, True)])
                row.append(100 * min(adaptive.values()))
            table.append(row)
        _panel(axes, np.array(table), partition, searched)
    return _saved(figure, path)


def _panel(axes: Any, table: np.ndarray, title: str, searched: bool) -> None:
    axes.imshow(table, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    names = [*COLUMNS, "least"] + (["adaptive"] if searched else [])
    axes.set_xticks(
        range(len(names)), [n.replace("_", " ") for n in names], rotation=40, ha="right"
    )
    axes.set_yticks(range(len(RULES)), [rule.replace("_", " ") for rule in RULES])
    axes.axvline(0.5, color="white", lw=3)
    axes.axvline(len(COLUMNS) - 0.5, color="white", lw=3)
    axes.set_title(title, loc="left", family=FACE, color=INK, fontsize=12)
    axes.tick_params(length=0, labelsize=9.5, colors=INK2, labelfontfamily=FACE)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for y, x in np.ndindex(table.shape):
        colour = "white" if table[y, x] < 55 else "black"
        last = x >= len(COLUMNS)
        weight = "bold" if last else "normal"
        axes.text(
            x,
            y,
            f"{table[y, x]:.0f}",
            ha="center",
            va="center",
            size=9,
            color=colour,
            weight=weight,
        )
