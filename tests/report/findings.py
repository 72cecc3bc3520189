"""What a run's scores say about fairness and usefulness, from seeded patients of known groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aegis.assurance.benefit import benefit, sentence, summary, together
from aegis.assurance.groups import group_counts
from aegis.coordinator.steps import Study
from aegis.evaluation.histogram import score
from aegis.messages import Enrolled
from aegis.plan import Plan
from aegis.report.fairness import fairness
from aegis.report.usefulness import usefulness
from aegis.states import Progress, Terminated
from aegis.tasks.task import find_task

# Women and men, and ages below 45, 45 to 54, 55 to 64, 65 and over.
SHARES = ((0.3, 0.7), (0.2, 0.3, 0.3, 0.2))


def study(**thresholds: float) -> Study:
    keys = {f"fairness.thresholds.{name}": value for name, value in thresholds.items()}
    return Study(Plan(task="heart", **keys), find_task("heart").schema)


def final(
    sizes: Mapping[str, int],
    seed: int = 0,
    shares: tuple[tuple[float, ...], ...] = SHARES,
    worse: float = 0.0,
) -> Terminated:
    """A finished run over hospitals with so many test patients. ``worse``: how much noise the
    scores of the first sex have on top."""
    rng = np.random.default_rng(seed)
    asked = study().groupings
    histograms, losses, groups = {}, {}, {}
    for name, n in sizes.items():
        places = [rng.choice(len(share), n, p=share) for share in shares]
        labels = rng.integers(0, 2, n)
        logits = rng.normal(0, 1, n) + 1.4 * (2 * labels - 1)
        logits += worse * rng.normal(0, 1, n) * (places[0] == 0)
        histograms[name], losses[name] = score(logits, labels)
        groups[name] = group_counts(places, asked, logits, labels)
    enrolled = tuple(Enrolled("run", 0, name, 10 * n, n, "") for name, n in sizes.items())
    progress = Progress("run", 3, enrolled, "[]", np.zeros(1), 0.1, 3)
    return Terminated(progress, "completed", "", 3, histograms, losses, groups=groups)


def compared(sizes: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """A ``comparison`` with fitted and pooled models."""
    rng = np.random.default_rng(seed)
    rows, judged = [], []
    for name, n in sizes.items():
        models = {key: rng.random(n) < 0.8 for key in ("alone", "federated", "tuned", "pooled")}
        personal = {
            "method": "site effects",
            "how": "intercept sd 0.4",
            "moved": True,
            "log_loss": {"difference": -0.01, "ci95": [-0.03, 0.01]},
        }
        rows.append({"name": name, **benefit(models), "personal": personal})
        judged.append(models)
    found = together(judged)
    return {
        "hospitals": rows,
        "summary": summary(rows),
        "together": found,
        "sentence": sentence(found),
    }


def left_out(sizes: Mapping[str, int]) -> dict[str, Any]:
    figures = {"accuracy": 0.8, "auc": 0.85, "examples": 100}
    ends = {"accuracy": [0.7, 0.88], "auc": [0.8, 0.9]}
    share = {"accuracy": 0.8, "ci95": [0.7, 0.88]}
    rows = [
        {
            "name": name,
            "examples": 10 * n,
            "outside": {**figures, "ci95": ends},
            "test_examples": n,
            "on_test": {
                "outside": share,
                "inside": share,
                "difference": {"accuracy": 0.0, "ci95": [-0.05, 0.05]},
            },
        }
        for name, n in sizes.items()
    ]
    return {"hospitals": rows, "mean": {"accuracy": 0.8, "auc": 0.85}}


def with_findings(result: dict[str, Any], **how: Any) -> dict[str, Any]:
    """``result`` with every section that this is about."""
    sizes = {h["name"]: h["test_examples"] for h in result["hospitals"]}
    ended = final(sizes, **how)
    result["fairness"] = fairness(study(), ended)
    result |= usefulness(ended)
    result["comparison"] = compared(sizes)
    result["leave_one_out"] = left_out(sizes)
    return result
