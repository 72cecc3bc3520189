"""A folder of pictures becomes a data set: every file seen, classes named, patients kept together.

Nothing is left out without a word: a file that cannot be read refuses the folder, with its name.
Who belongs together is told by a table's patient column, by the patient's number in DICOM files or
by a file name that a data set is known to give; the same picture twice counts as one patient, so
that neither is ever on both sides of a split. The publisher's test files stay the test.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.folders.listing import Filed, Listing, Wanted, listed
from aegis.tasks.folders.looking import ENDINGS, Seen, looked_at, starts_as_dicom
from aegis.tasks.folders.meanings import Words, ill_words
from aegis.tasks.task import DataOptions, Dataset, Picture, Rows, Schema

MOST_BYTES = 1 << 30
log = logging.getLogger("aegis")


@dataclass(frozen=True)
class Reading:
    """How one task reads its folders. ``words`` names its classes; ``patient`` finds a patient in a
    file's name where a data set is known to write one there."""

    words: Words = Words()  # noqa: RUF009  a frozen value
    patient: re.Pattern[str] | None = None


def read_folder(options: DataOptions, reading: Reading, side: int) -> Dataset:
    """The data set in ``options.path``, pictures (n, side, side) of 8 bits. ``rows: all`` takes the
    publisher's validation files into the training. Raises ``DataError`` with names and reasons."""
    assert options.path is not None
    listing = list_pictures(options, reading)
    listing.refuse()
    filed = with_patients(listing.filed, reading.patient)
    aside = ""
    parted = {one.part for one in filed}
    if options.rows == "complete" and {"train", "val"} <= parted:
        kept = [one for one in filed if one.part != "val"]
        aside = f"{len(filed) - len(kept)} of the validation folder left out (data.rows: all)"
        filed = kept
    counts = Counter(one.label for one in filed)
    ill, meaning = ill_words(counts, options.positive, reading.words, options.path.name)
    if len(filed) * side * side > MOST_BYTES:
        raise DataError(
            f"{options.path.name} holds {len(filed):,} pictures of {side} x {side}",
            f"at most {MOST_BYTES:,} pixels are held",
            "Lower data.pixels, or take some of data.sites",
        )
    seen = _all_seen(listing, filed, side)
    labels = np.array([one.filed.label in ill for one in seen], dtype=np.int64)
    refuse_twins(listing, seen, ill)
    invented = sorted({one.synthetic for one in seen if one.synthetic})
    told = [*invented[:1], f"{options.path.name}: {meaning}", aside, _rule(seen, side)]
    held_out = np.array([one.filed.part == "test" for one in seen])
    return Dataset(
        Rows(np.stack([one.square for one in seen]), labels, _attributes(seen)),
        source=". ".join(filter(None, told)),
        sites=_sites(seen),
        held_out=held_out if held_out.any() else None,
        synthetic=bool(invented),
        fixed_split=bool(held_out.any()),
        schema=Schema(image=Picture(side, side)),
        groups=together(seen),
    )


def list_pictures(options: DataOptions, reading: Reading) -> Listing:
    """The files that ``options`` name, not opened yet."""
    assert options.path is not None
    wanted = Wanted(
        ENDINGS,
        starts_as_dicom,
        options.sites,
        options.label,
        options.group,
        lambda word: reading.words.is_class(word, options.positive),
    )
    return listed(options.path, wanted)


def with_patients(filed: Sequence[Filed], pattern: re.Pattern[str] | None) -> list[Filed]:
    """Patients as file names tell them, where no table does; a number means one patient within one
    part of the split only."""
    if pattern is None:
        return list(filed)
    found = []
    for one in filed:
        match = None if one.patient else pattern.search(one.path.name)
        patient = f"{one.part}/{match[0]}" if match else one.patient
        found.append(replace(one, patient=patient))
    return found


def _all_seen(listing: Listing, filed: Sequence[Filed], side: int) -> list[Seen]:
    seen: list[Seen] = []
    for one in looked_at(filed, side):
        if isinstance(one, Seen):
            seen.append(one)
        else:
            listing.faults.append((one.filed.name, one.reason))
    listing.refuse()
    named = sum(one.named for one in seen)
    if named:
        log.warning(
            "%d of %d files carry a patient name; it was not read out and is not kept", named,
            len(seen),
        )  # fmt: skip
    return seen


def refuse_twins(listing: Listing, seen: Sequence[Seen], ill: Collection[str]) -> None:
    """Raises ``DataError`` where one picture is ill and healthy."""
    first: dict[bytes, int] = {}
    for at, one in enumerate(seen):
        other = first.setdefault(one.square.tobytes(), at)
        if (seen[other].filed.label in ill) != (one.filed.label in ill):
            reason = f"it is the same picture as {seen[other].filed.name}, of the other class"
            listing.faults.append((one.filed.name, reason))
    listing.refuse()


def together(seen: Sequence[Seen]) -> NDArray[np.str_] | None:
    """(n,) the number of each picture's group: those of one person, and those that are the same,
    directly or by way of others; nothing where every picture stands alone. Persons of two hospitals
    are never one."""
    above = list(range(len(seen)))

    def top(at: int) -> int:
        while above[at] != at:
            above[at] = above[above[at]]
            at = above[at]
        return at

    first: dict[Hashable, int] = {}
    for at, one in enumerate(seen):
        keys: list[Hashable] = [(one.filed.hospital, one.square.tobytes())]
        if one.person:
            keys.append((one.filed.hospital, one.person))
        for key in keys:
            above[top(at)] = top(first.setdefault(key, at))
    tops = [top(at) for at in range(len(seen))]
    if len(set(tops)) == len(tops):
        return None
    return np.array([str(number) for number in tops], dtype=np.str_)


def _sites(seen: Sequence[Seen]) -> NDArray[np.str_] | None:
    sites = [one.filed.hospital for one in seen]
    if not any(sites):
        return None
    return np.array([site or "elsewhere" for site in sites], dtype=np.str_)


def _attributes(seen: Sequence[Seen]) -> dict[str, NDArray[np.generic]]:
    found: dict[str, NDArray[np.generic]] = {}
    ages = np.array([one.filed.age for one in seen], dtype=np.float64)
    sexes = np.array([one.filed.sex for one in seen], dtype=np.str_)
    if not np.isnan(ages).all():
        found["age"] = ages
    if (sexes != "").any():
        found["sex"] = sexes
    return found


def _rule(seen: Sequence[Seen], side: int) -> str:
    if all((one.height, one.width) == (side, side) for one in seen):
        return f"pictures of {side} x {side}"
    return f"the middle square of each picture, brought to {side} x {side} (bicubic)"


def pictures_in(path: Path) -> bool:
    """Whether this folder, or one of the first folders in it, holds a picture."""
    waiting, opened = [path], 0
    while waiting and opened < 200:
        folder = waiting.pop(0)
        opened += 1
        try:
            inside = sorted(folder.iterdir())
        except OSError:
            continue
        for one in inside:
            if one.name.startswith(".") or one.is_symlink():
                continue
            if one.is_dir():
                waiting.append(one)
            elif one.suffix.lower() in ENDINGS or (not one.suffix and starts_as_dicom(one)):
                return True
    return False
