"""Figures of your own, beside those that every run reports."""

from __future__ import annotations

from typing import Any


def evaluate_model(labels: Any, probabilities: Any) -> dict[str, float]:
    """``labels`` (n,) 0 and 1, ``probabilities`` (n,) of the positive class, of rows that no model
    was trained on. Called where all of them are at hand: in a simulation."""
    ill = labels == 1
    caught = float((probabilities[ill] >= 0.2).mean()) if ill.any() else float("nan")
    return {"share of the ill above a probability of 0.2": caught}
