"""The model card that is stored with every version: what it is, how good, for whom, whence.

All of it follows from the plan and the result of the run; nothing is claimed that was not measured,
and what was not measured is null with its reason. The checkpoint is the last one signed before the
model was stored, so it covers every round that led to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aegis.plan import Plan
from aegis.report.statement import statement
from aegis.report.wording import mapping, sequence
from aegis.tasks.task import Schema

CARD = "aegis-card/1"
_RUN = ("status", "rounds", "chosen_round", "transport", "trust", "rule", "solver", "seed")


def model_card(
    plan: Plan,
    schema: Schema,
    preparation: str,
    result: Mapping[str, Any],
    *,
    positive: str,
    parent: str | None = None,
    checkpoint: str | None = None,
) -> dict[str, Any]:
    """``preparation`` is the canonical JSON the model's inputs are made with, ``result`` the run's
    (before it names files), ``checkpoint`` a signed note of the run's log."""
    data = mapping(result.get("data"))
    hospitals = [mapping(one) for one in sequence(result.get("hospitals"))]
    return {
        "format": CARD,
        "aegis": result.get("aegis"),
        "run": result.get("run"),
        "task": plan.task,
        "positive": positive,
        "schema_sha256": schema.sha256,
        "schema": _schema(schema),
        "plan_sha256": plan.sha256,
        "plan": json.loads(plan.to_json()),
        "preparation": preparation,
        "parent": parent,
        "training": {name: result.get(name) for name in _RUN},
        "hospitals": {
            "number": len(hospitals),
            "examples": sum(int(one.get("examples") or 0) for one in hospitals),
            "test_examples": sum(int(one.get("test_examples") or 0) for one in hospitals),
        },
        "data": {"source": data.get("source"), "synthetic": data.get("synthetic")},
        "metrics": result.get("global"),
        "metrics_reason": result.get("global_reason"),
        "privacy": statement(result),
        "membership_audit": _audit(result),
        "fairness": _fairness(result),
        "checkpoint": checkpoint,
        "note": result.get("note"),
    }


def _schema(schema: Schema) -> dict[str, Any]:
    columns = [asdict(column) for column in schema.columns]
    image = None if schema.image is None else asdict(schema.image)
    return {"columns": columns, "image": image, "classes": list(schema.classes)}


def _audit(result: Mapping[str, Any]) -> dict[str, Any]:
    attacked = result.get("membership_audit")
    if attacked is None:
        reason = result.get("membership_audit_reason") or "nobody attacked it"
        return {"verdict": None, "passed": None, "reason": reason}
    return {name: mapping(attacked).get(name) for name in ("verdict", "passed", "reason")}


def _fairness(result: Mapping[str, Any]) -> dict[str, Any]:
    found = mapping(result.get("fairness"))
    names: Sequence[str] = ("fair", "reason", "sentence", "violations", "thresholds")
    return {name: found.get(name) for name in names}
