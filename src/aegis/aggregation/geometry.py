"""Lengths and distances of rows: one centred Gram matrix for all that compares whole updates.

Squared distances follow from inner products, G_ii + G_jj - 2 G_ij, and lose their digits where rows
lie close together and far from the centre. So rows that do are centred on one of them before
anything is squared, products are added up in float64, and pairs that are still too close for their
distance from the centre (twins, a small cluster far away) are centred on one of their own and done
again.
What is left is exact to 1e-9 for small matrices, and to 1e-6 for large ones of float32, whose
products are taken in float32 unless ``exact`` is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation.combining import Matrix, Numbers, Seen, not_finite
from aegis.aggregation.kernels import CACHE, SMALL, NotFinite

SAMPLE = 512
EXACT = 1e-9


@dataclass(frozen=True)
class Geometry:
    """``distances`` (n, n) are squared; ``error`` bounds them, relatively."""

    distances: Numbers
    error: float

    @property
    def exact(self) -> bool:
        return self.error <= EXACT


def geometry(matrix: Matrix, exact: bool = False) -> Geometry:
    """Squared distances between the rows of ``matrix`` (n, d); ``exact`` takes no shortcut for
    large ones. Raises ``NotFinite``."""
    single = matrix.dtype == np.float32 and matrix.size > SMALL and not exact
    distances, worst = _distances(matrix, slice(None), _centre(matrix), single)
    if not np.isfinite(distances).all():
        if not single:
            raise NotFinite
        return geometry(matrix, exact=True)
    limit = 16.0 if single else 1e5
    _refine(matrix, distances, worst, limit, single)
    np.fill_diagonal(distances, 0.0)
    return Geometry(np.maximum(distances, 0.0), 1e-6 if single else EXACT)


def measured(seen: Seen, exact: bool = False) -> Geometry:
    """The distances between what is to be combined; the hospital whose update has none is named."""
    try:
        return geometry(seen.updates, exact)
    except NotFinite:
        raise not_finite(seen) from None


def gram(
    matrix: Matrix,
    centre: NDArray[np.floating] | None = None,
    rows: NDArray[np.intp] | slice = slice(None),
    single: bool = False,
) -> Numbers:
    """(n, n): inner products of the rows, less ``centre`` (d,)."""
    length = matrix.shape[1]
    kind = np.dtype(np.float32 if single else np.float64)
    count = len(matrix[rows, :1])
    found = np.zeros((count, count))
    width = max(512, min(length, CACHE // (kind.itemsize * max(count, 16))))
    held = np.empty((count, width), dtype=kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for at in range(0, length, width):
            columns = slice(at, min(at + width, length))
            block = held[:, : columns.stop - at]
            if centre is None and matrix.dtype == kind and isinstance(rows, slice):
                block = matrix[rows, columns]
            elif centre is None:
                block[:] = matrix[rows, columns]
            elif single:
                np.subtract(matrix[rows, columns], centre[columns], out=block)
            else:
                block[:] = matrix[rows, columns]
                block -= centre[columns]
            found += block @ block.T
    return found


def _distances(
    matrix: Matrix, rows: NDArray[np.intp] | slice, centre: int | None, single: bool
) -> tuple[Numbers, Numbers]:
    """Squared distances between some rows, and how much larger the squares are that they are the
    difference of."""
    found = gram(matrix, None if centre is None else matrix[centre], rows, single)
    squares = np.diagonal(found)[:, None] + np.diagonal(found)[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = squares - 2 * found
        worst = np.where(squares > 0, squares / np.maximum(distances, 0.0), 1.0)
    return distances, worst


def _refine(matrix: Matrix, distances: Numbers, worst: Numbers, limit: float, single: bool) -> None:
    np.fill_diagonal(worst, 1.0)
    while True:
        close = ~(worst <= limit)
        pairs = close.sum(axis=1)
        centre = int(np.argmax(pairs))
        if not pairs[centre]:
            return
        rows = np.append(np.flatnonzero(close[centre]), centre)
        again, left = _distances(matrix, rows, centre, single)
        left[-1] = left[:, -1] = 1.0
        np.fill_diagonal(left, 1.0)
        place = np.ix_(rows, rows)
        better = left < worst[place]
        distances[place] = np.where(better, again, distances[place])
        worst[place] = np.where(better, left, worst[place])


def _centre(matrix: Matrix) -> int | None:
    """A row among the others, by some of the columns: the one whose median distance is least; none
    where rows lie as far from one another as from zero. It decides how many digits are kept, never
    what comes out."""
    step = max(1, matrix.shape[1] // SAMPLE)
    some = matrix[:, ::step][:, :SAMPLE].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", some, some)
        apart = np.array([((some - row) ** 2).sum(axis=1) for row in some])
    np.fill_diagonal(apart, np.inf)
    if len(some) > 1 and (squares[:, None] + squares < 4 * apart).all():
        return None
    middle = np.median(apart, axis=1)
    return int(np.argmin(np.where(np.isfinite(middle), middle, np.inf)))
