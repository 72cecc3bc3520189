"""Pictures as grey values: PNG and JPEG by Pillow, which is imported here and nowhere else.

A file is believed by its first bytes, not by its ending, and its size is asked of its header: a
picture of more than ``MOST_PIXELS`` is refused before memory is taken for it. Colours become
luminance (ITU-R 601). A picture of 8 bits keeps its values; a deeper one, which rarely uses its
range, is spread from its own darkest to its own brightest value, for nobody else's sake.

``squared`` is the one rule by which sizes become one: the middle square of the shorter side, then
bicubic to the side that is wanted. A picture of that size already is not touched.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError

MOST_PIXELS = 1 << 26
FEWEST = 4
Grey = NDArray[np.uint8] | NDArray[np.float32]

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
SYNTHETIC = "SYNTHETIC"
_MARK = "Description"
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError,
           struct.error, zlib.error, MemoryError, OverflowError)  # fmt: skip


@dataclass(frozen=True)
class Decoded:
    """``grey`` (height, width) is uint8, or float32 from 0 to 255 of a deeper picture. ``bits`` are
    those of a value as stored; ``synthetic`` is what an invented picture says of itself."""

    grey: Grey
    bits: int
    synthetic: str = ""


def decode(data: bytes) -> Decoded:
    """The picture in a PNG or JPEG file. Raises ``DataError`` that says what is wrong with it."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as picture:
                sane(*picture.size)
                if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
                    raise DataError("it is a moving picture", "a still one is wanted")
                said = str(picture.info.get(_MARK, ""))
                bits = data[24] if picture.format == "PNG" else 8
                upright = ImageOps.exif_transpose(picture)
                grey = _grey(upright)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError("it has too many pixels", f"at most {MOST_PIXELS:,}") from error
        except _BROKEN as error:
            raise DataError("it is truncated or damaged") from error
    return Decoded(grey, bits, said if said.startswith(SYNTHETIC) else "")


def sane(width: int, height: int) -> None:
    """Raises ``DataError`` for a size that no memory should be taken for, or that shows nothing."""
    if width * height > MOST_PIXELS:
        raise DataError(
            f"it has {width:,} x {height:,} pixels", f"at most {MOST_PIXELS:,} are read"
        )
    if min(width, height) < FEWEST:
        raise DataError(f"it has {width} x {height} pixels", f"{FEWEST} each way are needed")


def _grey(picture: Any) -> Grey:
    if picture.mode == "F":
        raise DataError("its pixels are fractions", "grey values or colours are wanted")
    if picture.mode.startswith("I"):
        return spread(np.asarray(picture))
    flat: NDArray[np.uint8] = np.asarray(picture.convert("L"))
    return flat


def squared(grey: Grey, side: int) -> NDArray[np.uint8]:
    """(side, side) of one picture (height, width)."""
    from PIL import Image

    height, width = grey.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    middle = np.ascontiguousarray(grey[top : top + short, left : left + short])
    if short != side:
        size = (side, side)
        middle = np.asarray(Image.fromarray(middle).resize(size, Image.Resampling.BICUBIC))
    found: NDArray[np.uint8] = np.clip(np.rint(middle), 0, 255).astype(np.uint8)
    return found


def spread(grey: NDArray[Any]) -> NDArray[np.float32]:
    """From the darkest to the brightest value, as 0 to 255; a picture of one value is black."""
    values = grey.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros_like(values)
    return (values - np.float32(low)) * np.float32(255 / (high - low))


def encode(picture: NDArray[np.uint8], said: str = "") -> bytes:
    """A PNG of grey values (h, w) or colours (h, w, 3), which says ``said`` of itself."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if said:
        info.add_text(_MARK, said)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def luminance(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) grey values of colours (h, w, 3), as ``decode`` takes them."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).convert("L"))
