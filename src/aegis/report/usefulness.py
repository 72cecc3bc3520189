"""Would the model help a clinician? Calibration, decision curve, thresholds, counts per 100.

All of it is read from the score histograms that hospitals released, summed or one by one. Nothing
here chooses a threshold for anybody: at which chance to act follows from what a missed patient and
a false alarm cost, and the tables say what each choice comes to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.evaluation.calibration import (
    Recalibration,
    brier,
    classes,
    expected_and_observed,
    recalibrate,
)
from aegis.evaluation.classes import is_tableau
from aegis.evaluation.decision_curve import (
    Decisions,
    curve,
    decisions,
    operating_points,
    reaching,
    useful_range,
)
from aegis.states import Terminated
from aegis.tasks.preparation import MINIMUM_CELL

DEFAULT = 0.5
TABLED = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
CURVE = tuple(round(0.02 * step, 2) for step in range(1, 50))
LEAST_PATIENTS = 20
MOST_HOSPITALS = 50
SHARES = ("sensitivity", "specificity", "ppv", "npv")
Histogram = NDArray[np.int64]


def usefulness(final: Terminated) -> dict[str, Any]:
    """The result's ``usefulness``: None, with a reason, where scores were not released in bins."""
    every = list(final.histograms.values())
    if final.sealed is not None and final.sealed.histogram is not None:
        every.append(final.sealed.histogram)
    if every and is_tableau(every[0]):
        return _none("calibration and thresholds are worked out for one condition, present or not")
    if not every:
        return _none("no hospital released scores of the final model")
    if final.noise or any(_coarse(one) for one in every):
        return _none("hospitals released noisy counts, which have no bins of predicted chance")
    together: Histogram = np.add.reduce(every)
    ill = int(together[1].sum())
    if min(ill, int(together.sum()) - ill) < MINIMUM_CELL:
        return _none(f"fewer than {MINIMUM_CELL} patients with or without the condition")
    points = curve(together, CURVE)
    useful = useful_range(points)
    return {
        "usefulness": {
            "examples": int(together.sum()),
            "positives": ill,
            "calibration": _calibration(together, final.histograms),
            "decision_curve": [_point(point) for point in points],
            "useful_range": None if useful is None else list(useful),
            "at": _row(decisions(together, DEFAULT)),
            "thresholds": [_row(decisions(together, threshold)) for threshold in TABLED],
            "aims": _aims(together),
            "operating_points": [_counts(p) for p in operating_points(together, MINIMUM_CELL)],
        }
    }


def _none(why: str) -> dict[str, Any]:
    return {"usefulness": None, "usefulness_reason": why}


def _coarse(histogram: Histogram) -> bool:
    """Noisy scores have the two bins beside one half only."""
    there = np.flatnonzero(histogram.sum(axis=0))
    half = histogram.shape[1] // 2
    return int(histogram.sum()) > LEAST_PATIENTS and set(there.tolist()) <= {half - 1, half}


def _calibration(together: Histogram, by_hospital: Mapping[str, Histogram]) -> dict[str, Any]:
    both = expected_and_observed(together)
    assert both is not None
    hospitals = []
    for name, histogram in list(by_hospital.items())[:MOST_HOSPITALS]:
        hospitals.append({"name": name, **_recalibration(recalibrate(histogram, MINIMUM_CELL))})
    return {
        "classes": [
            {
                "examples": one.examples,
                "expected": one.expected,
                "observed": one.observed,
                "ci95": list(one.interval),
            }
            for one in classes(together)
        ],
        "expected": both[0],
        "observed": both[1],
        "brier": brier(together),
        **_recalibration(recalibrate(together, MINIMUM_CELL)),
        "hospitals": hospitals,
    }


def _recalibration(found: Recalibration | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"recalibration": None, "reason": found}
    gain = None
    if found.gain is not None and found.gain_interval is not None:
        gain = {"log_loss": found.gain, "ci95": list(found.gain_interval)}
    return {
        "recalibration": {
            "examples": found.examples,
            "intercept": {"value": found.intercept, "ci95": list(found.intercept_interval)},
            "slope": {"value": found.slope, "ci95": list(found.slope_interval)},
            "at_large": {"value": found.at_large, "ci95": list(found.at_large_interval)},
            "gain": gain,
            "advised": found.gain_interval is not None and found.gain_interval[0] > 0,
        }
    }


def _point(point: Decisions) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "model": point.net_benefit,
        "ci95": list(point.net_benefit_interval),
        "everybody": point.everybody,
    }


def _row(point: Decisions, why: str = "") -> dict[str, Any]:
    found, missed, alarms, cleared = point.per_100
    row: dict[str, Any] = {
        "threshold": point.threshold,
        "per_100": {
            "found": found,
            "missed": missed,
            "false_alarms": alarms,
            "rightly_left_alone": cleared,
        },
        "net_benefit": point.net_benefit,
        "net_benefit_everybody": point.everybody,
    }
    for name in SHARES:
        share = point.share(name)
        row[name] = None if share is None else {"value": share[0], "ci95": list(share[1])}
    return row | ({"aim": why} if why else {})


def _counts(point: Decisions) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "found": point.found,
        "missed": point.missed,
        "false_alarms": point.false_alarms,
        "rightly_left_alone": point.cleared,
    }


def _aims(together: Histogram) -> list[dict[str, Any]]:
    """Thresholds that reach an aim on these patients; chosen on them, so they flatter a little."""
    found = []
    for what, least, said in (
        ("sensitivity", 0.95, "finds 95 in 100"),
        ("sensitivity", 0.9, "finds 90 in 100"),
        ("specificity", 0.9, "spares 90 in 100"),
    ):
        point = reaching(together, what, least)
        if point is not None and 0 < point.threshold < 1:
            found.append(_row(point, said))
    return found
