"""Wavelet scattering: what an image holds, as numbers that no patient had a part in choosing.

An image is convolved with Morlet wavelets of J scales and L directions, the modulus taken, the same
done once more with the coarser wavelets, and every map smoothed and thinned out by 2^J (Mallat
2012; Bruna and Mallat 2013). The result is steady under small shifts and deformations and keeps
what edges and textures are made of. Nothing is learnt, so nothing is released: the same filters
serve every hospital.

Filters, borders and the order of channels are those of Kymatio's ``Scattering2D`` (Andreux et al.
2020). All filters are real in the frequency domain. Smoothing is separable there and thins out, so
it is one small matrix product. Images go through in stacks of one size, the last one filled up: a
number does not depend, not by a bit, on which other images were there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput

Array = NDArray[np.floating]

_STACK = 16  # images at a time: everything stays in the processor's cache


@dataclass(frozen=True)
class Scattering:
    """For images of ``height`` x ``width``; ``scales`` is J, ``directions`` L."""

    height: int
    width: int
    scales: int = 2
    directions: int = 8

    def __post_init__(self) -> None:
        if self.scales < 1 or self.directions < 1:
            raise BadInput(f"{self.scales} scales of {self.directions} directions scatter nothing")
        if 2**self.scales > min(self.height, self.width):
            raise BadInput(
                f"images of {self.height} x {self.width} are too small for {self.scales} scales",
                f"these need {2**self.scales} pixels each way",
            )

    @property
    def channels(self) -> int:
        coarse, turned = self.scales, self.directions
        return 1 + coarse * turned + coarse * (coarse - 1) // 2 * turned**2

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image's numbers."""
        step = 2**self.scales
        return (
            self.channels,
            _padded(self.height, step) // step - 2,
            _padded(self.width, step) // step - 2,
        )

    def __call__(self, images: Array, dtype: type[np.floating] = np.float32) -> Array:
        """(n, channels, h, w) of ``images`` (n, height, width), computed in ``dtype``."""
        if images.ndim != 3 or images.shape[1:] != (self.height, self.width):
            raise BadInput(
                f"images of the shape {images.shape} do not fit",
                f"(n, {self.height}, {self.width}) is wanted",
            )
        filters = _filters(self, np.dtype(dtype))
        found = np.empty((len(images), *self.shape), dtype)
        for low in range(0, len(images), _STACK):
            here = images[low : low + _STACK]
            stack = np.zeros((_STACK, self.height, self.width), dtype)
            stack[: len(here)] = here
            for channel, values in enumerate(filters.scattered(stack)):
                found[low : low + _STACK, channel] = values[: len(here)]
        return found


def evened(scattered: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, channels * places): each channel of each image with mean 0 and deviation 1."""
    flat = scattered.reshape(*scattered.shape[:2], -1).astype(np.float64)
    flat -= flat.mean(axis=2, keepdims=True)
    spread = np.sqrt(np.einsum("ncp,ncp->nc", flat, flat) / flat.shape[2])
    flat /= (spread + 1e-6)[:, :, None]
    return flat.reshape(len(flat), -1)


class _Filters:
    """``waves[j]`` (L, H, W) are the wavelets of scale j in the frequency domain, ``smooth[j]`` the
    matrices (rows, columns) that smooth a map of scale j and keep every pixel of the result."""

    def __init__(self, plan: Scattering, dtype: np.dtype[np.floating]) -> None:
        step = 2**plan.scales
        self._plan, self._step = plan, step
        self._size = height, width = _padded(plan.height, step), _padded(plan.width, step)
        up, left = (height - plan.height) // 2, (width - plan.width) // 2
        self._rows = _reflected(plan.height, up, height)
        self._columns = _reflected(plan.width, left, width)
        self._waves = [
            np.stack(
                [_wavelet(height, width, j, at, plan.directions) for at in range(plan.directions)]
            )
            for j in range(plan.scales)
        ]
        self._dtype = dtype
        self._at: dict[tuple[int, int], Array] = {}
        self._smooth = [
            np.kron(self._low_pass(height, j), self._low_pass(width, j)).T.astype(dtype)
            for j in range(plan.scales)
        ]

    def scattered(self, images: Array) -> Iterator[Array]:
        """The channels (n, h, w) of ``images``, in their order."""
        from scipy.fft import fft2

        padded = images[:, self._rows][:, :, self._columns]
        spectrum = fft2(padded)
        yield self._smoothed(padded, 0)
        second: list[Array] = []
        for j in range(self._plan.scales):
            for maps in self._raised(spectrum, 0, j):
                yield self._smoothed(maps, j)
                if j + 1 < self._plan.scales:
                    inner = fft2(maps)
                    for k in range(j + 1, self._plan.scales):
                        second += [self._smoothed(m, k) for m in self._raised(inner, j, k)]
        yield from second

    def _raised(self, spectrum: NDArray[Any], scale: int, to: int) -> Array:
        """(L, n, H, W) moduli of the maps with this spectrum, known at ``scale``, through each
        wavelet of scale ``to``, at the resolution of that scale."""
        from scipy.fft import ifft2

        waves = self._wave(scale, to)
        product = waves[:, None] * spectrum
        fold = 2 ** (to - scale)
        if fold > 1:
            h, w = product.shape[2] // fold, product.shape[3] // fold
            parts = [
                product[:, :, r * h : (r + 1) * h, c * w : (c + 1) * w]
                for r in range(fold)
                for c in range(fold)
            ]
            total = parts[0] + parts[1]
            for part in parts[2:]:
                total += part
            product = total
        moduli: Array = np.abs(ifft2(product, overwrite_x=True))
        return moduli

    def _wave(self, scale: int, to: int) -> Array:
        """The wavelets of scale ``to`` for a map known at ``scale``: what is thinned out later is
        divided by here, as folding adds."""
        if (scale, to) not in self._at:
            waves = self._waves[to]
            for axis in (1, 2):
                waves = _cropped(waves, axis, 2**scale)
            self._at[scale, to] = (waves / 4 ** (to - scale)).astype(self._dtype)
        return self._at[scale, to]

    def _smoothed(self, maps: Array, scale: int) -> Array:
        flat: Array = maps.reshape(len(maps), -1) @ self._smooth[scale]
        return flat.reshape(len(maps), *self._plan.shape[1:])

    def _low_pass(self, length: int, scale: int) -> Array:
        """(kept, length / 2^scale): along one axis, a Gaussian's smoothing at every place kept."""
        here = length // 2**scale
        sigma = 0.8 * 2 ** (self._plan.scales - 1)
        spread = np.exp(-(_around(length) ** 2) / (2 * sigma**2)).sum(axis=0)
        response = np.fft.fft(spread / math.sqrt(2 * 3.1415 * sigma**2)).real
        response = _cropped(response[None], 1, 2**scale)[0]
        kernel = np.fft.ifft(response).real
        circulant = kernel[(np.arange(here)[:, None] - np.arange(here)) % here]
        kept: Array = circulant[:: self._step // 2**scale][1:-1]
        return kept


@cache
def _filters(plan: Scattering, dtype: np.dtype[np.floating]) -> _Filters:
    return _Filters(plan, dtype)


def _padded(length: int, step: int) -> int:
    return ((length + step) // step + 1) * step


def _reflected(length: int, before: int, padded: int) -> NDArray[np.intp]:
    """Which pixel stands at each place of a border that mirrors without repeating the edge."""
    at = np.abs(np.arange(-before, padded - before))
    return np.where(at < length, at, 2 * (length - 1) - at)


def _around(length: int) -> Array:
    """Places of the five copies of a line that lap around it (5, length)."""
    return np.arange(length) + length * np.arange(-2, 3)[:, None].astype(np.float64)


def _wavelet(height: int, width: int, scale: int, direction: int, directions: int) -> Array:
    """A Morlet wavelet in the frequency domain: a wave under an oblong Gaussian, less as much of
    the Gaussian as makes its sum nothing."""
    sigma, slant = 0.8 * 2**scale, 4.0 / directions
    angle = (int(directions - directions / 2 - 1) - direction) * math.pi / directions
    frequency = 0.75 * math.pi / 2**scale
    x = _around(height).ravel()[:, None]
    y = _around(width).ravel()[None, :]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    envelope = np.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2))
    envelope /= 2 * 3.1415 * sigma**2 / slant

    def lapped(values: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = values.reshape(5, height, 5, width).sum(axis=(0, 2))
        return found

    bell, wave = lapped(envelope), lapped(envelope * np.exp(1j * frequency * along))
    found: Array = np.fft.fft2(wave - wave.sum() / bell.sum() * bell).real
    return found


def _cropped(response: Array, axis: int, factor: int) -> Array:
    """The low frequencies alone, for maps thinned out ``factor`` times."""
    if factor == 1:
        return response
    length = response.shape[axis]
    kept = length // factor
    first, last = np.arange(kept), np.arange(length - kept, length)
    index = np.where(first < length // (2 * factor), first, last)
    return np.take(response, index, axis=axis)
