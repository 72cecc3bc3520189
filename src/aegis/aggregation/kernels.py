"""Coordinate by coordinate, block by block: medians, trimmed means and sums of many long rows.

A block of columns that fits into the cache is sorted at once: by a sorting network where the rows
are few, by sorting each column where they are many. Extra memory is the result and a few blocks,
whatever the number of rows.
Up to ``SMALL`` numbers everything is float64. Larger float32 matrices are compared as they are and
multiplied in float32, in groups whose sums are float64: an error below 1e-5 of the largest term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation.combining import Matrix, Numbers
from aegis.aggregation.networks import middle_of

SMALL = 1 << 22
CACHE = 1 << 20  # bytes
GROUP = 32
MOST_IN_NETWORK = 28

Rows: TypeAlias = Sequence[Matrix] | Matrix


class NotFinite(ArithmeticError):
    """A row holds a number that cannot be ordered or added."""


def widened(matrix: Matrix) -> Matrix:
    """Small matrices in float64, large ones as they are."""
    return matrix.astype(np.float64, copy=False) if matrix.size <= SMALL else matrix


def weighted_sum(matrix: Matrix, shares: NDArray[np.floating]) -> Numbers:
    """(d,): the rows times their shares; in float64 added row after row, so that the number of
    threads is of no account. Raises ``NotFinite``."""
    rows, length = matrix.shape
    found = np.empty(length)
    source = widened(matrix)
    factors = np.asarray(shares, dtype=source.dtype)
    for columns in _blocks(length, rows * source.itemsize):
        block = source[:, columns]
        if source.dtype == np.float64:
            found[columns] = np.einsum("i,ij->j", factors, block)
            continue
        found[columns] = factors[:GROUP] @ block[:GROUP]
        for at in range(GROUP, rows, GROUP):
            found[columns] += factors[at : at + GROUP] @ block[at : at + GROUP]
    if not np.isfinite(found).all():
        raise NotFinite
    return found


def lengths(matrix: Matrix) -> Numbers:
    """(n,): the Euclidean length of each row; infinite where its square is."""
    squares = np.zeros(len(matrix))
    for columns in _blocks(matrix.shape[1], len(matrix) * 8):
        block = matrix[:, columns].astype(np.float64)
        squares += np.einsum("ij,ij->i", block, block)
    found: Numbers = np.sqrt(squares)
    return found


def along(matrix: Matrix, vector: Numbers) -> Numbers:
    """(n,): the inner product of each row with ``vector``."""
    found = np.zeros(len(matrix))
    for columns in _blocks(matrix.shape[1], len(matrix) * 8):
        found += matrix[:, columns].astype(np.float64) @ vector[columns]
    return found


def upward(matrix: Matrix) -> Numbers:
    """(n,): of each row's numbers that are not 0, the share above 0; a half where there is none."""
    above, moved = np.zeros(len(matrix)), np.zeros(len(matrix))
    for columns in _blocks(matrix.shape[1], len(matrix) * 8):
        block = matrix[:, columns]
        above += np.count_nonzero(block > 0, axis=1)
        moved += np.count_nonzero(block, axis=1)
    shares: Numbers = np.divide(above, moved, out=np.full(len(matrix), 0.5), where=moved > 0)
    return shares


def median(matrix: Matrix) -> Numbers:
    """(d,): the median of each column, of an even number the mean of the two in the middle."""
    rows, length = matrix.shape
    found = np.empty(length)
    for columns, middle in sorted_middle(matrix, (rows - 1) // 2, rows // 2 + 1):
        if rows % 2:
            found[columns] = middle[0]
        else:
            np.add(middle[0] * 0.5, middle[-1] * 0.5, out=found[columns])
    return found


def trimmed_mean(matrix: Matrix, trim: int, mixed: Numbers | None = None) -> Numbers:
    """(d,): the mean of each column without its ``trim`` least and ``trim`` greatest values.
    ``mixed`` (m, n) makes m other rows of the n before anything is trimmed."""
    rows, length = matrix.shape if mixed is None else (len(mixed), matrix.shape[1])
    if not 0 <= 2 * trim < rows:
        raise ValueError(f"{rows} rows cannot lose {trim} at each end")
    found = np.empty(length)
    for columns, middle in sorted_middle(matrix, trim, rows - trim, mixed=mixed):
        found[columns] = _added(middle)
        found[columns] /= rows - 2 * trim
    return found


def mean_around_median(matrix: Matrix, kept: int, chosen: Sequence[int] | None = None) -> Numbers:
    """(d,): in each column the mean of the ``kept`` values nearest to the median; of two equally
    near the lesser. ``chosen`` are the rows that count."""
    rows = len(matrix) if chosen is None else len(chosen)
    length = matrix.shape[1]
    found = np.empty(length)
    spare = rows - kept
    for columns, ordered in sorted_middle(matrix, 0, rows, ordered=True, chosen=chosen):
        centre = 0.5 * ordered[(rows - 1) // 2] + 0.5 * ordered[rows // 2]
        # The nearest are neighbours in sorted order: each of the least is kept, or its place is
        # taken by the value ``kept`` places above.
        if spare > kept:
            values = np.asarray(ordered)
            moved = values[kept:] - centre < centre - values[:spare]
            first = np.count_nonzero(moved, axis=0)
            nearest = np.take_along_axis(values, first + np.arange(kept)[:, None], axis=0)
            found[columns] = nearest.sum(axis=0)
        elif isinstance(ordered, np.ndarray):
            found[columns] = _added(_nearer(ordered[:spare], ordered[kept:], centre))
            found[columns] += _added(ordered[spare:kept])
        else:
            places = [_nearer(ordered[k], ordered[kept + k], centre) for k in range(spare)]
            found[columns] = _added([*places, *ordered[spare:kept]])
        found[columns] /= kept
    return found


def _nearer(below: Matrix, above: Matrix, centre: Matrix) -> Matrix:
    """Of two values the one nearer to the centre, by bits: a choice that no processor can foresee
    would cost ten times as much."""
    whole = np.int32 if below.dtype == np.float32 else np.int64
    chosen = np.negative((above - centre < centre - below).astype(whole))
    chosen &= above.view(whole) ^ below.view(whole)
    chosen ^= below.view(whole)
    nearer: Matrix = chosen.view(below.dtype)
    return nearer


def sorted_middle(
    matrix: Matrix,
    low: int,
    high: int,
    *,
    ordered: bool = False,
    mixed: Numbers | None = None,
    chosen: Sequence[int] | None = None,
) -> Iterator[tuple[slice, Rows]]:
    """For each block of columns its values ``low`` to ``high - 1`` by size, as rows; in order among
    themselves only where ``ordered``. Valid until the next block. Raises ``NotFinite``."""
    source = widened(matrix)
    rows = len(mixed) if mixed is not None else len(source if chosen is None else chosen)
    kind = np.dtype(np.float64) if mixed is not None else source.dtype
    held = kind.itemsize * 2 * max(rows, len(source))
    ones = np.ones(_width(source.shape[1], held), dtype=source.dtype)
    sort = _by_network if rows <= MOST_IN_NETWORK else _by_columns
    sorter = sort(rows, low, high, ordered, kind, len(ones))
    for columns in _blocks(source.shape[1], held):
        block = source[:, columns]
        if not np.isfinite(block @ ones[: block.shape[1]]).all() and not np.isfinite(block).all():
            raise NotFinite
        if mixed is not None:
            block = mixed @ block
        yield columns, sorter(block if chosen is None else [block[row] for row in chosen])


def _by_network(
    rows: int, low: int, high: int, ordered: bool, kind: np.dtype[Any], width: int
) -> Callable[[Rows], Rows]:
    program = middle_of(rows, low, high, ordered)
    scratch = np.empty((program.scratch, width), dtype=kind)

    def run(block: Rows) -> Rows:
        buffers = [*block, *scratch[:, : block[0].size]]
        for least, left, right, out in program.operations:
            (np.minimum if least else np.maximum)(buffers[left], buffers[right], out=buffers[out])
        return [buffers[place] for place in program.result]

    return run


def _by_columns(
    rows: int, low: int, high: int, ordered: bool, kind: np.dtype[Any], width: int
) -> Callable[[Rows], Rows]:
    straight = np.empty((rows, width), dtype=kind)
    turned = np.empty((width, rows), dtype=kind)

    def run(block: Rows) -> Rows:
        # Rows lie far apart: copied together first, they are turned within the cache.
        here, columns = straight[:, : block[0].size], turned[: block[0].size]
        for row, values in zip(here, block, strict=True):
            row[:] = values
        columns[:] = here.T
        columns.sort(axis=1)
        return columns[:, low:high].T

    return run


def _added(rows: Rows) -> Matrix:
    if isinstance(rows, np.ndarray):
        total: Matrix = np.ones(len(rows), dtype=rows.dtype) @ rows
        return total
    total = rows[0] + rows[1] if len(rows) > 1 else rows[0]
    for row in rows[2:]:
        total += row
    return total


def _width(length: int, bytes_per_column: int) -> int:
    fitting = max(256, CACHE // max(1, bytes_per_column) // 64 * 64)
    return max(1, min(length, fitting))


def _blocks(length: int, bytes_per_column: int) -> Iterator[slice]:
    width = _width(length, bytes_per_column)
    for at in range(0, length, width):
        yield slice(at, min(at + width, length))
