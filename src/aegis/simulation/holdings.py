"""What each simulated hospital holds, and the table that says so.

The table is shown and stored with every simulated run, so that nobody has to guess how different
the hospitals were whose model is being compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.task import Rows


@dataclass(frozen=True)
class HospitalRows:
    """``validation`` and ``test`` may be empty; a hospital with one row trains on it."""

    train: Rows
    validation: Rows
    test: Rows

    def __len__(self) -> int:
        return len(self.train) + len(self.validation) + len(self.test)


def describe(
    parts: Mapping[str, HospitalRows], below: int | None = None, classes: int = 2
) -> list[dict[str, int | float | str | None]]:
    """One row for each hospital: how many rows, who they are, how ill; of more than two ``classes``
    how many are there.

    Shares are between 0 and 1; a figure that does not exist is None. ``below`` (a smallest cell,
    say 10) is for tables that leave the house: a smaller count then reads "fewer than 10",
    whatever would give it back by subtraction is None, and so are the ages of single patients.
    """
    return [_described(name, part, below, classes) for name, part in parts.items()]


def label_skew(parts: Mapping[str, HospitalRows]) -> float:
    """How far hospitals' shares of each class lie from the share of all (total variation), weighted
    by rows; 0 where all are alike, of two classes at most 2 * p * (1 - p)."""
    sizes = np.array([len(part) for part in parts.values()], dtype=np.float64)
    most = 1 + max((int(_labels(part).max(initial=0)) for part in parts.values()), default=0)
    of_class = np.stack([np.bincount(_labels(part), minlength=most) for part in parts.values()])
    overall = of_class.sum(axis=0) / sizes.sum()
    return float(np.abs(of_class - overall * sizes[:, None]).sum() / (2 * sizes.sum()))


def _labels(part: HospitalRows) -> NDArray[np.int64]:
    return np.concatenate([part.train.labels, part.validation.labels, part.test.labels])


def _attribute(part: HospitalRows, name: str) -> NDArray[Any] | None:
    found = [rows.attributes.get(name) for rows in (part.train, part.validation, part.test)]
    there = [values for values in found if values is not None]
    return np.concatenate(there) if len(there) == len(found) else None


def _described(
    name: str, part: HospitalRows, below: int | None, classes: int
) -> dict[str, int | float | str | None]:
    least = below or 0
    rows, positives = len(part), int(_labels(part).sum())
    counts = {"train": len(part.train), "validation": len(part.validation), "test": len(part.test)}
    told_apart = not any(0 < count < least for count in counts.values())
    row: dict[str, int | float | str | None] = {
        "hospital": name,
        "rows": rows if rows >= least else f"fewer than {least}",
        **{which: count if told_apart else None for which, count in counts.items()},
        **(
            _share("positives", "positive_share", positives, rows, least)
            if classes == 2
            else {"classes": len(np.unique(_labels(part))), "of_classes": classes}
        ),
    }
    ages, sexes = _attribute(part, "age"), _attribute(part, "sex")
    if ages is not None:
        known = ages[~np.isnan(ages)]
        shown = len(known) >= max(least, 1)
        row |= {
            "age_mean": float(known.mean()) if shown else None,
            "age_sd": float(known.std()) if shown else None,
            "age_min": float(known.min()) if shown and below is None else None,
            "age_max": float(known.max()) if shown and below is None else None,
        }
    if sexes is not None:
        women, told = int((sexes == "female").sum()), int((sexes != "").sum())
        row |= _share("women", "female_share", women, told, least)
    return row


def _share(
    count_name: str, share_name: str, count: int, total: int, least: int
) -> dict[str, int | float | str | None]:
    if count < least:
        return {count_name: f"fewer than {least}", share_name: None}
    if total - count < least or total == 0:
        return {count_name: None if total else 0, share_name: None}
    return {count_name: count, share_name: count / total}
