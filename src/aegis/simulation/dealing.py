"""The ways to deal a data set's rows to hospitals; ``partition`` says which is taken.

    site         each real centre is a hospital; more hospitals than centres cut the largest
                 centres into blocks of age, the youngest first
    dirichlet    each label's rows are dealt by shares drawn from Dirichlet(alpha) (Hsu, Qi and
                 Brown 2019): a small alpha gives hospitals that see mostly one label
    age          blocks of equal size along age, the youngest first
    demographic  a cycle of four kinds of hospital: the first serves the elderly, the second the
                 young, the third mostly women, the fourth mostly men, as far as there are any
    iid          at random, in equal sizes

Where one would hold fewer than two rows while there are enough for everybody, the fullest hospital
hands it some; real sites keep what is theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.task import Dataset, Rows

Groups: TypeAlias = list[NDArray[np.intp]]

LEAST = 2
LEANING = 3.0
"""How strongly a hospital's kind decides who comes; 0 would be nobody's choice."""


def by_site(dataset: Dataset, count: int, seed: int) -> tuple[list[str], Groups]:
    assert dataset.sites is not None
    found, first = np.unique(dataset.sites, return_index=True)
    sites = [str(site) for site in found[np.argsort(first)]]
    if count < len(sites):
        raise BadInput(
            f"{count} hospitals cannot be {len(sites)} sites",
            f"by site, each of {', '.join(sites)} is a hospital",
            "Pick some with data.sites",
        )
    members = {site: np.flatnonzero(dataset.sites == site) for site in sites}
    blocks = dict.fromkeys(sites, 1)
    for _ in range(count - len(sites)):
        fullest = max(sites, key=lambda site: len(members[site]) / blocks[site])
        blocks[fullest] += 1
    order = along_age(dataset.rows, seed)
    names: list[str] = []
    groups: Groups = []
    for site in sites:
        if blocks[site] == 1:
            names.append(site)
            groups.append(members[site])
        else:
            names += [f"{site}_{number}" for number in range(1, blocks[site] + 1)]
            groups += np.array_split(order[dataset.sites[order] == site], blocks[site])
    return names, groups


def by_label(rows: Rows, count: int, alpha: float, seed: int) -> Groups:
    groups: list[list[NDArray[np.intp]]] = [[] for _ in range(count)]
    for label in range(max(2, int(rows.labels.max(initial=0)) + 1)):
        members = shuffled(np.flatnonzero(rows.labels == label), seed, f"dirichlet/{label}")
        shares = _rng(seed, f"shares/{label}").dirichlet(np.full(count, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.intp)
        for group, part in zip(groups, np.split(members, cuts), strict=True):
            group.append(part)
    return [np.concatenate(group) for group in groups]


def along_age(rows: Rows, seed: int) -> NDArray[np.intp]:
    """Row numbers from young to old (unknown ages last); at random where nobody's age is known."""
    order = shuffled(np.arange(len(rows)), seed, "age")
    if "age" not in rows.attributes:
        return order
    ages = np.asarray(rows.attributes["age"], dtype=np.float64)
    return order[np.argsort(ages[order], kind="stable")]


def by_profile(rows: Rows, count: int, seed: int) -> Groups:
    """Each kind of hospital draws its rows, one kind after the other, without replacement and with
    chances that grow with how well a row fits (Gumbel top-k); hospitals of a kind share at random.
    """
    ages = np.asarray(rows.attributes["age"], dtype=np.float64)
    known = ages[~np.isnan(ages)]
    centre, spread = (known.mean(), known.std() or 1.0) if len(known) else (0.0, 1.0)
    older = np.nan_to_num((ages - centre) / spread)
    woman = np.where(np.asarray(rows.attributes["sex"]) == "female", 1.0, -1.0)
    left = np.arange(len(rows))
    groups: Groups = [left[:0]] * count
    waiting = count
    for kind, fit in enumerate((older, -older, woman, -woman)[:count]):
        chosen = range(kind, count, 4)
        draw = LEANING * fit[left] + _rng(seed, f"profile/{kind}").gumbel(size=len(left))
        order = np.argsort(-draw, kind="stable")
        quota = len(left) * len(chosen) // waiting
        mine = shuffled(left[order[:quota]], seed, f"share/{kind}")
        for hospital, part in zip(chosen, np.array_split(mine, len(chosen)), strict=True):
            groups[hospital] = part
        left = np.sort(left[order[quota:]])
        waiting -= len(chosen)
    return groups


def evened_out(groups: Sequence[NDArray[np.intp]]) -> Groups:
    evened = list(groups)
    sizes = np.array([len(group) for group in evened])
    least = min(LEAST, int(sizes.sum()) // len(sizes))
    for poor in np.flatnonzero(sizes < least):
        while sizes[poor] < least:
            rich = int(sizes.argmax())
            evened[poor] = np.append(evened[poor], evened[rich][-1])
            evened[rich] = evened[rich][:-1]
            sizes[poor] += 1
            sizes[rich] -= 1
    return evened


def _rng(seed: int, purpose: str) -> np.random.Generator:
    text = f"aegis/partition/v1|{seed}|{purpose}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=key))


def shuffled(index: NDArray[np.intp], seed: int, purpose: str) -> NDArray[np.intp]:
    return index[np.argsort(_rng(seed, purpose).random(len(index)), kind="stable")]
