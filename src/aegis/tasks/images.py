"""Files of images, read with limits: nothing is unpacked before its size is known to be sane.

What comes out is one array of grey images (n, height, width) of 8 bits, and their labels. This
module knows the layouts that images come in; which classes count as ill is the task's to say.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.task import Picture

MOST_BYTES = 1 << 30


def read_npz(
    path: Path, parts: Sequence[str], picture: Picture, most: int = MOST_BYTES
) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """For each part its images (n, height, width) and labels (n,) of 0 and 1, from an archive as
    MedMNIST writes it: arrays called ``PART_images`` and ``PART_labels``.

    Raises ``DataError`` for a file that is no such archive, would unpack to more than ``most``
    bytes, or holds images of another size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > most:
                raise DataError(
                    f"{path} would unpack to {size:,} bytes", f"at most {most:,} are read"
                )
            found = [
                (_array(archive, f"{part}_images"), _array(archive, f"{part}_labels"))
                for part in parts
            ]
    except KeyError as error:
        raise DataError(
            f"{path} holds no array called {error.args[0]}",
            f"it needs images and labels of {', '.join(parts)}",
        ) from error
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an archive of arrays ({error})") from error
    return [
        (_images(path, part, images, picture), _labels(path, part, labels, len(images)))
        for part, (images, labels) in zip(parts, found, strict=True)
    ]


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array of numbers. Its header is not believed: memory is taken for as many bytes as there
    are, and the shape must fit them."""
    if f"{name}.npy" not in archive.namelist():
        raise KeyError(name)
    with archive.open(f"{name}.npy") as file:
        return array_in(file, name)


def array_in(file: IO[bytes], name: str) -> NDArray[Any]:
    """The array of numbers that a ``.npy`` file holds. Raises ``ValueError`` for any other, and
    whatever NumPy raises for a header that is none."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"{name} is written in version {version}")
    data = file.read()
    if dtype.hasobject or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} says it is {shape} of {dtype}, and is not")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _images(path: Path, part: str, images: NDArray[Any], picture: Picture) -> NDArray[np.uint8]:
    size = (picture.height, picture.width)
    if images.ndim != 3 or images.shape[1:] != size or images.dtype != np.uint8:
        raise DataError(
            f"{path}: {part}_images is an array {images.shape} of {images.dtype}",
            f"grey images {size} of uint8 are wanted",
        )
    return images


def _labels(path: Path, part: str, labels: NDArray[Any], images: int) -> NDArray[np.int64]:
    flat = labels.reshape(-1)
    if len(flat) != images or flat.dtype.kind not in "ui" or not np.isin(flat, (0, 1)).all():
        raise DataError(f"{path}: {part}_labels are not one 0 or 1 for each of {images} images")
    return flat.astype(np.int64)
