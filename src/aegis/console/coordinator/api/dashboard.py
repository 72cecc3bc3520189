"""A run's document in the form that dashboards poll: a summary, the rounds, and columns to draw.

Every number is the document's own; what no run measures is null with its reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aegis.console.spending import Spending
from aegis.plan import Plan
from aegis.report.disclosure import coordinator_saw
from aegis.report.wording import mapping, number, sequence

MEASURES = ("accuracy", "precision", "recall")
NO_TRAINING_LOSS = "hospitals release no loss of the rows they train on"
NO_LOSS = "this round was not scored"


def data_of(
    document: Mapping[str, Any], plan: Plan, updated: str | None, spending: Spending
) -> dict[str, Any]:
    """``updated`` is the UTC time of the run's last event, ``spending`` what is known by round."""
    return {
        "has_data": bool(document.get("history")),
        "last_updated": updated,
        **metrics_of(document, plan, updated, spending),
        "round_history": sequence(document.get("history")),
        "fairness": document.get("fairness"),
        "fairness_reason": document.get("fairness_reason"),
        "security": _security(document, plan),
        "hospitals": sequence(document.get("hospitals")),
        "privacy": mapping(document.get("privacy")),
    }


def metrics_of(
    document: Mapping[str, Any], plan: Plan, updated: str | None, spending: Spending
) -> dict[str, Any]:
    return {
        "summary": _summary(document, plan),
        "chart_data": _columns(document, plan, spending),
        "last_updated": updated,
    }


def nothing() -> dict[str, Any]:
    """What is answered before the first run."""
    columns = ("epsilon_total", "epsilon_round", "train_loss", "val_loss", "accuracy", "auc")
    return {
        "has_data": False,
        "last_updated": None,
        "summary": {"run": None, "status": "idle"},
        "chart_data": {
            **{name: [] for name in ("rounds", *columns, "noise_multiplier")},
            "reasons": {},
        },
        "round_history": [],
        "fairness": None,
        "fairness_reason": "there is no run yet",
        "security": None,
        "hospitals": [],
        "privacy": {},
    }


def planned_rounds(document: Mapping[str, Any], plan: Plan) -> int | None:
    """How many rounds the run may have; None where that is decided while it goes on."""
    return plan.federated.num_rounds or number_of(document.get("rounds"))


def number_of(value: Any) -> int | None:
    found = number(value)
    return None if found is None else round(found)


def _summary(document: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    overall, privacy = mapping(document.get("global")), mapping(document.get("privacy"))
    scored = [mapping(one.get("global")) for one in sequence(document.get("history"))]
    aucs = [auc for one in scored if (auc := number(one.get("auc"))) is not None]
    return {
        "run": document["run"],
        "status": document["status"],
        "reason": document.get("reason"),
        "task": document["task"],
        "rounds": document["rounds"],
        "total_rounds": planned_rounds(document, plan),
        "chosen_round": document.get("chosen_round"),
        **{name: overall.get(name) for name in (*MEASURES, "f1", "auc", "log_loss", "examples")},
        "ci95": mapping(overall.get("ci95")),
        "best_auc": max(aucs, default=None),
        "epsilon": privacy.get("epsilon"),
        "epsilon_reason": privacy.get("reason"),
        "epsilon_budget": plan.privacy.epsilon_budget if plan.privacy.enabled else None,
        "delta": privacy.get("delta"),
        "hospitals": len(sequence(document.get("hospitals"))),
        "seconds": document.get("seconds"),
        "model_sha256": document.get("model_sha256"),
    }


def _columns(document: Mapping[str, Any], plan: Plan, spending: Spending) -> dict[str, Any]:
    """One list each, as long as ``rounds``."""
    numbers = [one["round"] for one in rounds_of(document)]
    scored = [mapping(one.get("global")) for one in rounds_of(document)]
    privacy, noise = mapping(document.get("privacy")), plan.privacy.noise_multiplier
    known = noise if plan.privacy.enabled else None
    spent = [spending.epsilon.get(one) for one in numbers]
    before = [spending.epsilon.get(one - 1) for one in numbers]
    total = list(spent)
    if total and number(privacy.get("epsilon")) is not None:
        total[-1] = number(privacy.get("epsilon"))  # the result's own figure
    return {
        "rounds": numbers,
        "epsilon_total": total,
        "epsilon_round": [
            None if now is None or then is None else max(0.0, now - then)
            for now, then in zip(spent, before, strict=True)
        ],
        "train_loss": [None] * len(numbers),
        "val_loss": [one.get("log_loss") for one in scored],
        "accuracy": [one.get("accuracy") for one in scored],
        "auc": [one.get("auc") for one in scored],
        "noise_multiplier": [spending.noise.get(one, known) for one in numbers],
        "reasons": {
            "epsilon_total": spending.reason or None,
            "epsilon_round": spending.reason or None,
            "train_loss": NO_TRAINING_LOSS,
            "val_loss": NO_LOSS,
            "noise_multiplier": spending.noise_reason or None,
        },
    }


def _security(document: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    log = mapping(document.get("audit_log"))
    flags = [
        {"round": one["round"], **flag}
        for one in sequence(document.get("history"))
        for flag in sequence(one.get("flags"))
    ]
    return {
        "trust": document["trust"],
        "coordinator_sees": coordinator_saw(document),
        "secure_aggregation": document["trust"] != "open",
        "rule": document["rule"],
        "detection": plan.robust_aggregation.enable_detection,
        "flagged": flags,
        "set_aside": sum(len(sequence(one.get("set_aside"))) for one in rounds_of(document)),
        "audit_log_verified": log.get("verified"),
        "audit_log_entries": log.get("size"),
        "audit_log_reason": document.get("audit_log_reason"),
    }


def rounds_of(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = sequence(document.get("history"))
    return found


def measures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy, loss, precision, recall and the number of patients, by the names of dashboards."""
    return {
        "accuracy": found.get("accuracy"),
        "loss": found.get("log_loss"),
        "precision": found.get("precision"),
        "recall": found.get("recall"),
        "samples": found.get("examples"),
    }
