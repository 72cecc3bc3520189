"""A map that evens out the scattering of images, learnt from images that nobody has.

The spectrum of natural images and of radiographs falls like one over the frequency. Noise with that
spectrum, 2,000 images of it, has scattering numbers that go together much as a patient's do. Their
principal axes, the strongest ones with their strengths drawn halfway to each other, make a
model easier to learn and far less of it drown in noise; no record of a patient is spent on it.

Every hospital must come to the same map. The images are drawn from a counter-based generator's raw
bits, all is computed in 64 bits, and an axis points to where most of the images' scattering lies,
so that machines agree to about nine digits. It takes seconds, once for each machine: the result is
kept in a file of public numbers in ``AEGIS_CACHE_DIR`` (else the user's cache folder), and made
again where that is not to be read or written.
"""

from __future__ import annotations

import math
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.scattering import Scattering, evened

Matrix = NDArray[np.float64]

IMAGES = 2000
_KEY = 7
_RIDGE = 0.1
_TOGETHER = 200
UNREADABLE = (ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Whitening:
    """``centre`` (d,) is taken off, ``axes`` (d, components) multiplied with."""

    VERSION: ClassVar[int] = 1

    centre: Matrix
    axes: Matrix

    def apply(self, flat: Matrix) -> Matrix:
        """(n, components) of ``flat`` (n, d)."""
        evened: Matrix = (flat - self.centre) @ self.axes
        return evened


@lru_cache(maxsize=4)
def whitening(scattering: Scattering, components: int) -> Whitening:
    """The map for these images, from its file or made anew."""
    kept = cache_folder() / (
        f"whitening-{Whitening.VERSION}-{scattering.height}x{scattering.width}"
        f"-{scattering.scales}-{scattering.directions}-{components}.npz"
    )
    length = math.prod(scattering.shape)
    with (
        suppress(OSError, *UNREADABLE),
        kept.open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        found = Whitening(arrays["centre"], arrays["axes"])
        if found.centre.shape == (length,) and found.axes.shape == (length, components):
            return found
    found = learnt(scattering, components, IMAGES)
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        arriving = kept.with_name(f".{kept.stem}.{os.getpid()}.npz")
        try:
            np.savez(arriving, centre=found.centre, axes=found.axes)
            os.replace(arriving, kept)
        finally:
            arriving.unlink(missing_ok=True)
    return found


def cache_folder() -> Path:
    """Where public numbers that take long are kept from one command to the next."""
    named = os.environ.get("AEGIS_CACHE_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aegis"


def learnt(scattering: Scattering, components: int, images: int) -> Whitening:
    """The strongest ``components`` axes of so many invented images, and no more than there are;
    what is missing is filled with zeros."""
    flat = np.concatenate(
        [
            evened(scattering(part, np.float64))
            for part in np.array_split(
                invented(images, scattering.height, scattering.width),
                max(1, images // _TOGETHER),
            )
        ]
    )
    centre = flat.mean(axis=0)
    flat -= centre
    rank = min(components, images - 1, flat.shape[1])
    if images <= flat.shape[1]:
        strength, turned = np.linalg.eigh(flat @ flat.T)
        strength, turned = strength[::-1][:rank], turned[:, ::-1][:, :rank]
        axes = flat.T @ turned / np.sqrt(np.maximum(strength, 1e-300))
    else:
        strength, axes = np.linalg.eigh(flat.T @ flat)
        strength, axes = strength[::-1][:rank], axes[:, ::-1][:, :rank]
    strength = np.maximum(strength, 0.0) / images
    # An axis has no sign of its own: it points to the heavier side of the images' third moments.
    axes *= np.where(((flat @ axes) ** 3).sum(axis=0) < 0, -1.0, 1.0)
    full = np.zeros((flat.shape[1], components))
    full[:, :rank] = axes * (strength + _RIDGE * strength.mean()) ** -0.25
    return Whitening(centre, full)


def invented(count: int, height: int, width: int) -> Matrix:
    """(count, height, width) images from 0 to 1: noise whose spectrum falls like 1 / frequency, cut
    out of squares twice as large, so that nothing laps around."""
    side = 1 << math.ceil(math.log2(2 * max(height, width)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = math.inf
    source = np.random.Philox(key=_KEY)
    found = np.empty((count, height, width))
    for number in range(count):
        bits = source.random_raw(2 * (side * side // 2)).reshape(2, -1) >> np.uint64(11)
        radius = np.sqrt(-2 * np.log((bits[0] + 0.5) * 2.0**-53))
        angle = bits[1] * (2 * math.pi * 2.0**-53)
        white = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        spectrum = np.fft.rfft2(white.reshape(side, side)) / frequency
        image = np.fft.irfft2(spectrum, s=(side, side))[:height, :width]
        found[number] = (image - image.min()) / (image.max() - image.min())
    return found
