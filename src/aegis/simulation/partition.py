"""One data set becomes many hospitals: by real site, by label, by age, by who comes, or at random.

Every row goes to exactly one hospital (``dealing``), and there to training, validation or test.
Which one is fixed by the seed alone: each draw is keyed by (seed, purpose), so no other draw, and
no hospital's presence, changes it. Where the data name patients (``groups``), patients are dealt
and divided instead of rows, so that nobody is on two sides. What stands behind a promise of privacy
is divided by ``coins``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.simulation.coins import coins, row_names
from aegis.simulation.dealing import along_age, by_label, by_profile, by_site, evened_out, shuffled
from aegis.simulation.holdings import HospitalRows
from aegis.tasks.task import Dataset, Rows

Kind: TypeAlias = Literal["site", "dirichlet", "age", "demographic", "iid"]
Take: TypeAlias = Callable[[NDArray[np.intp]], Rows]

MOST_HOSPITALS = 1000


def partition(
    dataset: Dataset,
    hospitals: int | None = None,
    by: Kind = "site",
    alpha: float = 0.5,
    seed: int = 0,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    by_coin: bool = False,
) -> dict[str, HospitalRows]:
    """Each hospital's rows, by name, in a fixed order.

    ``hospitals`` may be left out where the data have sites. Both fractions are shares of all rows
    of a hospital, rounded, and stratified by label. ``by: site`` takes the published test rows
    (``dataset.held_out``) where there are some; every other kind draws its own, except from a
    ``fixed_split``. A hospital with two rows or more keeps one at least for training, and with a
    ``test_fraction`` above 0 one for test. ``by_coin`` promises none of this: each row tosses its
    own, and no row's side tells of another row.
    Raises ``BadInput`` for a kind that these data cannot serve, and for more hospitals than rows.
    """
    take: Take = dataset.rows.take
    known_by = _known_by(dataset) if by_coin else None
    if dataset.groups is not None:
        dataset, take = _by_patient(dataset, dataset.groups)
    count = _count(dataset, hospitals)
    _check(dataset, count, by, alpha, test_fraction, validation_fraction)
    match by:
        case "site":
            names, groups = by_site(dataset, count, seed)
        case "dirichlet":
            names, groups = _numbered(count), by_label(dataset.rows, count, alpha, seed)
        case "age":
            order = along_age(dataset.rows, seed)
            names, groups = _numbered(count), np.array_split(order, count)
        case "demographic":
            names, groups = _numbered(count), by_profile(dataset.rows, count, seed)
        case "iid":
            order = shuffled(np.arange(len(dataset.rows)), seed, "iid")
            names, groups = _numbered(count), np.array_split(order, count)
    if by != "site":
        groups = evened_out(groups)
    held_out = dataset.held_out if by == "site" or dataset.fixed_split else None
    fractions = (test_fraction, validation_fraction)
    if known_by is not None:
        tossed = coins(known_by, seed)
        return {
            name: _tossed(take, np.sort(group), held_out, tossed, *fractions)
            for name, group in zip(names, groups, strict=True)
        }
    return {
        name: _divided(dataset, take, np.sort(group), held_out, name, seed, *fractions)
        for name, group in zip(names, groups, strict=True)
    }


def _numbered(count: int) -> list[str]:
    width = max(2, len(str(count)))
    return [f"hospital_{number:0{width}d}" for number in range(1, count + 1)]


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


def _known_by(dataset: Dataset) -> list[bytes]:
    """A name for each row, or for each patient in the order of ``_by_patient``."""
    if dataset.groups is None:
        return row_names(dataset.rows)
    return [str(name).encode() for name in np.unique(dataset.groups)]


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


def _tossed(
    take: Take,
    group: NDArray[np.intp],
    held_out: NDArray[np.bool_] | None,
    tossed: NDArray[np.float64],
    test_fraction: float,
    validation_fraction: float,
) -> HospitalRows:
    coin = tossed[group]
    test = coin < test_fraction if held_out is None else held_out[group]
    validation = ~test & (coin >= 1 - validation_fraction)
    return HospitalRows(
        take(group[~test & ~validation]), take(group[validation]), take(group[test])
    )


def _apart(
    group: NDArray[np.intp], labels: NDArray[np.int64], wanted: int, seed: int, purpose: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """``wanted`` rows, each label in its share as nearly as whole rows allow, and the others."""
    if wanted == 0:
        return group[:0], group
    order = shuffled(group, seed, purpose)
    sorted_by_label = order[np.argsort(labels[order], kind="stable")]
    # Every (n / wanted)-th row along the sorted labels is a stratified draw.
    picks = ((np.arange(wanted) + 0.5) * (len(group) / wanted)).astype(np.intp)
    mask = np.zeros(len(group), dtype=np.bool_)
    mask[picks] = True
    return np.sort(sorted_by_label[mask]), np.sort(sorted_by_label[~mask])
