"""Odds ratios with Wald intervals, from a converged logistic regression and its curvature.

The inverse of the total Hessian of the negative log-likelihood is the covariance of the estimates
(Wald 1943); an interval is exp(beta ± 1.96 se), a p-value is two-sided. Measurements are
standardised before training, so their ratio is per one standard deviation; categories and
missing-value indicators compare present with absent. With a ridge penalty in the Hessian the
estimates are shrunk and the intervals hold only approximately. Odds ratios describe association,
not cause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation.newton import unpack
from aegis.errors import BadInput
from aegis.states import Progress
from aegis.tasks.bounded import read_preparation
from aegis.tasks.task import Schema

NORMAL_95 = 1.959963984540054
FLATTEST = 1e-10
LARGEST_EXPONENT = 690.0
PER_SD = "1 sd"
PRESENT = "present against absent"


def odds_ratios(
    names: Sequence[str],
    weights: NDArray[np.floating],
    hessian_total: NDArray[np.floating],
    schema: Schema | None = None,
) -> list[dict[str, Any]] | str:
    """The result's ``odds_ratios``, or the reason why there are none.

    ``weights`` (d + 1,) are the coefficients in the order of ``names``, then the intercept;
    ``hessian_total`` (d + 1, d + 1) is the sum over all rows, not the mean, at these weights.
    Each entry has ``feature, label, odds_ratio, low, high, p, per``; ``label`` is the column's
    description where ``schema`` is given. A figure beyond the largest float (one outcome only) is
    None. Raises ``BadInput`` where shapes do not fit.
    """
    d = len(names)
    beta = np.asarray(weights, dtype=np.float64)
    hessian = np.asarray(hessian_total, dtype=np.float64)
    if beta.shape != (d + 1,) or hessian.shape != (d + 1, d + 1):
        raise BadInput(
            f"{d} features do not fit weights of {beta.shape} and a Hessian of {hessian.shape}",
            f"they need ({d + 1},) and ({d + 1}, {d + 1}), the intercept last",
        )
    if not (np.isfinite(beta).all() and np.isfinite(hessian).all()):
        return "the model or its curvature is not finite"
    covariance, reason = _inverse((*names, "intercept"), (hessian + hessian.T) / 2)
    if covariance is None:
        return reason
    errors = np.sqrt(np.diag(covariance))
    return [
        {"feature": name, "label": _label(schema, name), **_entry(float(b), float(se))}
        | {"per": per(name)}
        for name, b, se in zip(names, beta[:d], errors[:d], strict=True)
    ]


def per(feature: str) -> str:
    """What one step of this feature is."""
    return PRESENT if "=" in feature or feature.endswith(" missing") else PER_SD


def _label(schema: Schema | None, name: str) -> str:
    """``thal=normal`` becomes ``Thallium scan: normal``."""
    if schema is None:
        return name
    column, equals, value = name.partition("=")
    missing = not equals and name not in schema.names and name.endswith(" missing")
    column = name.removesuffix(" missing") if missing else column
    if column not in schema.names:
        return name
    text = schema[column].description or column
    text = text[:1].upper() + text[1:]
    return f"{text}: {'missing' if missing else value}" if missing or equals else text


def _entry(beta: float, error: float) -> dict[str, Any]:
    reach = NORMAL_95 * error
    return {
        "odds_ratio": _exp(beta),
        "low": _exp(beta - reach),
        "high": _exp(beta + reach),
        "p": math.erfc(abs(beta) / error / math.sqrt(2.0)),
    }


def _exp(value: float) -> float | None:
    return math.exp(value) if abs(value) <= LARGEST_EXPONENT else None


def _inverse(
    names: Sequence[str], hessian: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, str]:
    """The inverse, judged after scaling to a unit diagonal; else the features to blame."""
    diagonal = np.diag(hessian)
    largest = float(diagonal.max(initial=0.0))
    flat = [name for name, h in zip(names, diagonal, strict=True) if h <= 1e-14 * largest]
    if largest <= 0.0 or flat:
        return None, f"the curvature says nothing about {_listed(flat or names)}"
    scale = 1.0 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale[None, :])
    if values[0] <= FLATTEST:
        share = np.abs(vectors[:, 0])
        tied = [n for n, s in zip(names, share, strict=True) if s > 0.3 * share.max()]
        return None, f"the effects of {_listed(tied)} cannot be told apart (singular Hessian)"
    inverse = (vectors / values) @ vectors.T
    return inverse * scale[:, None] * scale[None, :], ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def odds_of(schema: Schema, progress: Progress) -> dict[str, Any]:
    """The ``odds_ratios`` of a result, from the curvature of the last Newton round."""
    curvature = progress.memory.get("curvature")
    if curvature is None:
        why = "only training.solver: newton gives the curvature that intervals need"
        return {"odds_ratios": None, "odds_ratios_reason": why}
    if schema.classes:
        why = "of more than two classes a feature has no one odds ratio"
        return {"odds_ratios": None, "odds_ratios_reason": why}
    if schema.image is not None:
        return {
            "odds_ratios": None,
            "odds_ratios_reason": "what images become has no meaning alone",
        }
    names = read_preparation(progress.preparation).names
    _, mean = unpack(curvature, len(progress.weights))
    total = mean * sum(hospital.examples for hospital in progress.hospitals)
    found = odds_ratios(names, progress.weights, total, schema)
    if isinstance(found, str):
        return {"odds_ratios": None, "odds_ratios_reason": found}
    return {"odds_ratios": found}
