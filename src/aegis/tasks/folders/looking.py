"""One file after the other, from bytes to a square of grey values and what there is to say of it.

A file is read once, whole, and only if it is no larger than ``MOST_FILE``; what is in it is told by
its first bytes. A file that cannot be used is a fault with its reason, never a gap.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.folders.dicom import decode_dicom, is_dicom
from aegis.tasks.folders.listing import Filed
from aegis.tasks.folders.raster import JPEG, PNG, decode, squared

MOST_FILE = 1 << 28
ENDINGS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


@dataclass(frozen=True)
class Seen:
    """``square`` (side, side) holds grey values; ``digest`` is that of the file's bytes."""

    filed: Filed
    square: NDArray[np.uint8]
    height: int
    width: int
    bits: int
    kind: str
    digest: bytes
    patient: str = ""
    named: bool = False
    written: bool = False
    synthetic: str = ""

    @property
    def person(self) -> str:
        """By the table of labels, else by the file itself."""
        return self.filed.patient or self.patient


@dataclass(frozen=True)
class Unseen:
    filed: Filed
    reason: str


def looked_at(files: Sequence[Filed], side: int) -> Iterator[Seen | Unseen]:
    """Each file, in order."""
    for filed in files:
        try:
            yield look(filed, side)
        except DataError as error:
            yield Unseen(filed, str(error))


def look(filed: Filed, side: int) -> Seen:
    """Raises ``DataError`` where this is no picture that can be used."""
    data = contents(filed.path)
    digest = hashlib.sha256(data).digest()
    if is_dicom(data):
        grey, facts = decode_dicom(data)
        return Seen(
            filed,
            squared(grey, side),
            grey.shape[0],
            grey.shape[1],
            facts.bits,
            "DICOM",
            digest,
            facts.patient,
            facts.named,
            facts.written,
        )
    if not data.startswith((PNG, JPEG)):
        raise DataError(
            "it is empty" if not data else "by its first bytes it is neither PNG, JPEG nor DICOM"
        )
    found = decode(data)
    kind = "PNG" if data.startswith(PNG) else "JPEG"
    square, (height, width) = squared(found.grey, side), found.grey.shape
    return Seen(filed, square, height, width, found.bits, kind, digest, synthetic=found.synthetic)


def contents(path: Path, most: int = MOST_FILE) -> bytes:
    """All bytes of a plain file. Raises ``DataError`` for any other, and for a larger one."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise DataError("it is no plain file")
            if state.st_size > most:
                raise DataError(f"it has {state.st_size:,} bytes", f"at most {most:,} are read")
            return file.read()
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror})") from error


def starts_as_dicom(path: Path) -> bool:
    """Whether a file without an ending is DICOM, as many archives write them."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False
