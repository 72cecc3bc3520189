"""What did each hospital gain? The shared model beside its own, on the same held-out patients.

Four models are judged where they exist: the hospital's own (``alone``), the shared one
(``federated``), the shared one fitted to the hospital afterwards (``tuned``), and one trained on
everybody's rows in one place (``pooled``), which only a simulation can have. A difference is paired
by patient and has an interval of its own; it counts as clear only where that leaves out zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.evaluation.intervals import paired_difference, wilson

Right: TypeAlias = NDArray[np.bool_]
"""(n,) for each test patient, whether the model said what is."""

# What is compared with what: name of the difference -> (ours, theirs).
PAIRS: Mapping[str, tuple[str, str]] = {
    "difference": ("federated", "alone"),
    "tuned_difference": ("tuned", "federated"),
    "tuned_over_alone": ("tuned", "alone"),
    "pooled_difference": ("federated", "pooled"),
}


def share(right: Right) -> dict[str, Any]:
    return {"accuracy": float(right.mean()), "ci95": list(wilson(int(right.sum()), len(right)))}


def paired(ours: Right, theirs: Right, seed: int = 0) -> dict[str, Any]:
    """``ours`` minus ``theirs``, in accuracy, with its interval."""
    difference, low, high = paired_difference(ours, theirs, seed=seed)
    return {"accuracy": difference, "ci95": [low, high]}


def benefit(judged: Mapping[str, Right | None], seed: int = 0) -> dict[str, Any]:
    """One hospital: how many patients, each model's accuracy, and every difference that exists.
    ``judged`` holds the models by name, all on the same patients."""
    there = {name: right for name, right in judged.items() if right is not None}
    row: dict[str, Any] = {"examples": len(next(iter(there.values())))}
    row |= {name: share(right) for name, right in there.items()}
    for name, (ours, theirs) in PAIRS.items():
        if ours in there and theirs in there:
            row[name] = paired(there[ours], there[theirs], seed)
    return row


def summary(rows: Sequence[Mapping[str, Any]], name: str = "difference") -> dict[str, int]:
    """In how many hospitals the difference is clear, either way."""
    found = [row[name]["ci95"] for row in rows if name in row]
    better, worse = sum(low > 0 for low, _ in found), sum(high < 0 for _, high in found)
    return {"better": better, "worse": worse, "no_clear_difference": len(found) - better - worse}


def together(judged: Sequence[Mapping[str, Right | None]]) -> dict[str, Any]:
    """Every difference over the patients of all hospitals that have both models, one after the
    other, with how many these are."""
    found: dict[str, Any] = {}
    for name, (ours, theirs) in PAIRS.items():
        pairs = [
            (a, b)
            for models in judged
            if (a := models.get(ours)) is not None and (b := models.get(theirs)) is not None
        ]
        if pairs:
            one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
            found[name] = {**paired(one, other), "examples": len(one), "hospitals": len(pairs)}
    return found


def sentence(found: Mapping[str, Any]) -> str:
    """What ``together`` comes to, said plainly; a gain that cannot be told from chance is none."""
    parts = []
    if "difference" in found:
        parts.append(_gain(found["difference"]))
    if "tuned_difference" in found:
        low, high = found["tuned_difference"]["ci95"]
        size = _points(found["tuned_difference"])
        if low > 0:
            parts.append(f"Fitting it to each hospital afterwards is clearly better still ({size})")
        elif high < 0:
            parts.append(f"Fitting it to each hospital afterwards makes it clearly worse ({size})")
        else:
            parts.append(
                f"Fitting it to each hospital afterwards makes no measurable difference ({size})"
            )
    if "pooled_difference" in found:
        low, high = found["pooled_difference"]["ci95"]
        size = _points(found["pooled_difference"])
        if low <= 0 <= high:
            parts.append(f"It is not measurably different from a model of all rows ({size})")
        else:
            word = "better" if low > 0 else "worse"
            parts.append(f"It is clearly {word} than a model of all rows in one place ({size})")
    return "".join(f"{part}. " for part in parts).strip()


def _gain(difference: Mapping[str, Any]) -> str:
    low, high = difference["ci95"]
    on = f"on each hospital's own test patients ({difference['examples']:,} together)"
    size = _points(difference)
    if low > 0:
        return f"Measurable gain: {on} the shared model beats the hospitals' own models ({size})"
    if high < 0:
        return (
            f"No gain, a loss: {on} the shared model is worse than the hospitals' own models "
            f"({size})"
        )
    return (
        f"No measurable gain: {on} the shared model and the hospitals' own models cannot be told "
        f"apart ({size})"
    )


def _points(difference: Mapping[str, Any]) -> str:
    low, high = difference["ci95"]
    value = difference["accuracy"]
    if low == high == 0:
        return "right for exactly the same patients"
    return f"{_signed(value)} points, 95 % interval {_signed(low)} to {_signed(high)}"


def _signed(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
