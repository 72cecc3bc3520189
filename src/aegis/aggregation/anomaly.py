"""Who sent an update unlike the others? Four looks at the same rows, each told with its score.

    length      much longer than the others'
    direction   points away from the coordinate-wise median, and the others do not
    signs       goes up (or down) in far more coordinates than the others
    copies      two hospitals far more alike than hospitals are to their nearest: sybils

A score is a robust z: the distance from the median of the *other* hospitals in units of their
median absolute deviation, so a liar does not hide in the spread it made itself (the z of a lone
outlier among n by mean and deviation never exceeds sqrt(n - 1)). Hospitals differ honestly, and few
of them say little about their spread; each look has a least unit, and the fewer there are to
compare with, the wider the unit. Flags are for people to look at: no update is dropped for one, the
rule decides. More liars than honest hospitals look like the normal case, here as anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aegis.aggregation import kernels
from aegis.aggregation.combining import Matrix, Numbers
from aegis.aggregation.conditions import FEWEST
from aegis.aggregation.geometry import geometry

LEAST_LENGTH = 0.5  # in natural logarithms: a factor of 1.65
LEAST_COSINE = 0.15
LEAST_SHARE = 0.05
LEAST_ANGLE = 0.7  # in natural logarithms: a factor of 2
HIGHEST = 1e6


@dataclass(frozen=True)
class Flag:
    """``score`` is the robust z of the look called ``detector``; ``reason`` says it in words."""

    hospital: str
    detector: str
    score: float
    reason: str


def detect(updates: Matrix, names: Sequence[str], *, z_threshold: float = 3.0) -> tuple[Flag, ...]:
    """At most one flag for each of the (n, d) rows, in the order of the names: the look with the
    highest score of those above ``z_threshold``. Fewer than three rows cannot be compared."""
    if len(names) < FEWEST:
        return ()
    lengths = kernels.lengths(updates)
    found = [
        *_long(lengths, names),
        *_away(updates, lengths, names),
        *_onesided(updates, names),
        *_copies(updates, lengths, names),
    ]
    highest: dict[str, Flag] = {}
    for flag in found:
        before = highest.get(flag.hospital)
        if flag.score > z_threshold and (before is None or flag.score > before.score):
            highest[flag.hospital] = flag
    return tuple(highest[name] for name in sorted(highest))


def robust_z(values: Numbers, least: float) -> Numbers:
    """How far each value is from the median of the others, in their deviations, at least
    ``least``."""
    found = np.zeros(len(values))
    for place in range(len(values)):
        others = np.delete(values, place)
        centre = np.median(others)
        deviation = 1.4826 * np.median(np.abs(others - centre)) * (1 + 1 / len(others))
        found[place] = (values[place] - centre) / max(deviation, least)
    return np.clip(found, -HIGHEST, HIGHEST)


def _long(lengths: Numbers, names: Sequence[str]) -> list[Flag]:
    known = lengths[lengths > 0]
    if not len(known):
        return []
    logs = np.log(np.maximum(lengths, 1e-9 * np.median(known)))
    return [
        Flag(
            name,
            "length",
            float(z),
            f"{np.exp(log - np.median(np.delete(logs, i))):.3g} times "
            "as long as the others' median",
        )
        for i, (name, log, z) in enumerate(
            zip(names, logs, robust_z(logs, LEAST_LENGTH), strict=True)
        )
    ]


def _away(updates: Matrix, lengths: Numbers, names: Sequence[str]) -> list[Flag]:
    middle = kernels.median(updates)
    both = lengths * float(np.linalg.norm(middle))
    cosines = np.divide(
        kernels.along(updates, middle), both, out=np.zeros(len(names)), where=both > 0
    )
    return [
        Flag(name, "direction", float(-z), f"points against the median update, cosine {cos:.2f}")
        for name, cos, z in zip(
            names, cosines, robust_z(cosines, _wider(LEAST_COSINE, names)), strict=True
        )
        if cos < 0
    ]


def _wider(least: float, names: Sequence[str]) -> float:
    """Directions of few hospitals differ most where all are honest."""
    return least * (1 + 3 / (len(names) - 1))


def _onesided(updates: Matrix, names: Sequence[str]) -> list[Flag]:
    shares = kernels.upward(updates)
    least = _wider(LEAST_SHARE, names) + 0.5 / np.sqrt(max(1, updates.shape[1]))
    return [
        Flag(name, "signs", float(abs(z)), f"raises {100 * share:.0f} % of the coordinates")
        for name, share, z in zip(names, shares, robust_z(shares, least), strict=True)
    ]


def _copies(updates: Matrix, lengths: Numbers, names: Sequence[str]) -> list[Flag]:
    """By the angle to the most alike other, on a logarithmic scale."""
    both = np.outer(lengths, lengths)
    apart = np.subtract.outer(lengths, lengths) ** 2
    chords = np.full_like(both, 2.0)
    np.divide(geometry(updates).distances - apart, both, out=chords, where=both > 0)
    angles = np.log(np.sqrt(np.maximum(chords, 1e-18)))
    np.fill_diagonal(angles, np.inf)
    nearest = angles.min(axis=1)
    # Among few coordinates two go nearly the same way by chance.
    least = LEAST_ANGLE + 4 / max(1, updates.shape[1])
    flags = []
    for place, name in enumerate(names):
        # Its own copies must not set what is normal for it.
        twin = int(np.argmin(angles[place]))
        alike = angles[place] <= nearest[place] + 0.5
        others = np.delete(nearest, np.flatnonzero(alike | (np.arange(len(names)) == place)))
        if not len(others):
            continue
        centre = float(np.median(others))
        deviation = 1.4826 * np.median(np.abs(others - centre)) * (1 + 1 / len(others))
        score = (centre - nearest[place]) / max(deviation, least)
        flags.append(
            Flag(name, "copies", float(min(score, HIGHEST)), f"goes the same way as {names[twin]}")
        )
    return flags
