"""The positive control: a twin that remembers every patient, which an audit must be able to catch.

The twin is a kernel interpolation (kernel ridge regression with almost no ridge and a narrow
Gaussian kernel) trained on labels of which one in ten is wrong. It fits even the wrong ones, so
what it says about a patient depends on whether that patient was in its training. It needs no
network and no tuning, and takes one linear solve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.patients import Floats, Patients, Predict

WRONG_LABELS = 0.1
SURENESS = 4.0  # log-odds where the interpolated label is fully one class
RIDGE = 1e-3
MOST_ROWS = 1000


def overfit_twin(patients: Patients, seed: int) -> Predict:
    """Train the twin on these rows; two classes give logits (m,), k classes (m, k)."""
    flat = _flat(patients.design)
    centre, scale = flat.mean(0), flat.std(0)
    scale[scale <= 1e-9 * (1 + np.abs(centre))] = 1.0
    known = (flat - centre) / scale
    classes = max(int(patients.labels.max()) + 1, 2)
    wanted = np.where(np.arange(classes) == patients.labels[:, None], 1.0, -1.0)
    apart = _squared_distances(known, known)
    width = _width(apart)
    kernel = np.exp(-apart / width)
    solved = np.linalg.solve(kernel + RIDGE * np.eye(len(known)), wanted)

    def predict(design: NDArray[Any]) -> Floats:
        near = np.exp(-_squared_distances((_flat(design) - centre) / scale, known) / width)
        said = SURENESS * near @ solved
        return said[:, 1] if classes == 2 else said

    return predict


def with_wrong_labels(patients: Patients, seed: int) -> Patients:
    """One label in ten moved to the next class; for the control only."""
    rng = np.random.default_rng(seed)
    classes = max(int(patients.labels.max()) + 1, 2)
    wrong = rng.random(len(patients)) < WRONG_LABELS
    labels = np.where(wrong, (patients.labels + 1) % classes, patients.labels)
    return Patients(patients.design, labels, patients.hospitals)


def _width(apart: Floats) -> float:
    """Half the usual squared distance, or four times that of the nearest neighbours if that is
    less: with few columns the others are so close that a wide kernel could not remember anybody."""
    different = np.where(apart > 1e-9, apart, np.nan)
    if np.isnan(different).all():
        return 1.0
    known = ~np.isnan(different).all(axis=1)
    nearest = np.nanmin(different[known], axis=1)
    return float(min(np.nanmedian(different) / 2, 4 * np.median(nearest)))


def _flat(design: NDArray[Any]) -> Floats:
    return np.asarray(design, dtype=np.float64).reshape(len(design), -1)


def _squared_distances(ours: Floats, theirs: Floats) -> Floats:
    squares = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T
    return np.asarray(np.maximum(squares, 0.0))
