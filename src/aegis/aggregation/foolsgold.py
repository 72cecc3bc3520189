"""FoolsGold: hospitals that have always pushed the same way share one voice (Fung et al. 2020).

Each hospital's updates are added up over the rounds, by name. Two that have gone the same way ever
since look like one attacker under two names (sybils); a hospital that is merely near a pair of
sybils is pardoned in the proportion of its own likeness to theirs. There is no bound on how many
sybils there may be, and no defence against a single liar.

The history is what a resumed run needs: one vector per hospital, in ``memory``. Long updates are
folded to ``WIDEST`` numbers by random signs that follow from the seed, which keeps the cosine to
about a fifth of a per cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aegis.aggregation import kernels
from aegis.aggregation.combining import (
    OWN,
    Combined,
    Matrix,
    Memory,
    Numbers,
    RobustRule,
    Seen,
    capped,
    not_finite,
)
from aegis.aggregation.geometry import gram
from aegis.errors import RunAborted

HISTORY = f"{OWN}history/"
WIDEST = 1 << 18
ALIKE = 1e-9


@dataclass(frozen=True)
class FoolsGold(RobustRule):
    """The mean of the updates by how unlike the others each hospital's history is. Examples count,
    none more than three times their median."""

    seed: int = 0

    name: ClassVar[str] = "foolsgold"
    paper: ClassVar[str] = (
        "Fung et al. 2020, The limitations of federated learning in sybil settings"
    )

    def combine(self, seen: Seen) -> Combined:
        memory = self._remembered(seen)
        names = sorted(memory)
        histories: Numbers = np.stack([memory[name] for name in names]).astype(np.float64)
        trusted = dict(zip(names, trust(_cosines(histories)), strict=True))
        likeness = np.array([trusted[HISTORY + name] for name in seen.names])
        shares = likeness * capped(seen.weights)
        if not shares.sum() > 0:
            raise RunAborted(
                f"{self.name} takes {', '.join(seen.names[:5])} for copies of one another",
                "at least one hospital must have gone a way of its own",
                "Look at the hospitals named, or use robust_aggregation.method: median",
            )
        shares /= shares.sum()
        try:
            return Combined(kernels.weighted_sum(seen.updates, shares), memory, shares)
        except kernels.NotFinite:
            raise not_finite(seen) from None

    def _remembered(self, seen: Seen) -> Memory:
        """All histories, this round's updates included."""
        memory = {key: value for key, value in seen.memory.items() if key.startswith(HISTORY)}
        for name, update in zip(seen.names, folded(seen.updates, self.seed), strict=True):
            if not np.isfinite(update).all():
                raise not_finite(seen)
            before = memory.get(HISTORY + name)
            known = before is not None and before.shape == update.shape
            memory[HISTORY + name] = before + update if known else update
        return memory


def trust(cosines: Numbers) -> Numbers:
    """The voice of each of n hospitals, from 0 to 1, from the cosines between their histories:
    pardoning, rescaling and the logit of the paper's algorithm 1, with a confidence of 1."""
    likest = np.where(np.eye(len(cosines), dtype=bool), -np.inf, cosines).max(axis=1)
    pardoned = cosines.copy()
    for one in range(len(cosines)):
        for other in range(len(cosines)):
            if one != other and likest[other] > likest[one] and likest[other] > 0:
                pardoned[one, other] *= likest[one] / likest[other]
    np.fill_diagonal(pardoned, -np.inf)
    voice = np.clip(1.0 - pardoned.max(axis=1), 0.0, 1.0)
    if not voice.max() > ALIKE:
        return np.zeros(len(voice))
    voice /= voice.max()
    with np.errstate(divide="ignore"):
        sure: Numbers = np.clip(np.log(voice / (1.0 - voice)) + 0.5, 0.0, 1.0)
    return sure


def folded(updates: Matrix, seed: int) -> Numbers:
    """The rows, in float64, at most ``WIDEST`` long."""
    rows, length = updates.shape
    if length <= WIDEST:
        return np.asarray(updates, dtype=np.float64)
    found = np.zeros((rows, WIDEST))
    draw = np.random.Generator(np.random.Philox(key=[seed, 0]))
    for at in range(0, length, WIDEST):
        block = updates[:, at : at + WIDEST]
        signs = draw.integers(0, 2, size=block.shape[1], dtype=np.int8) * 2 - 1
        found[:, : block.shape[1]] += block * signs.astype(np.float64)
    return found


def _cosines(histories: Numbers) -> Numbers:
    """Of two that stand still nothing is known: their cosine is 0."""
    longest = np.abs(histories).max(axis=1, keepdims=True)
    inner = gram(np.divide(histories, longest, out=np.zeros_like(histories), where=longest > 0))
    lengths = np.sqrt(np.diagonal(inner))
    both = np.outer(lengths, lengths)
    cosines = np.divide(inner, both, out=np.zeros_like(inner), where=both > 0)
    return np.asarray(np.clip(cosines, -1.0, 1.0), dtype=np.float64)
