"""Which files a folder holds, and of whom each one is: class, part of the split, hospital, patient.

Three layouts are read. Without a table the folder names say everything; with one, its rows do, and
files that it does not name (masks, say) are left aside.

    FOLDER/NORMAL/a.png                        a folder for each class; deeper folders are free
    FOLDER/train/NORMAL/a.png                  the publisher's split above it (train, val, test)
    FOLDER/labels.csv, FOLDER/images/a.png     a row for each file: label, and patient, split, site,
                                               age, sex where there are such columns
    FOLDER/north/...                           any of these for each hospital

Nothing is opened but tables. No link is followed out of the folder, and no special file is touched;
whatever cannot be used is a fault with its name and its reason, and is counted.
"""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aegis.errors import DataError
from aegis.tasks.folders.rows import Sheet, read_sheet
from aegis.tasks.tables.reading import Problems

MOST_FILES = 1_000_000
MOST_DEPTH = 12
PARTS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "training_set", "train_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validation_set", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testing_set", "test_set"), "test"),
}
TABLES = frozenset({"labels.csv", "labels.tsv"})
IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx", "dicomdir"})

Below: TypeAlias = tuple[str, ...]
"""A file's place in the folder, name by name."""


@dataclass(frozen=True)
class Filed:
    """One file. ``name`` is its place in the folder, fit to be shown; ``part`` is train, val, test
    or "" where nobody published a split; ``hospital`` and ``patient`` are "" where not known."""

    path: Path
    name: str
    label: str
    part: str = ""
    hospital: str = ""
    patient: str = ""
    age: float = math.nan
    sex: str = ""


@dataclass
class Listing:
    """``faults`` are (file, reason); ``aside`` counts by reason what is left out on purpose."""

    root: Path
    filed: list[Filed] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    aside: Counter[str] = field(default_factory=Counter)
    by_table: bool = False

    def refuse(self) -> None:
        """Raises ``DataError`` that names the first faulty files, where there are any."""
        problems = Problems()
        for name, reason in self.faults:
            problems.add(None, "", f"{name}: {reason}")
        problems.refuse(self.root.name)


@dataclass(frozen=True)
class Wanted:
    """What to look for: files with these endings, or without any where ``bare`` takes them; the
    plan's names for columns and hospitals; ``is_class`` knows a class by its word."""

    endings: Collection[str]
    bare: Callable[[Path], bool] = lambda path: False
    sites: tuple[str, ...] | None = None
    label: str | None = None
    group: str | None = None
    is_class: Callable[[str], bool] = lambda word: False


def listed(root: Path, wanted: Wanted) -> Listing:
    """The files of ``root``. Raises ``DataError`` where it is no folder, holds none of such files,
    or a table of labels cannot be used at all."""
    found = Listing(root)
    if not root.is_dir():
        said = "is a file" if root.exists() else "is not there"
        raise DataError(f"{root} {said}", "a folder is wanted", "Correct data.path")
    here = _walked(found, wanted)
    if not here and not found.faults:
        endings = ", ".join(sorted(wanted.endings))
        raise DataError(f"{root} holds no file to learn from", f"they end in {endings}")
    tops = _tops(here)
    if wanted.sites is None and not _hospitals(here, tops, wanted):
        _house(found, here, (), "", wanted)
    else:
        for site in wanted.sites or ():
            if site not in tops:
                named = ", ".join(sorted(tops)[:12])
                raise DataError(f"{root} has no hospital {site}", f"its folders are {named}")
        for loose in (below for below in here if len(below) == 1 and not _is_table(below)):
            found.faults.append((_shown(loose), "it lies beside the hospitals, in none of them"))
        for site in wanted.sites or tuple(tops):
            _house(found, tops[site], (site,), site, wanted)
    return found


def _walked(found: Listing, wanted: Wanted) -> list[Below]:
    """Every file that can be used, tables of labels among them, in order."""
    top = os.path.realpath(found.root)
    here: list[Below] = []
    waiting: list[Below] = [()]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(top, *folder)) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"this folder cannot be read ({error.strerror})"
            found.faults.append((_shown(folder) or found.root.name, reason))
            continue
        for entry in inside:
            if entry.name.startswith(".") or entry.name.casefold() in IGNORED:
                continue
            below = (*folder, entry.name)
            fault = _fault(entry, top, below)
            if fault:
                found.faults.append((_shown(below), fault))
            elif entry.is_dir():
                waiting.append(below)
            elif _usable(Path(entry.path), wanted):
                here.append(below)
            else:
                found.aside["an ending that is not read"] += 1
            if len(here) > MOST_FILES:
                raise DataError(f"{found.root} holds more than {MOST_FILES:,} files")
    return sorted(here)


def _fault(entry: os.DirEntry[str], top: str, below: Below) -> str:
    if len(below) > MOST_DEPTH:
        return f"it lies more than {MOST_DEPTH} folders deep"
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        if os.path.commonpath([top, target]) != top:
            return "it is a link that leaves the folder, and is not followed"
        if os.path.isdir(target):
            return "it is a link to a folder, and is not followed"
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "it is neither a file nor a folder"
    return ""


def _usable(path: Path, wanted: Wanted) -> bool:
    name = path.name.casefold()
    if name in TABLES or any(name.endswith(ending) for ending in wanted.endings):
        return True
    return not path.suffix and wanted.bare(path)


def _is_table(below: Below) -> bool:
    return len(below) == 1 and below[0].casefold() in TABLES


def _tops(files: Iterable[Below]) -> dict[str, list[Below]]:
    """The folders at the top, each with its files as seen from there."""
    tops: dict[str, list[Below]] = {}
    for below in files:
        if len(below) > 1:
            tops.setdefault(below[0], []).append(below[1:])
    return tops


def _hospitals(here: Sequence[Below], tops: Mapping[str, list[Below]], wanted: Wanted) -> bool:
    """Whether the folders at the top are hospitals rather than classes or parts of a split."""
    if not tops or any(len(below) == 1 for below in here):
        return False
    if any(top.casefold() in PARTS or wanted.is_class(top) for top in tops):
        return False
    inside: list[set[str]] = []
    for files in tops.values():
        folders = {below[0] for below in files if len(below) > 1}
        table = any(map(_is_table, files))
        if not table and any(len(below) == 1 for below in files):
            return False  # files right in it: the folder of a class
        inside.append({"train"} if table else folders)
    words = set().union(*inside)
    if any(word.casefold() in PARTS or wanted.is_class(word) for word in words):
        return True
    return len(tops) > 1 and bool(set.intersection(*inside))


def _house(
    found: Listing, files: Sequence[Below], above: Below, hospital: str, wanted: Wanted
) -> None:
    """The files of one hospital, or of all where nobody tells them apart."""
    tables = [below for below in files if _is_table(below)]
    if len(tables) > 1:
        raise DataError(
            f"{found.root.joinpath(*above)} has {len(tables)} tables of labels",
            "one is read",
            "Leave one of " + ", ".join(table[0] for table in tables),
        )
    pictures = [below for below in files if below[-1].casefold() not in TABLES]
    if tables:
        sheet = read_sheet(found.root.joinpath(*above, *tables[0]), wanted.label, wanted.group)
        _by_table(found, sheet, pictures, above, hospital)
        return
    split = any(len(below) > 1 and below[0].casefold() in PARTS for below in pictures)
    for below in pictures:
        part = PARTS.get(below[0].casefold(), "") if split and len(below) > 1 else ""
        inner = below[1:] if part else below
        name = _shown((*above, *below))
        if split and len(below) > 1 and not part:
            found.aside["a place beside the folders of the split"] += 1
        elif len(inner) < 2:
            found.faults.append((name, "it lies in no folder of a class, and no table names it"))
        else:
            path = found.root.joinpath(*above, *below)
            found.filed.append(Filed(path, name, inner[0], part, hospital))


def _by_table(
    found: Listing, sheet: Sheet, files: Sequence[Below], above: Below, hospital: str
) -> None:
    """Names are looked up among the files that were found, so that none leads out of the folder."""
    found.by_table = True
    places: dict[str, list[Below]] = {}
    for below in files:
        whole = "/".join(below)
        for key in {whole, below[-1], whole.rpartition(".")[0], below[-1].rpartition(".")[0]}:
            if key:
                places.setdefault(key, []).append(below)
    table = _shown((*above, sheet.name))
    taken: set[Below] = set()
    for row in sheet.rows:
        fault, here = row.fault, places.get(row.file.replace("\\", "/").removeprefix("./"), [])
        if not fault and len(here) != 1:
            shown = _shown((row.file,))
            fault = f"{shown} is not there" if not here else f"{len(here)} files are called {shown}"
        if not fault and here[0] in taken:
            fault = f"{_shown(here[0])} has a row already"
        if fault:
            found.faults.append((f"{table}, row {row.place}", fault))
            continue
        taken.add(here[0])
        found.filed.append(
            Filed(
                found.root.joinpath(*above, *here[0]),
                _shown((*above, *here[0])),
                row.label,
                PARTS.get(row.part.casefold(), ""),
                hospital or row.hospital,
                row.patient,
                row.age,
                row.sex,
            )
        )
    left = len(files) - len(taken)
    if left:
        found.aside[f"no row in {sheet.name}"] += left


def _shown(below: Below) -> str:
    """A name as it can be printed: no control characters, nothing that is not text."""
    text = "/".join(below).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
