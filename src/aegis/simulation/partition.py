"""One data set becomes many hospitals: by real site, by label, by age, by who comes, or at random.

Every row goes to exactly one hospital, and there to training, validation or test. Which one is
fixed by the seed alone: each draw is keyed by (seed, purpose), so no other draw, and no hospital's
presence, changes it.

    site         each real centre is a hospital; more hospitals than centres cut the largest
                 centres into blocks of age, the youngest first
    dirichlet    each label's rows are dealt by shares drawn from Dirichlet(alpha) (Hsu, Qi and
                 Brown 2019): a small alpha gives hospitals that see mostly one label
    age          blocks of equal size along age, the youngest first
    demographic  a cycle of four kinds of hospital: the first serves the elderly, the second the
                 young, the third mostly women, the fourth mostly men, as far as there are any
    iid          at random, in equal sizes

Where the data name patients (``groups``), patients are dealt and divided instead of rows, so that
nobody is on two sides. Where one would hold fewer than two rows while there are enough for
everybody, the fullest hospital hands it some; real sites keep what is theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.simulation.holdings import HospitalRows, describe, label_skew
from aegis.tasks.task import Dataset, Rows

__all__ = ["HospitalRows", "Kind", "describe", "label_skew", "partition"]

Kind: TypeAlias = Literal["site", "dirichlet", "age", "demographic", "iid"]
Groups: TypeAlias = list[NDArray[np.intp]]
Take: TypeAlias = Callable[[NDArray[np.intp]], Rows]

LEAST = 2
MOST_HOSPITALS = 1000
LEANING = 3.0
"""How strongly a hospital's kind decides who comes; 0 would be nobody's choice."""


def partition(
    dataset: Dataset,
    hospitals: int | None = None,
    by: Kind = "site",
    alpha: float = 0.5,
    seed: int = 0,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
) -> dict[str, HospitalRows]:
    """Each hospital's rows, by name, in a fixed order.

    ``hospitals`` may be left out where the data have sites. Both fractions are shares of all rows
    of a hospital, rounded, and stratified by label. ``by: site`` takes the published test rows
    (``dataset.held_out``) where there are some; every other kind draws its own, except from a
    ``fixed_split``. A hospital with two
    rows or more keeps one at least for training, and with a ``test_fraction`` above 0 one for test.
    Raises ``BadInput`` for a kind that these data cannot serve, and for more hospitals than rows.
    """
    take: Take = dataset.rows.take
    if dataset.groups is not None:
        dataset, take = _by_patient(dataset, dataset.groups)
    count = _count(dataset, hospitals)
    _check(dataset, count, by, alpha, test_fraction, validation_fraction)
    match by:
        case "site":
            names, groups = _by_site(dataset, count, seed)
        case "dirichlet":
            names, groups = _numbered(count), _by_label(dataset.rows, count, alpha, seed)
        case "age":
            order = _along_age(dataset.rows, seed)
            names, groups = _numbered(count), np.array_split(order, count)
        case "demographic":
            names, groups = _numbered(count), _by_profile(dataset.rows, count, seed)
        case "iid":
            shuffled = _shuffled(np.arange(len(dataset.rows)), seed, "iid")
            names, groups = _numbered(count), np.array_split(shuffled, count)
    if by != "site":
        groups = _evened(groups)
    held_out = dataset.held_out if by == "site" or dataset.fixed_split else None
    return {
        name: _divided(
            dataset, take, np.sort(group), held_out, name, seed, test_fraction, validation_fraction
        )
        for name, group in zip(names, groups, strict=True)
    }


def _count(dataset: Dataset, hospitals: int | None) -> int:
    if hospitals is not None:
        return hospitals
    if dataset.sites is None:
        raise BadInput(
            "the number of hospitals is not given",
            "data without sites need it",
            "Set federated.num_clients",
        )
    return len(np.unique(dataset.sites))


def _check(
    dataset: Dataset,
    count: int,
    by: Kind,
    alpha: float,
    test_fraction: float,
    validation_fraction: float,
) -> None:
    rows = dataset.rows
    usable = [
        kind
        for kind, there in (
            ("site", dataset.sites is not None),
            ("dirichlet", True),
            ("age", "age" in rows.attributes),
            ("demographic", {"age", "sex"} <= set(rows.attributes)),
            ("iid", True),
        )
        if there
    ]
    if by not in usable:
        lacking = {"site": "no sites", "age": "no age", "demographic": "no age and sex"}
        raise BadInput(
            f"these data cannot be divided by {by}",
            f"they have {lacking.get(by, 'no such kind')}",
            f"Set federated.partition.by to one of: {', '.join(usable)}",
        )
    if not 1 <= count <= MOST_HOSPITALS:
        raise BadInput(f"{count} hospitals", f"there must be 1 to {MOST_HOSPITALS}")
    if count > len(rows):
        raise BadInput(
            f"{count} hospitals cannot share {len(rows)} rows",
            "each needs one at least",
            f"Set federated.num_clients to {len(rows)} or fewer",
        )
    if not (alpha > 0 and np.isfinite(alpha)):
        raise BadInput(f"federated.partition.alpha must be above 0, got {alpha}")
    if test_fraction < 0 or validation_fraction < 0 or test_fraction + validation_fraction >= 1:
        raise BadInput(
            f"data.test_fraction {test_fraction} and data.validation_fraction "
            f"{validation_fraction} leave nothing to train on",
            "both are 0 or more and together below 1",
        )


def _numbered(count: int) -> list[str]:
    width = max(2, len(str(count)))
    return [f"hospital_{number:0{width}d}" for number in range(1, count + 1)]


def _by_site(dataset: Dataset, count: int, seed: int) -> tuple[list[str], Groups]:
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
    order = _along_age(dataset.rows, seed)
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


def _by_label(rows: Rows, count: int, alpha: float, seed: int) -> Groups:
    groups: list[list[NDArray[np.intp]]] = [[] for _ in range(count)]
    for label in range(max(2, int(rows.labels.max(initial=0)) + 1)):
        members = _shuffled(np.flatnonzero(rows.labels == label), seed, f"dirichlet/{label}")
        shares = _rng(seed, f"shares/{label}").dirichlet(np.full(count, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.intp)
        for group, part in zip(groups, np.split(members, cuts), strict=True):
            group.append(part)
    return [np.concatenate(group) for group in groups]


def _along_age(rows: Rows, seed: int) -> NDArray[np.intp]:
    """Row numbers from young to old (unknown ages last); at random where nobody's age is known."""
    order = _shuffled(np.arange(len(rows)), seed, "age")
    if "age" not in rows.attributes:
        return order
    ages = np.asarray(rows.attributes["age"], dtype=np.float64)
    return order[np.argsort(ages[order], kind="stable")]


def _by_profile(rows: Rows, count: int, seed: int) -> Groups:
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
        mine = _shuffled(left[order[:quota]], seed, f"share/{kind}")
        for hospital, part in zip(chosen, np.array_split(mine, len(chosen)), strict=True):
            groups[hospital] = part
        left = np.sort(left[order[quota:]])
        waiting -= len(chosen)
    return groups


def _evened(groups: Sequence[NDArray[np.intp]]) -> Groups:
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


def _by_patient(dataset: Dataset, groups: NDArray[np.str_]) -> tuple[Dataset, Take]:
    """One row for each patient, ill where any of the patient's is, and how to take all of theirs;
    what is dealt is then patients."""
    _, first, patient = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(patient, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(patient))[:-1])
    labels = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(labels, patient, dataset.rows.labels)
    one_each = replace(
        dataset,
        rows=replace(dataset.rows.take(first), labels=labels),
        sites=None if dataset.sites is None else dataset.sites[first],
        held_out=None if dataset.held_out is None else dataset.held_out[first],
        groups=None,
    )

    def take(index: NDArray[np.intp]) -> Rows:
        theirs = [members[person] for person in index] or [order[:0]]
        return dataset.rows.take(np.sort(np.concatenate(theirs)))

    return one_each, take


def _divided(
    dataset: Dataset,
    take: Take,
    group: NDArray[np.intp],
    held_out: NDArray[np.bool_] | None,
    name: str,
    seed: int,
    test_fraction: float,
    validation_fraction: float,
) -> HospitalRows:
    labels = dataset.rows.labels
    if held_out is not None:
        test, rest = group[held_out[group]], group[~held_out[group]]
    else:
        wanted = max(round(test_fraction * len(group)), 1 if test_fraction > 0 else 0)
        test, rest = _apart(group, labels, min(wanted, len(group) - 1), seed, f"test/{name}")
    wanted = min(round(validation_fraction * len(group)), max(len(rest) - 1, 0))
    validation, train = _apart(rest, labels, wanted, seed, f"validation/{name}")
    return HospitalRows(take(train), take(validation), take(test))


def _apart(
    group: NDArray[np.intp], labels: NDArray[np.int64], wanted: int, seed: int, purpose: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """``wanted`` rows, each label in its share as nearly as whole rows allow, and the others."""
    if wanted == 0:
        return group[:0], group
    shuffled = _shuffled(group, seed, purpose)
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Every (n / wanted)-th row along the sorted labels is a stratified draw.
    picks = ((np.arange(wanted) + 0.5) * (len(group) / wanted)).astype(np.intp)
    mask = np.zeros(len(group), dtype=np.bool_)
    mask[picks] = True
    return np.sort(by_label[mask]), np.sort(by_label[~mask])


def _rng(seed: int, purpose: str) -> np.random.Generator:
    text = f"aegis/partition/v1|{seed}|{purpose}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=key))


def _shuffled(index: NDArray[np.intp], seed: int, purpose: str) -> NDArray[np.intp]:
    return index[np.argsort(_rng(seed, purpose).random(len(index)), kind="stable")]
