"""Columns brought to one scale by what is known without any patient: their public ranges.

A range [low, high] goes to [-1, 1]; what lies outside is clipped; a missing value becomes 0, the
middle. Amounts, which crowd at the low end of a wide range, are drawn apart by a square root first:
where the range begins at 0 or spans a factor of 6. No number here depends on data, so none of it is
charged, and one patient's row changes no other patient's.

Typical ranges (about 5 to 95 of 100 patients) serve better than the widest possible ones: clipping
tails is harmless, squeezing everybody into a corner is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput

SPAN = 6.0
_PLAIN = re.compile(r"[A-Za-z_][\w -]*\w|[A-Za-z_]")


def written_down(names: Sequence[str], what: str) -> str:
    """Where the owner of a table writes what is public about these columns."""
    import json

    first = names[0] if _PLAIN.fullmatch(names[0]) else json.dumps(names[0], ensure_ascii=False)
    each = " and so on" if len(names) > 1 else ""
    return (
        f"Write to columns.yaml beside the table's file:  columns: {{{first}: {{{what}}}}}{each}. "
        "A plug-in task says it in its Column"
    )


def is_amount(low: float, high: float) -> bool:
    """Whether this range calls for the square root."""
    return low == 0 or (low > 0 and high / low >= SPAN)


def public_map(
    values: NDArray[np.floating], low: float, high: float, flag: bool = False
) -> NDArray[np.float64]:
    """(n,) numbers to [-1, 1]; NaN to 0. A ``flag`` is 0 or 1 and knows no square root.

    Raises ``BadInput`` for a range that is empty or not finite.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(
            f"{low} to {high} is no public range", "it needs two numbers, low below high"
        )
    above = np.clip(np.asarray(values, np.float64) - low, 0.0, high - low)
    if not flag and is_amount(low, high):
        share = np.sqrt(above / (high - low))
    else:
        share = above / (high - low)
    return np.nan_to_num(2.0 * share - 1.0, nan=0.0)


def indicator(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n,) 1 where a value is missing (NaN, or the empty word), else 0.

    Which columns get one must be public knowledge too: an indicator that appears because somebody
    misses the value is a release.
    """
    found = values == "" if values.dtype.kind == "U" else np.isnan(values.astype(np.float64))
    return found.astype(np.float64)


def one_hot(values: NDArray[np.str_], categories: tuple[str, ...]) -> NDArray[np.float64]:
    """(n, categories - 1) of 0 and 1, without the first category, the reference."""
    return np.stack([values == word for word in categories[1:]], axis=1).astype(np.float64)
