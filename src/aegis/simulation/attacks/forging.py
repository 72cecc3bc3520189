"""Updates that dishonest hospitals send in place of their own: rows (f, d) from what they see."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from aegis.simulation.attacks.attack import Matrix, Sight


def own(sight: Sight, strength: float | None) -> Matrix:
    """What it learned (on rows that may be poisoned), ``strength`` times as long."""
    return (strength or 1.0) * sight.own


def reversed_own(sight: Sight, strength: float | None) -> Matrix:
    return -(strength or 1.0) * sight.own


def gaussian(sight: Sight, strength: float | None) -> Matrix:
    """Noise of equal spread in all directions, ``strength`` times as long as the median update."""
    length = (strength or 1.0) * float(np.median(np.linalg.norm(sight.honest, axis=1)))
    size = sight.own.shape[1]
    return np.stack([rng.normal(scale=length / np.sqrt(size), size=size) for rng in sight.rngs])


def alie(sight: Sight, strength: float | None) -> Matrix:
    """A Little Is Enough: the honest mean, moved ``strength`` spreads along every coordinate;
    without a strength by the most that a majority of supporters still hides."""
    if strength is None:
        strength = hidden_spreads(len(sight.honest) + len(sight.own), len(sight.own))
    row = sight.honest.mean(axis=0) - strength * sight.honest.std(axis=0)
    return np.repeat(row[None], len(sight.own), axis=0)


def hidden_spreads(n: int, f: int) -> float:
    """z_max of Baruch et al. 2019: s = floor(n/2 + 1) - f supporters are needed among n - f."""
    share = (n - f - (n // 2 + 1 - f)) / (n - f)
    return NormalDist().inv_cdf(min(max(share, 0.01), 0.99))


def inner_product(sight: Sight, strength: float | None) -> Matrix:
    """Fall of Empires: the honest mean reversed, ``strength`` times as long."""
    row = -(strength or 1.0) * sight.honest.mean(axis=0)
    return np.repeat(row[None], len(sight.own), axis=0)


def mimic(sight: Sight, strength: float | None) -> Matrix:
    """Copies of the honest hospital that lies furthest out along the direction in which honest
    updates, summed over the rounds so far, differ most."""
    apart = sight.summed - sight.summed.mean(axis=0)
    direction = np.linalg.svd(apart, full_matrices=False)[2][0]
    place = int(np.argmax(np.abs(apart @ direction)))
    return np.repeat(sight.honest[place][None], len(sight.own), axis=0)


def sybil(sight: Sight, strength: float | None) -> Matrix:
    """Identical copies of one poisoned update: the reverse of what they learned together."""
    row = -(strength or 1.0) * sight.own.mean(axis=0)
    return np.repeat(row[None], len(sight.own), axis=0)
