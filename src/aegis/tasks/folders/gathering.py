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
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.folders.listing import Filed, Listing, Wanted, listed
from aegis.tasks.folders.looking import ENDINGS, Seen, looked_at, starts_as_dicom
from aegis.tasks.folders.meanings import Words, ill_words, in_order
from aegis.tasks.task import DataOptions, Dataset, Picture, Rows, Schema

MOST_BYTES = 1 << 30
log = logging.getLogger("aegis")


@dataclass(frozen=True)
class Reading:
    """How one task reads its folders. ``words`` names its classes; ``patient`` finds a patient in a
    file's name where a data set is known to write one there. Where ``several``, more than two
    classes of which nobody names one are all told apart."""

    words: Words = Words()  # noqa: RUF009  a frozen value
    patient: re.Pattern[str] | None = None
    several: bool = False


def read_folder(options: DataOptions, reading: Reading, side: int) -> Dataset:
    """The data set in ``options.path``, pictures (n, side, side) of 8 bits. ``rows: all`` takes the
    publisher's validation files into the training. Raises ``DataError`` with names and reasons."""
    assert options.path is not None
    listing = list_pictures(options, reading)
    listing.filed = with_patients(listing.filed, reading.patient)
    taken = take(listing, options, reading.words, reading.several)
    if len(taken.filed) * side * side > MOST_BYTES:
        raise DataError(
            f"{options.path.name} holds {len(taken.filed):,} pictures of {side} x {side}",
            f"at most {MOST_BYTES:,} pixels are held",
            "Lower data.pixels, or take some of data.sites",
        )
    seen = _all_seen(listing, taken.filed, side)
    refuse_twins(listing, seen, taken.numbers)
    invented = sorted({one.synthetic for one in seen if one.synthetic})
    found = taken.dataset(
        np.stack([one.square for one in seen]),
        Schema(image=Picture(side, side), classes=taken.classes),
        together([(one.square.tobytes(), one.person) for one in seen], taken.hospitals),
    )
    told = [*invented[:1], found.source, _rule(seen, side)]
    return replace(found, source=". ".join(told), synthetic=bool(invented))


@dataclass(frozen=True)
class Taken:
    """The files of a folder that are learned from. ``numbers`` are the labels of their classes: 1
    for each that means disease, or the places in ``classes``; ``meaning`` says which."""

    filed: Sequence[Filed]
    numbers: Mapping[str, int]
    meaning: str
    classes: tuple[str, ...] = ()

    @property
    def hospitals(self) -> list[str]:
        return [one.hospital for one in self.filed]

    def dataset(
        self,
        inputs: Mapping[str, NDArray[Any]] | NDArray[Any],
        schema: Schema,
        groups: NDArray[np.str_] | None,
    ) -> Dataset:
        """``inputs`` as in ``Rows``, in the order of the files."""
        held_out = np.array([one.part == "test" for one in self.filed])
        labels = np.array([self.numbers[one.label] for one in self.filed], dtype=np.int64)
        return Dataset(
            Rows(inputs, labels, _attributes(self.filed)),
            source=self.meaning,
            sites=_sites(self.hospitals),
            held_out=held_out if held_out.any() else None,
            fixed_split=bool(held_out.any()),
            schema=schema,
            groups=groups,
        )


def take(listing: Listing, options: DataOptions, words: Words, several: bool = False) -> Taken:
    """Raises ``DataError`` where a file is faulty, or nobody can tell ill from healthy."""
    listing.refuse()
    filed, name = listing.filed, listing.root.name
    aside = ""
    if options.rows == "complete" and {"train", "val"} <= {one.part for one in filed}:
        filed = [one for one in filed if one.part != "val"]
        left = len(listing.filed) - len(filed)
        aside = f". {left} of the validation folder left out (data.rows: all)"
    counts = Counter(one.label for one in filed)
    if several and options.positive is None and len(counts) > 2:
        classes = in_order(counts)
        numbers = {word: number for number, word in enumerate(classes)}
        return Taken(filed, numbers, f"{name}: classes {', '.join(classes)}{aside}", classes)
    ill, meaning = ill_words(counts, options.positive, words, name)
    return Taken(filed, {word: int(word in ill) for word in counts}, f"{name}: {meaning}{aside}")


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


def refuse_twins(listing: Listing, seen: Sequence[Seen], numbers: Mapping[str, int]) -> None:
    """Raises ``DataError`` where one picture is ill and healthy, or of two diagnoses."""
    first: dict[bytes, int] = {}
    for at, one in enumerate(seen):
        other = first.setdefault(one.square.tobytes(), at)
        if numbers[seen[other].filed.label] != numbers[one.filed.label]:
            reason = f"it is the same picture as {seen[other].filed.name}, of another class"
            listing.faults.append((one.filed.name, reason))
    listing.refuse()


def together(
    keys: Sequence[Sequence[Hashable]], hospitals: Sequence[str]
) -> NDArray[np.str_] | None:
    """(n,) the number of each row's group: rows of one hospital that share a key, directly or by
    way of others; nothing where every row stands alone. A key that is "" is none."""
    above = list(range(len(keys)))

    def top(at: int) -> int:
        while above[at] != at:
            above[at] = above[above[at]]
            at = above[at]
        return at

    first: dict[Hashable, int] = {}
    for at, (own, hospital) in enumerate(zip(keys, hospitals, strict=True)):
        for kind, key in enumerate(own):
            if key != "":
                above[top(at)] = top(first.setdefault((hospital, kind, key), at))
    tops = [top(at) for at in range(len(keys))]
    if len(set(tops)) == len(tops):
        return None
    return np.array([str(number) for number in tops], dtype=np.str_)


def _sites(hospitals: Sequence[str]) -> NDArray[np.str_] | None:
    if not any(hospitals):
        return None
    return np.array([site or "elsewhere" for site in hospitals], dtype=np.str_)


def _attributes(filed: Sequence[Filed]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    ages = np.array([one.age for one in filed], dtype=np.float64)
    sexes = np.array([one.sex for one in filed], dtype=np.str_)
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
