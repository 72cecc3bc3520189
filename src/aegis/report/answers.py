"""The document of a question that was asked: cells, what they cost, what the coordinator saw."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from aegis.coordinator.questions import Answered
from aegis.errors import BadInput, RunAborted
from aegis.tasks.question import Question
from aegis.tasks.topics import Topics

EPSILON, DELTA = 0.1, 1e-5


def answered_document(
    task: str,
    title: str,
    plan_sha256: str,
    asked: Question,
    topics: Topics,
    answered: Answered,
    epsilon: float,
    delta: float,
) -> dict[str, Any]:
    """Raises ``RunAborted`` where nobody answered."""
    if not answered.cells:
        raise _nobody(answered)
    return {
        "status": "answered",
        "task": task,
        "title": title,
        "plan_sha256": plan_sha256,
        "question": json.loads(asked.to_json()),
        "question_sha256": asked.sha256,
        "sentence": asked.sentence,
        **_table(asked, topics, answered),
        "privacy": _privacy(answered, epsilon, delta),
    }


def _table(asked: Question, topics: Topics, answered: Answered) -> dict[str, Any]:
    axes = asked.axes(topics)
    rows = []
    for at, cell in zip(np.ndindex(asked.shape(topics)), answered.cells, strict=True):
        labels = [axis.labels[i] for axis, i in zip(axes, at, strict=False)] or ["patients"]
        shown = f"fewer than {answered.minimum_cell}" if not cell.withheld_by else "withheld"
        if cell.count is not None:
            shown = f"{cell.count}" if not cell.withheld_by else f"at least {cell.count}"
        exact = answered.noise_sd == 0
        interval = None if cell.interval is None or exact else list(cell.interval)
        row = {"labels": labels, "count": cell.count, "shown": shown, "ci95": interval}
        rows.append(row | {"withheld_by": cell.withheld_by})
    return {
        "axes": [{"name": a.name, "title": a.title, "labels": list(a.labels)} for a in axes],
        "cells": rows,
        "noise_sd": answered.noise_sd,
        "minimum_cell": answered.minimum_cell,
    }


def _privacy(answered: Answered, epsilon: float, delta: float) -> dict[str, Any]:
    if answered.bare:
        return {
            "private": False,
            "label": "NOT PRIVATE: exact counts of public demonstration data",
            "epsilon": None,
            "delta": None,
            "coordinator_sees": "each hospital's exact cells, those below the minimum withheld",
        }
    return {
        "private": True,
        "label": "Gaussian noise from the operating system's randomness at each hospital",
        "epsilon": epsilon,
        "delta": delta,
        "unit": "one patient's row at one hospital",
        "neighbouring": "add or remove one",
        "assumption": "no patient is at two hospitals, so the price of one is the price of all",
        "accountant": "exact for this question; rdp for what is spent",
        "coordinator_sees": "each hospital's cells, noise included",
    }


def _nobody(answered: Answered) -> RunAborted:
    reasons = list(dict.fromkeys(answered.refused.values()))
    spent = any("have spent" in reason or "has spent" in reason for reason in reasons)
    old = "Questions that were answered before keep their answers, at the same price"
    return RunAborted(
        f"none of {len(answered.refused)} hospitals answered: {'; '.join(reasons[:3])}",
        way_out=old if spent else "",
    )


def check_price(epsilon: float, delta: float) -> None:
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise BadInput(f"epsilon must be finite and above 0, got {epsilon}", way_out="Try 0.1")
    if not 0 < delta <= DELTA:
        raise BadInput(f"delta must be above 0 and at most {DELTA:g}, got {delta}")
