"""Newton's step from the hospitals' mean gradient and curvature (Fisher scoring, exact for the
logistic model): the step that one fit over all rows would take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, NothingLearned
from aegis.messages import Vector


def unpack(vector: Vector, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient (size,) and symmetric Hessian (size, size) from what the hospitals send: the
    gradient, then the Hessian's upper triangle row by row."""
    length = size + size * (size + 1) // 2
    if vector.shape != (length,):
        raise BadInput(
            f"a vector of {vector.shape} is no gradient and curvature of {size} parameters",
            f"it needs {length} numbers",
        )
    rows, columns = np.triu_indices(size)
    hessian = np.zeros((size, size))
    hessian[rows, columns] = hessian[columns, rows] = vector[size:]
    return vector[:size].astype(np.float64), hessian


def newton_step(vector: Vector, size: int) -> NDArray[np.float64]:
    """The change of the weights, -H^-1 g.

    Directions in which the rows say nothing (a constant column, twin columns) get no change: the
    eigenvalues of the scaled Hessian that are zero to rounding are left out.
    """
    gradient, hessian = unpack(vector, size)
    if not np.isfinite(vector).all():
        raise NothingLearned("the hospitals' mean gradient or curvature is not finite")
    scale = np.sqrt(np.maximum(np.diagonal(hessian), 0))
    scale[scale == 0] = 1.0
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    known = values > size * np.finfo(np.float64).eps * max(float(values[-1]), 1.0)
    along = vectors[:, known].T @ (gradient / scale)
    step: NDArray[np.float64] = -(vectors[:, known] @ (along / values[known])) / scale
    return step
