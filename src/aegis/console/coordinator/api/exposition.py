"""Where the federation stands, in Prometheus' text format 0.0.4.

What is not known now is NaN: an alert on a threshold stays silent, and a graph has a gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUS = {
    "idle": 0,
    "waiting": 1,
    "running": 2,
    "paused": 3,
    "completed": 4,
    "stopped": 5,
    "aborted": 6,
    "refused": 7,
    "failed": 8,
}
_CODES = ", ".join(f"{code} {name}" for name, code in STATUS.items())
GAUGE, COUNTER = "gauge", "counter"
# name, kind, meaning
METRICS: Sequence[tuple[str, str, str]] = (
    ("federation_current_round", GAUGE, "Closed rounds of the present run, else the latest."),
    ("federation_max_rounds", GAUGE, "Rounds that this run may have."),
    ("federation_connected_agents", GAUGE, "Hospitals that are connected now."),
    ("federation_total_agents", GAUGE, "Hospitals of the federation."),
    ("federation_status_code", GAUGE, f"The run's status: {_CODES}."),
    ("federation_global_accuracy", GAUGE, "Accuracy of the last scored round, all hospitals."),
    ("federation_global_loss", GAUGE, "Mean log-loss of the last scored round, all hospitals."),
    ("federation_global_precision", GAUGE, "Precision of the last scored round, all hospitals."),
    ("federation_global_recall", GAUGE, "Recall of the last scored round, all hospitals."),
    ("federation_privacy_min_remaining", GAUGE, "Epsilon this run has left, where least is left."),
    ("federation_privacy_any_exhausted", GAUGE, "1 where some hospital has none left."),
    ("federation_updates_rejected_total", COUNTER, "Updates of this run that were set aside."),
    ("federation_model_versions_total", COUNTER, "Model versions in the registry."),
)


def exposition(state: Mapping[str, Any]) -> str:
    """Text for a scraper. ``state`` is what ``/api/state`` answers."""
    overall = state["global_model"] or {}
    budgets = [one for one in state["privacy_state"].values() if one["remaining"] is not None]
    least = min((one["remaining"] for one in budgets), default=None)
    values: Mapping[str, float | int | None] = {
        "federation_current_round": state["current_round"],
        "federation_max_rounds": state["max_rounds"],
        "federation_connected_agents": state["connected_agents"],
        "federation_total_agents": state["total_agents"],
        "federation_status_code": STATUS.get(str(state["status"])),
        "federation_global_accuracy": overall.get("accuracy"),
        "federation_global_loss": overall.get("loss"),
        "federation_global_precision": overall.get("precision"),
        "federation_global_recall": overall.get("recall"),
        "federation_privacy_min_remaining": least,
        "federation_privacy_any_exhausted": (
            int(any(one["exhausted"] for one in budgets)) if budgets else None
        ),
        "federation_updates_rejected_total": state["updates_rejected"],
        "federation_model_versions_total": state["model_versions_total"],
    }
    lines: list[str] = []
    for name, kind, meaning in METRICS:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        lines.append(f"{name} {_number(values[name])}")
    return "\n".join(lines) + "\n"


def _number(value: float | int | None) -> str:
    if value is None or not math.isfinite(value):
        return "NaN"
    return repr(value)
