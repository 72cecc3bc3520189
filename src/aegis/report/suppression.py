"""Which cells of a table of counts may be shown.

A cell under the minimum is never shown. Hiding it alone does not hide it: the other cells of its
row, or of its column, and the total give it back. So every small cell is put on a rectangle of
hidden cells along which one patient could be moved without changing any figure that is shown;
whoever reads the table then cannot tell the true count from at least one other (Cox 1980 for the
principle). Hidden cells of at least the minimum are marked differently, so the move must also
leave each hidden cell on its own side of the minimum. Where no such rectangle exists the whole
table is withheld.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

OVERALL_COST = 8.0
UNSEEN_COST = 0.25


class Cell(IntEnum):
    SHOWN = 0
    SMALL = 1
    WITHHELD = 2


def suppress(
    counts: NDArray[np.int64], minimum: int, unseen: tuple[int, ...] = ()
) -> NDArray[np.int8]:
    """The ``Cell`` of each count.

    ``counts`` is (parts, groups + 1): each group's patients split into parts, the last column the
    sum of the others. Column sums are taken as known. ``unseen`` columns are not printed, but
    follow from those that are. Every printed group must hold at least ``minimum`` patients.
    """
    small = counts < minimum
    hidden = small.copy()
    rises = np.where(small, counts + 1 < minimum, True)
    falls = np.where(small, counts > 0, counts > minimum)
    price = _prices(counts, unseen)
    sign = np.ones(counts.shape[1])
    sign[-1] = -1.0
    for r, c in np.argwhere(small):
        corner = _cheapest(int(r), int(c), hidden, rises, falls, price, sign)
        if corner is None:
            return np.full(counts.shape, Cell.WITHHELD, dtype=np.int8)
        row, column = corner
        hidden[row, c] = hidden[r, column] = hidden[row, column] = True
    status = np.where(hidden, Cell.WITHHELD, Cell.SHOWN)
    status[small] = Cell.SMALL
    return status.astype(np.int8)


def large_enough(sizes: Mapping[str, int], minimum: int, unnamed: int = 0) -> tuple[str, ...]:
    """The groups that may have figures of their own where the figures of all together are known.
    The others are two at least and hold ``minimum`` patients together, so that no one of them
    follows by subtraction. ``unnamed`` patients belong to no group of these."""
    by_size = sorted(sizes, key=lambda name: sizes[name])
    hidden = [unnamed] if unnamed else []
    for place, name in enumerate(by_size):
        safe = not hidden or min(hidden) >= minimum or (len(hidden) > 1 and sum(hidden) >= minimum)
        if sizes[name] >= minimum and safe:
            return tuple(name for name in sizes if name in by_size[place:])
        if sizes[name]:
            hidden.append(sizes[name])
    return ()


def _prices(counts: NDArray[np.int64], unseen: tuple[int, ...]) -> NDArray[np.float64]:
    """What hiding a cell loses: mostly one cell each, a little more where it is large."""
    price: NDArray[np.float64] = 1.0 + counts / (1.0 + counts.max(initial=0))
    price[:, -1] += OVERALL_COST
    price[:, list(unseen)] = UNSEEN_COST
    return price


def _cheapest(
    r: int,
    c: int,
    hidden: NDArray[np.bool_],
    rises: NDArray[np.bool_],
    falls: NDArray[np.bool_],
    price: NDArray[np.float64],
    sign: NDArray[np.float64],
) -> tuple[int, int] | None:
    """The opposite corner of the cheapest rectangle through (r, c) that leaves room to move."""
    cost = np.where(hidden, 0.0, price)
    total = cost[r, :][None, :] + cost[:, c][:, None] + cost
    along = sign * sign[c] > 0
    best: tuple[float, int, int] | None = None
    for up, down in ((rises, falls), (falls, rises)):
        if not up[r, c]:
            continue
        beside = np.where(along, down[r, :], up[r, :])
        across = np.where(along[None, :], up, down)
        fits = beside[None, :] & down[:, c][:, None] & across
        fits[r, :] = False
        fits[:, c] = False
        if fits.any():
            at = int(np.argmin(np.where(fits, total, np.inf)))
            row, column = divmod(at, total.shape[1])
            if best is None or total[row, column] < best[0]:
                best = float(total[row, column]), row, column
    return None if best is None else best[1:]
