"""A realistic result to read: seeded patients at four hospitals, scored by two models each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

CENTRES = {"cleveland": (199, 104, 0.46), "hungarian": (172, 89, 0.37),
           "switzerland": (30, 16, 0.94), "va": (85, 45, 0.74)}  # fmt: skip
Result = dict[str, Any]


def _wilson(k: float, n: int) -> list[float]:
    z = 1.959964
    p = k / n
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [float((centre - half) / (1 + z * z / n)), float((centre + half) / (1 + z * z / n))]


def _metrics(accuracy: float, n: int, auc: float | None = 0.89) -> Result:
    return {
        "accuracy": accuracy,
        "balanced_accuracy": None if auc is None else accuracy - 0.01,
        "auc": auc,
        "average_precision": auc,
        "log_loss": 0.41,
        "precision": accuracy,
        "recall": accuracy + 0.01,
        "f1": accuracy,
        "examples": n,
    }


def build(
    rounds: int = 7, centres: dict[str, tuple[int, int, float]] | None = None, seed: int = 16
) -> Result:
    rng = np.random.default_rng(seed)
    centres = CENTRES if centres is None else centres
    hospitals, compared, held = [], [], []
    right_of_all = tests = 0
    for number, (name, (train, test, share)) in enumerate(centres.items()):
        shared = rng.random(test) < 0.83
        own = np.where(rng.random(test) < 0.75, shared, rng.random(test) < 0.7)
        apart = shared.astype(float) - own
        se = float(apart.std()) / np.sqrt(test)
        auc = None if test < 20 and number == 2 else 0.9 - 0.02 * number
        hospitals.append(
            {
                "name": name,
                "examples": train,
                "test_examples": test,
                "global": _metrics(float(shared.mean()), test, auc),
                "local": _metrics(float(own.mean()), test, auc),
                "epsilon": None,
                "rounds": rounds,
                "status": "ok",
            }
        )
        compared.append(
            {
                "name": name,
                "examples": test,
                "alone": {
                    "accuracy": float(own.mean()),
                    "ci95": _wilson(float(own.sum()), test),
                },
                "federated": {
                    "accuracy": float(shared.mean()),
                    "ci95": _wilson(float(shared.sum()), test),
                },
                "difference": {
                    "accuracy": float(apart.mean()),
                    "ci95": [float(apart.mean()) - 1.96 * se, float(apart.mean()) + 1.96 * se],
                },
            }
        )
        held.append(
            {
                "hospital": name,
                "rows": train + test,
                "train": train,
                "validation": 0,
                "test": test,
                "positive_share": share,
                "age_mean": 54.2 + number,
                "age_sd": 9.1,
                "age_min": 29.0,
                "age_max": 77.0,
                "female_share": 0.32 - 0.02 * number,
            }
        )
        right_of_all += int(shared.sum())
        tests += test
    total = _metrics(right_of_all / tests, tests)
    total["ci95"] = {"accuracy": _wilson(right_of_all, tests), "auc": [0.85, 0.925]}
    history = []
    for r in range(1, rounds + 1):
        grown = 1 - 0.45 * np.exp(-1.5 * r / max(rounds / 4, 1))
        history.append(
            {
                "round": r,
                "global": _metrics(float(total["accuracy"] * grown), tests, float(0.89 * grown))
                | {"log_loss": 0.41 + 0.28 * float(1 - grown)},
                "hospitals": {
                    h["name"]: _metrics(
                        float(h["global"]["accuracy"] * grown * (1 + 0.02 * np.sin(r + i))), 20
                    )
                    for i, h in enumerate(hospitals[:8])
                },
                "part": "test",
                "seconds": 0.012,
                "absent": ["va"] if r == 3 else [],
                "flagged": [],
            }
        )
    history[-1]["global"] = dict(total)
    mean = float(np.mean([h["global"]["accuracy"] for h in hospitals]))
    own_mean = float(np.mean([h["local"]["accuracy"] for h in hospitals]))
    return {
        "run": "20261121-0931-heart-4f2c91",
        "status": "completed",
        "task": "heart",
        "plan_sha256": "ab" * 32,
        "model_sha256": "cd" * 32,
        "seed": 16,
        "transport": "inprocess",
        "trust": "open",
        "rule": "fedavg",
        "model": "logistic",
        "solver": "newton",
        "rounds": rounds,
        "chosen_round": rounds,
        "seconds": 1.9,
        "aegis": "0.1.0",
        "data": {
            "source": "UCI Heart Disease, four centres",
            "synthetic": False,
            "rows": 740,
            "credits": "Janosi and others (1988), UCI Machine Learning Repository, CC BY 4.0",
            "positive": "heart disease",
        },
        "partition": {"by": "site", "hospitals": held},
        "global": total,
        "mean_hospitals": {"accuracy": mean, "ci95": {"accuracy": [mean - 0.04, mean + 0.04]}},
        "pooled": _metrics(total["accuracy"] - 1 / tests, tests, 0.891),
        "mean_local": {"accuracy": own_mean, "auc": 0.86},
        "comparison": {"hospitals": compared, "summary": {}},
        "hospitals": hospitals,
        "history": history,
        "privacy": {"mechanism": "none", "epsilon": None, "delta": None},
        "audit_log": None,
        "audit_log_reason": "the verifiable log is not in this version yet",
        "odds_ratios": [
            {"feature": "age", "odds_ratio": 1.21, "low": 0.94, "high": 1.56, "p": 0.135},
            {
                "feature": "chest pain=asymptomatic",
                "odds_ratio": 6.4,
                "low": 3.1,
                "high": 13.2,
                "p": 1e-7,
            },
            {"feature": "thalach", "odds_ratio": 0.71, "low": 0.52, "high": 0.96, "p": 0.027},
            {"feature": "chol missing", "odds_ratio": 2.9, "low": 1.2, "high": 7.1, "p": 0.018},
        ],
        "table_one": {
            "hospitals": list(centres)[:4],
            "rows": [
                {"label": "Patients", "overall": "486", "by_hospital": ["199", "172", "30", "85"]},
                {
                    "label": "Age, years",
                    "overall": "53.1 (9.4)",
                    "by_hospital": ["54.4 (9.0)", "47.8 (7.8)", "56.7 (8.4)", "59.4 (7.7)"],
                },
                {
                    "label": "Chest pain: typical angina",
                    "overall": "37 (5.0 %)",
                    "by_hospital": ["23 (7.6 %)", "withheld", "fewer than 10", "fewer than 10"],
                },
            ],
            "notes": ["Mean (standard deviation) for numbers, n (% of all patients) otherwise."],
        },
        "files": {"plan": "aegis-data/results/20261121-0931-heart-4f2c91/plan.yaml"},
    }


@pytest.fixture
def a_result() -> Callable[..., Result]:
    """Builds a result; each call a new one that the test may spoil."""
    return build


@pytest.fixture(scope="session")
def a_built_result() -> Result:
    """One result for readers that promise to leave it alone."""
    return build(rounds=3)
