"""Images as rows of numbers: scattering, evened out by a map that no patient had a part in.

Per image and channel the scattering is brought to mean 0 and deviation 1 over its places, so that
brightness and contrast of a scanner fall away. Neighbouring numbers still say much the same; the
``basis`` of ``tasks.whitening``, learnt from invented images, turns them into few that do not. Each
row then has norm 1. Everything is fixed by the size of the images: nothing is asked of anybody, and
private training needs no bounds but these.

What an image becomes depends on that image alone, so it is kept for the next time it is needed, in
this process, under a digest of its pixels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, DataError
from aegis.tasks.preparation import Feature
from aegis.tasks.scattering import Scattering, evened
from aegis.tasks.task import Picture, Rows
from aegis.tasks.whitening import Whitening, whitening

COMPONENTS = 1000
MOST_PIXELS = 1 << 14
FEWEST_PLACES = 7

_REMEMBERED = 20_000
_ROOM = 1 - 1e-6  # for the rounding of a row to 32 bits


@dataclass(frozen=True)
class ImageFeatures:
    """A preparation of images of one size; like ``Bounded`` its rows have norm 1 at most. Larger
    images get more scales, so that the coarsest maps keep about as many places."""

    image: Picture
    scales: int = 2
    directions: int = 8
    components: int = COMPONENTS

    @classmethod
    def of(cls, image: Picture) -> ImageFeatures:
        """Raises ``DataError`` for images that are too large for this recipe."""
        if image.height * image.width > MOST_PIXELS:
            raise DataError(
                f"images of {image.height} x {image.width} are not scattered",
                f"at most {MOST_PIXELS} pixels are",
                "Make them smaller, or choose a network for images",
            )
        scales, short = 2, min(image.height, image.width)
        while short >> (scales + 1) >= FEWEST_PLACES:
            scales += 1
        numbers = math.prod(Scattering(image.height, image.width, scales).shape)
        return cls(image, scales, components=min(COMPONENTS, numbers))

    @property
    def scattering(self) -> Scattering:
        return Scattering(self.image.height, self.image.width, self.scales, self.directions)

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(Feature("image", name) for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"texture {number + 1}" for number in range(self.components))

    def apply(self, rows: Rows) -> NDArray[np.float64]:
        """The design matrix (n, components), each row of norm 1 at most, without an intercept
        column. Rows that are that already are taken as they are. Raises ``DataError`` for images of
        another size or kind."""
        images = rows.inputs
        if isinstance(images, np.ndarray) and images.shape[1:] == (self.components,):
            return np.asarray(images, dtype=np.float64)
        size = (self.image.height, self.image.width)
        if not isinstance(images, np.ndarray) or images.shape[1:] != size:
            shape = getattr(images, "shape", None)
            found = f"images of the shape {shape}" if shape else "a table"
            raise DataError(f"{found} cannot be prepared", f"this model takes images of {size}")
        return _known(self).of(images)

    def remember(self, images: NDArray[Any], design: NDArray[np.floating]) -> None:
        """``design`` (n, components) is what these images become: they need not be computed."""
        _known(self).put(images, design.astype(np.float32))

    def compute(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """As ``apply``, of bare images (n, height, width), and nothing remembered."""
        found = np.empty((len(images), self.components), np.float32)
        if not len(images):
            return found
        even = whitening(self.scattering, self.components)
        for at in range(0, len(images), 256):
            flat = evened(self.scattering(brightness(images[at : at + 256])))
            rows = even.apply(flat)
            rows *= _ROOM / np.maximum(np.sqrt(np.einsum("nd,nd->n", rows, rows)), 1e-300)[:, None]
            found[at : at + 256] = rows
        return found

    def to_json(self) -> str:
        document = {
            "image": [self.image.height, self.image.width],
            "scattering": [self.scales, self.directions],
            "whitening": [Whitening.VERSION, self.components],
        }
        return json.dumps(document, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> ImageFeatures:
        """Raises ``DataError`` for anything but what ``to_json`` writes for a size of image."""
        try:
            height, width = json.loads(text)["image"]
            found = cls.of(Picture(height, width))
        except (BadInput, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"the preparation in this request cannot be read ({error})") from error
        if found.to_json() != text:
            raise DataError(
                "the preparation in this request is not one that this version knows",
                f"for images of {height} x {width} it is {found.to_json()}",
            )
        return found


def brightness(images: NDArray[Any]) -> NDArray[np.floating]:
    """Pixels from 0 to 1."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32)


class _Known:
    """Rows of images seen lately, by digest of their pixels."""

    def __init__(self, features: ImageFeatures) -> None:
        self._features = features
        self._rows: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    def of(self, images: NDArray[Any]) -> NDArray[np.float64]:
        digests, rows = _digests(images), self._rows
        fresh = {d: n for n, d in enumerate(digests) if d not in rows}
        computed = self._features.compute(images[list(fresh.values())])
        here = {
            **{d: rows[d] for d in digests if d in rows},
            **dict(zip(fresh, computed, strict=True)),
        }
        found = np.empty((len(images), self._features.components))
        for place, digest in enumerate(digests):
            found[place] = here[digest]
        self._keep(here)
        return found

    def put(self, images: NDArray[Any], design: NDArray[np.float32]) -> None:
        self._keep(dict(zip(_digests(images), design, strict=True)))

    def _keep(self, here: Mapping[bytes, NDArray[np.float32]]) -> None:
        rows = self._rows
        for digest, row in here.items():
            rows[digest] = row
            rows.move_to_end(digest)
        while len(rows) > _REMEMBERED:
            rows.popitem(last=False)


def _digests(images: NDArray[Any]) -> list[bytes]:
    kind = images.dtype.str.encode()
    return [hashlib.blake2b(image.tobytes(), key=kind).digest() for image in images]


_KNOWN: dict[ImageFeatures, _Known] = {}


def _known(features: ImageFeatures) -> _Known:
    return _KNOWN.setdefault(features, _Known(features))
