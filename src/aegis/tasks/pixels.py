"""Images as they are, for networks: pixels from black to white as numbers from -2 to 2.

Nothing is asked of anybody but, where the plan wants it, how many of all patients are ill: the
``odds`` (log-odds of all hospitals together) that a hospital whose patients are ill more or less
often sets its own against while it trains.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.image_features import brightness
from aegis.tasks.preparation import Feature
from aegis.tasks.task import Picture, Rows

MOST_PIXELS = 1 << 20
MOST_ODDS = 20.0


@dataclass(frozen=True)
class Pixels:
    """A preparation of images of one size for a network. Its rows are (n, height * width)."""

    image: Picture
    odds: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (1, self.image.height, self.image.width)

    @property
    def features(self) -> tuple[Feature, ...]:
        return (Feature("image", self.names[0]),)

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.image.height} x {self.image.width} pixels",)

    def apply(self, rows: Rows) -> NDArray[Any]:
        """(n, height * width), float32. Rows that are that already are taken as they are. Raises
        ``DataError`` for images of another size or kind."""
        images, (channels, *size) = rows.inputs, self.shape
        count = channels * math.prod(size)
        if isinstance(images, np.ndarray) and images.shape[1:] == (count,):
            return np.asarray(images, dtype=np.float32)
        if not isinstance(images, np.ndarray) or images.shape[1:] != tuple(size):
            shape = getattr(images, "shape", None)
            found = f"images of the shape {shape}" if shape else "a table"
            raise DataError(f"{found} cannot be prepared", f"this model takes {self.names[0]}")
        pixels = (brightness(images) - np.float32(0.5)) * np.float32(4)
        return np.ascontiguousarray(pixels.reshape(len(images), count), dtype=np.float32)

    def to_json(self) -> str:
        document = {"pixels": [self.image.height, self.image.width], "odds": self.odds}
        return json.dumps(document, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Pixels:
        """Raises ``DataError`` for anything but what ``to_json`` writes for a sane size."""
        try:
            document = json.loads(text)
            (height, width), odds = document["pixels"], document["odds"]
            found = cls(Picture(height, width), odds)
            sane = all(type(n) is int and n > 0 for n in (height, width))
            known = odds is None or (type(odds) is float and abs(odds) <= MOST_ODDS)
            if not (sane and known and height * width <= MOST_PIXELS):
                raise ValueError(f"{height} x {width}, {odds}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"the preparation in this request cannot be read ({error})") from error
        if found.to_json() != text:
            raise DataError("the preparation in this request is not written as this version does")
        return found

    @classmethod
    def of(cls, image: Picture, rows: float = 0.0, positive: float = 0.0) -> Pixels:
        """With the log-odds of ``positive`` among ``rows``, one of each added; none for no rows."""
        if not rows > 0:
            return cls(image)
        odds = math.log((positive + 1) / (rows - positive + 1))
        return cls(image, round(odds, 6))
