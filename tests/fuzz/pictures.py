"""Pictures that users bring: PNG, JPEG and DICOM files, and arrays of them as NumPy writes them.

A picture of the most pixels that are read takes about a gigabyte while it is made grey, which a
small file may ask for.
"""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any

import numpy as np

from aegis.errors import AegisError
from aegis.store.patients import patients
from aegis.tasks.folders.dicom import decode_dicom
from aegis.tasks.folders.raster import decode, encode, squared
from aegis.tasks.task import Picture, Schema
from tests.fuzz.harness import Harness, in_file, replay
from tests.fuzz.mutations import of_bytes, one_of
from tests.tasks.pictures import dicom

SCHEMA = Schema(image=Picture(8, 8))
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
HEADERS = (
    *(b"'|u1'", b"'<f8'", b"'|O'", b"'<U9'", b"[('a', '<f4')]", b"(2, 8, 8)", b"(1099511627776,)"),
    *(b"(8, 8, 1073741824)", b"(-1, 8)", b"()", b"(((", b"'|V9'", b"9" * 400, b"True", b"None"),
)


@cache
def seeds() -> list[bytes]:
    from PIL import Image

    found = [encode(GREY, "SYNTHETIC, made up"), encode(np.stack([GREY] * 3, axis=2))]
    for kind, picture in (("PNG", GREY.astype(np.uint16) * 200), ("JPEG", GREY)):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind)
        found.append(file.getvalue())
    for array in (GREY[None], GREY[None] / 255):
        file = io.BytesIO()
        np.save(file, array)
        found.append(file.getvalue())
    return [*found, dicom(GREY)]


def of_array(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Another kind or shape in the header of an array."""
    array = rng.choice([one for one in seeds if one.startswith(b"\x93NUMPY")])
    kind, shape = (b"'|u1'", b"'<f8'"), (b"(1, 8, 8)",)
    for old in (*kind, *shape):
        if rng.random() < 0.6:
            array = array.replace(old, rng.choice(HEADERS))
    length = array.index(b"\n") - 9
    return array[:8] + length.to_bytes(2, "little") + array[10:]


def take(data: bytes) -> object:
    found = []
    for read in (decode_dicom, lambda one: patients(in_file(one, "images.npy"), SCHEMA)):
        with suppress(AegisError):
            found.append(read(data))
    picture = decode(data)
    return squared(picture.grey, 8).tolist(), picture.bits, found


HARNESS = Harness("pictures", take, seeds, one_of(of_bytes, of_bytes, of_array), more_mib=1200)

if __name__ == "__main__":
    replay(HARNESS)
