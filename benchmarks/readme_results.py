"""Rewrites the results sentence and picture of the README from runs made now: make results"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from aegis.plan import Plan, load_plan
from aegis.simulation.local import run

ROOT = Path(__file__).parents[1]
PLAN = ROOT / "examples" / "wisconsin.yaml"
PICTURE = ROOT / "docs" / "aegis_results.png"
BEGIN, END = "<!-- results -->", "<!-- /results -->"
SPLITS = 20


def accuracies(plan: Plan, home: Path) -> tuple[float, float, float]:
    """Shared, pooled, and the hospitals' own models (mean), all on everybody's held-out rows."""
    document = run(plan, home=home, files=False, audit=False).document
    own = [
        hospital["everywhere"]["alone"]["accuracy"]
        for hospital in document["comparison"]["hospitals"]
    ]
    return document["global"]["accuracy"], document["pooled"]["accuracy"], float(np.mean(own))


def block(home: Path) -> str:
    """The README's text between the marks."""
    plan = load_plan(PLAN).plan
    plans = [plan.edited({"seed": plan.seed + number}) for number in range(SPLITS)]
    found = np.array([accuracies(one, home) for one in plans])
    shared, pooled, own = found.mean(axis=0) * 100
    spread = found[:, 0].std(ddof=1) * 100
    return "\n".join(
        [
            BEGIN,
            f"![Accuracy over rounds, seed {plan.seed}]({PICTURE.relative_to(ROOT).as_posix()})",
            "",
            f"Our federated learning approach reached **{shared:.1f} % accuracy** (standard "
            f"deviation {spread:.1f}) on breast-cancer diagnosis across "
            f"{plan.federated.num_clients} simulated hospitals, over {SPLITS} random splits of "
            f"the Wisconsin data. One model trained on all rows in one place reaches "
            f"{pooled:.1f} %; a hospital's own model, on the same patients of all hospitals, "
            f"{own:.1f} % on average. Made by `make results` from "
            f"`{PLAN.relative_to(ROOT).as_posix()}` "
            f"(seeds {plan.seed} to {plan.seed + SPLITS - 1}).",
            END,
        ]
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        text = block(home)
        shutil.copyfile(run(load_plan(PLAN).plan, home=home, audit=False).files["plot"], PICTURE)
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + text + after, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
