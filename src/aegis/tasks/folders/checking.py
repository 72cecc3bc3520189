"""What can be said about a folder of pictures before anybody learns from it, and a plan that runs.

Faults keep the folder from being used until they are mended: files that are no pictures, that
cannot be read, that contradict each other. Remarks are for a human to judge: the same picture on
both sides of a split, a patient's name in a file, classes that hardly occur. No value of a patient
is in any of them but the files' own names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis.errors import DataError
from aegis.tasks.folders.gathering import (
    Reading,
    list_pictures,
    pictures_in,
    refuse_twins,
    with_patients,
)
from aegis.tasks.folders.listing import Listing
from aegis.tasks.folders.looking import Seen, looked_at
from aegis.tasks.folders.meanings import HEALTHY, ill_words, plain
from aegis.tasks.tables.checking import FEWEST_ROWS, ILL, quoted
from aegis.tasks.task import DataOptions

SHOWN = 20
SIDE = 64
RARE = 0.02

__all__ = ["ExaminedImages", "examine_images", "pictures_in"]


@dataclass
class ExaminedImages:
    """``faults`` and ``remarks`` are (file, what), "" for the whole folder; ``plan`` is YAML, ""
    where there is none. ``classes`` count files by hospital, part of the split and class."""

    folder: str
    by_table: bool
    files: int
    classes: list[dict[str, Any]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    patients: int | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    positive: str | None = None
    guessed: bool = False
    task: str = "images"
    plan: str = ""

    def as_json(self) -> dict[str, Any]:
        listed = {
            kind: [{"file": file, "what": what} for file, what in found]
            for kind, found in (("faults", self.faults), ("remarks", self.remarks))
        }
        return {
            "usable": not self.faults,
            "folder": self.folder,
            "labelled_by": "table" if self.by_table else "folders",
            "files": self.files,
            "classes": self.classes,
            "sizes": self.sizes,
            "kinds": self.kinds,
            "patients": self.patients,
            "task": self.task,
            "positive": self.positive,
            "guessed": ["positive"] if self.guessed else [],
            **listed,
            "plan": self.plan,
        }

    def lines(self) -> Iterator[str]:
        how = "a table of labels" if self.by_table else "a folder for each class"
        yield f"{self.folder}: {self.files} files, {how}"
        for row in self.classes:
            place = " ".join(filter(None, (row["hospital"], row["part"])))
            yield f"  {place + ' ' if place else ''}{row['class']:<24} {row['files']}"
        for title, counts in (("Sizes", self.sizes), ("Kinds", self.kinds)):
            if counts:
                yield f"{title}: " + ", ".join(f"{what} ({n})" for what, n in counts.items())
        if self.patients is not None:
            yield f"Patients: {self.patients}"
        for title, found in (("Must be mended", self.faults), ("Worth a look", self.remarks)):
            if found:
                yield f"\n{title} ({len(found)}):"
            for name, what in found[:SHOWN]:
                yield f"  {name + ': ' if name else ''}{what}"
            if len(found) > SHOWN:
                yield f"  and {len(found) - SHOWN} more; --json lists them all"
        if self.plan:
            guess = " (positive guessed)" if self.guessed else ""
            yield f"\nA plan that runs{guess}:\n\n{self.plan}"


def examine_images(
    path: Path, label: str | None = None, positive: str | None = None, group: str | None = None
) -> ExaminedImages:
    """Look at every file of a folder. Raises ``DataError`` where it holds none that could be a
    picture, or its table of labels is no table."""
    options = DataOptions(path=path, label=label, positive=positive, group=group)
    listing = list_pictures(options, Reading())
    found = ExaminedImages(path.name, listing.by_table, len(listing.filed) + len(listing.faults))
    words = Counter(one.label for one in listing.filed)
    found.task, reading = _task(words, positive)
    listing.filed = with_patients(listing.filed, reading.patient)
    seen = _seen(listing)
    found.faults = listing.faults
    counts = Counter((one.hospital, one.part, one.label) for one in listing.filed)
    found.classes = [
        {"hospital": hospital, "part": part, "class": word, "files": count}
        for (hospital, part, word), count in sorted(counts.items())
    ]
    found.sizes = _sizes(seen)
    found.kinds = _counted(f"{one.kind} of {one.bits} bits" for one in seen)
    people = {(one.filed.hospital, one.person) for one in seen if one.person}
    found.patients = len(people) or None
    found.positive = positive
    if positive is None and words and found.task == "images":
        found.positive, found.guessed = _guess(words), True
    if words:
        try:
            ill, _ = ill_words(words, found.positive, reading.words, path.name)
            refuse_twins(listing, seen, {word: int(word in ill) for word in words})
        except DataError as error:
            if not listing.faults:
                found.faults.append(("", str(error)))
    found.remarks = list(_remarks(listing, seen))
    if not found.faults:
        found.plan = _suggestion(options, found, len(people) or len(seen))
    return found


def _task(words: Counter[str], positive: str | None) -> tuple[str, Reading]:
    """The task that these classes are named for, with how it reads, else ``images``."""
    from aegis.tasks import glaucoma, pneumonia

    for task, reading in (("pneumonia", pneumonia.READING), ("glaucoma", glaucoma.READING)):
        known = all(reading.words.is_class(word, None) for word in words)
        if positive is None and known and any(task in plain(word) for word in words):
            return task, reading
    return "images", Reading()


def _seen(listing: Listing) -> list[Seen]:
    """All pictures; those that are none join the faults."""
    seen = []
    for one in looked_at(listing.filed, SIDE):
        if isinstance(one, Seen):
            seen.append(one)
        else:
            listing.faults.append((one.filed.name, one.reason))
    return seen


def _sizes(seen: Sequence[Seen]) -> dict[str, int]:
    sizes = _counted(f"{one.width} x {one.height}" for one in seen)
    if len(sizes) <= 6:
        return sizes
    low, high = (
        (which(one.width for one in seen), which(one.height for one in seen))
        for which in (min, max)
    )
    return {f"{len(sizes)} sizes from {low[0]} x {low[1]} to {high[0]} x {high[1]}": len(seen)}


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _guess(words: Counter[str]) -> str | None:
    """A class that is called like a disease, else the one beside a healthy one, else the rarer."""
    by_plain = {plain(word): word for word in words}
    for wanted in ILL:
        if plain(wanted) in by_plain:
            return by_plain[plain(wanted)]
    others = [word for word in words if plain(word) not in HEALTHY]
    return min(others or words, key=lambda word: words[word])


def _remarks(listing: Listing, seen: Sequence[Seen]) -> Iterator[tuple[str, str]]:
    invented = sum(bool(one.synthetic) for one in seen)
    if invented:
        yield "", f"{invented} of {len(seen)} files say of themselves that they are SYNTHETIC"
    for reason, count in listing.aside.items():
        yield "", f"left aside: {count} with {reason}"
    yield from _across(seen, lambda one: one.square.tobytes(), "the same picture", "")
    yield from _across(seen, lambda one: one.person or one.digest, "the patient's pictures", "part")
    for counted, what in (
        (sum(one.named for one in seen), "carry a patient name, which is neither shown nor kept"),
        (sum(one.written for one in seen), "say that text is burnt into the picture"),
    ):
        if counted:
            yield "", f"{counted} of {len(seen)} files {what}"
    small = sum(min(one.height, one.width) < SIDE for one in seen)
    if small:
        yield "", f"{small} pictures are smaller than {SIDE} pixels; data.pixels sets another size"
    if len({(one.height, one.width) for one in seen}) > 1:
        yield "", "sizes differ: the middle square of each picture is taken and brought to one size"
    words = Counter(one.label for one in listing.filed)
    if len(words) > 2:
        yield (
            "",
            (
                f"{len(words)} classes: data.positive tells one from the rest; without it and with "
                f"model.num_classes: {len(words)} and training.solver: sgd all are told apart"
            ),
        )
    for word, count in words.items():
        if count < RARE * len(listing.filed):
            yield "", f"only {count} of {len(listing.filed)} files are {word}"
    if seen and not any(one.person for one in seen):
        yield "", "no patient is named: one's pictures may come to lie on both sides of a split"


def _across(
    seen: Sequence[Seen], key: Callable[[Seen], Hashable], what: str, side: str
) -> Iterator[tuple[str, str]]:
    """Pictures that are one in this sense, once for each group; with ``side`` only where the group
    is in more than one part of the split."""
    first: dict[Hashable, list[Seen]] = {}
    for one in seen:
        first.setdefault((one.filed.hospital if side else "", key(one)), []).append(one)
    for group in first.values():
        parts = sorted({one.filed.part for one in group} - {""})
        if len(group) > 1 and (len(parts) > 1 or not side):
            names = ", ".join(one.filed.name for one in group[:3])
            more = f" and {len(group) - 3} more" if len(group) > 3 else ""
            same = " (the same bytes)" if len({one.digest for one in group}) == 1 else ""
            hospitals = len({one.filed.hospital for one in group})
            apart = f", in {' and '.join(parts)}" if len(parts) > 1 else ""
            end = f", at {hospitals} hospitals" if hospitals > 1 else "; kept on one side"
            yield names + more, f"{what}{same}{apart}{end}"


def _suggestion(options: DataOptions, found: ExaminedImages, patients: int) -> str:
    """A plan for ``aegis run``: one hospital for each that the folder tells apart."""
    hospitals = len({row["hospital"] for row in found.classes} - {""})
    by_site = hospitals > 1
    count = hospitals if by_site else max(3, min(5, patients // FEWEST_ROWS))
    lines = [f"task: {found.task}"]
    if count < 3:
        lines.append("trust: open  # a sealed sum needs three hospitals")
    lines += ["data:", f"  path: {quoted(str(options.path))}"]
    named = {"label": options.label, "positive": found.positive, "group": options.group}
    lines += [f"  {key}: {quoted(value)}" for key, value in named.items() if value is not None]
    lines += ["federated:", f"  num_clients: {count}"]
    lines.append(f"  partition: {{by: {'site' if by_site else 'iid'}}}")
    return "\n".join(lines) + "\n"
