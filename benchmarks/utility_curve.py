"""Accuracy over epsilon on the Wisconsin data, everything charged.

    python benchmarks/utility_curve.py

Twenty stratified splits (scikit-learn's labels, random_state 0 to 19), five hospitals, delta 1e-5,
one draw of noise for each split and point. Writes docs/utility_curve.png and
benchmarks/results/utility_curve.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.privacy.dpgd import dpgd, noise_multiplicity, plan_rounds
from aegis.privacy.noise import SystemNoise
from aegis.tasks.bounded import Bounded
from aegis.tasks.task import DataOptions, find_task

ROOT = Path(__file__).parents[1]
EPSILONS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
HOSPITALS, DELTA, SPLITS = 5, 1e-5, 20
MODES = {
    "one noise in the sum (no dropout, nobody colludes)": 1.0,
    "distributed noise, 4 of 5 answer, 1 colludes": noise_multiplicity(HOSPITALS, 4, 1),
    "local noise at each hospital": float(HOSPITALS),
}


def accuracies(
    mapped: NDArray[np.float64], labels: NDArray[np.int64], epsilon: float, multiplicity: float
) -> list[float]:
    from sklearn.model_selection import train_test_split

    found = []
    for split in range(SPLITS):
        train, test = train_test_split(
            np.arange(len(labels)), test_size=0.2, stratify=1 - labels, random_state=split
        )
        parts = np.array_split(np.random.default_rng(split).permutation(train), HOSPITALS)
        plan = plan_rounds(len(train), mapped.shape[1], multiplicity, epsilon, DELTA)
        model = dpgd(
            [mapped[part] for part in parts],
            [labels[part] for part in parts],
            plan,
            SystemNoise().gaussian_on_grid,
        )
        found.append(float(((model.logits(mapped[test]) >= 0) == (labels[test] == 1)).mean()))
    return found


def measured() -> dict[str, Any]:
    task = find_task("breast_cancer")
    rows = task.load(DataOptions()).rows
    mapped, labels = Bounded.of(task.schema).mapped(rows), rows.labels
    curves = {
        name: [
            {"epsilon": eps, "mean": float(np.mean(a)), "sd": float(np.std(a, ddof=1))}
            for eps in EPSILONS
            if (a := accuracies(mapped, labels, eps, multiplicity))
        ]
        for name, multiplicity in MODES.items()
    }
    return {"task": "breast_cancer", "hospitals": HOSPITALS, "delta": DELTA, "curves": curves}


def drawn(document: dict[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours, dashes = ("#0a5a9c", "#3d4852", "#b4530a"), ("-", "--", ":")
    for (name, points), colour, dash in zip(
        document["curves"].items(), colours, dashes, strict=True
    ):
        x = [point["epsilon"] for point in points]
        y = np.array([point["mean"] for point in points]) * 100
        reach = np.array([point["sd"] for point in points]) * 196 / np.sqrt(SPLITS)
        axes.plot(x, y, dash, marker="o", color=colour, label=name)
        axes.fill_between(x, y - reach, y + reach, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(EPSILONS), [f"{eps:g}" for eps in EPSILONS])
    axes.set_xlabel("Total epsilon at each hospital (delta 1e-5), statistics included")
    axes.set_ylabel("Accuracy, % (mean of 20 splits, 95 % band)")
    axes.set_title("What privacy costs: Wisconsin breast cancer, 5 hospitals", loc="left")
    axes.grid(axis="y", color="#c5ced6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    document = measured()
    kept = ROOT / "benchmarks" / "results" / "utility_curve.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    drawn(document, ROOT / "docs" / "utility_curve.png")
    for name, points in document["curves"].items():
        print(name, " ".join(f"{p['epsilon']:g}:{p['mean']:.3f}" for p in points))


if __name__ == "__main__":
    main()
