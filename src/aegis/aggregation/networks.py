"""Sorting networks, cut down to what is asked of them, as short programs over buffers.

Batcher's odd-even merge sort (1968) compares rows in an order that does not depend on the values,
so whole blocks are compared at once by ``minimum`` and ``maximum``. Asked only for the middle of
the sorted rows, most last comparisons fall away: going backwards, a comparison is dropped where
both its rows end in the middle, whose order is of no interest, or both outside, and half of it
where one result is never looked at again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

Part: TypeAlias = Literal["middle", "outside"] | None


class Operation(NamedTuple):
    """``buffers[out] = least or most of buffers[left], buffers[right]``."""

    least: bool
    left: int
    right: int
    out: int


class Program(NamedTuple):
    """Buffers 0 to n-1 are the rows, which are never written to; ``scratch`` more are needed.
    The middle lies in ``result`` afterwards."""

    operations: tuple[Operation, ...]
    scratch: int
    result: tuple[int, ...]


def comparisons(rows: int) -> list[tuple[int, int]]:
    """Batcher's network for any number of rows: pairs whose lesser goes to the first place."""
    found = []
    merged = 1
    while merged < rows:
        apart = merged
        while apart >= 1:
            for start in range(apart % merged, rows - apart, 2 * apart):
                for step in range(min(apart, rows - start - apart)):
                    low = start + step
                    if low // (2 * merged) == (low + apart) // (2 * merged):
                        found.append((low, low + apart))
            apart //= 2
        merged *= 2
    return found


@lru_cache(maxsize=256)
def middle_of(rows: int, low: int, high: int, ordered: bool = False) -> Program:
    """A program for the sorted rows ``low`` to ``high - 1``; among themselves in order only where
    ``ordered``."""
    return _placed(_needed(rows, low, high, ordered), rows, low, high)


def _needed(rows: int, low: int, high: int, ordered: bool) -> list[tuple[int, int, bool, bool]]:
    parts: list[Part] = ["outside"] * rows
    parts[low:high] = ["middle"] * (high - low)
    if ordered:
        parts[low:high] = [None] * (high - low)
    kept = []
    for left, right in reversed(comparisons(rows)):
        first, second = parts[left], parts[right]
        if first is not None and first == second:
            continue
        kept.append((left, right, first != "outside", second != "outside"))
        parts[left] = parts[right] = None
    return kept[::-1]


def _placed(steps: list[tuple[int, int, bool, bool]], rows: int, low: int, high: int) -> Program:
    """Each result gets a buffer; one that is not looked at again is used anew."""
    at = list(range(rows))
    free: list[int] = []
    used = rows
    operations = []

    def place() -> int:
        nonlocal used
        if free:
            return free.pop()
        used += 1
        return used - 1

    for left, right, least, most in steps:
        a, b = at[left], at[right]
        own = [buffer for buffer in (a, b) if buffer >= rows]
        if least and most:
            lower = place()
            upper = own.pop() if own else place()
            operations += [Operation(True, a, b, lower), Operation(False, a, b, upper)]
            at[left], at[right] = lower, upper
        else:
            out = own.pop() if own else place()
            operations.append(Operation(least, a, b, out))
            at[left if least else right] = out
        free += own
    return Program(tuple(operations), used - rows, tuple(at[low:high]))
