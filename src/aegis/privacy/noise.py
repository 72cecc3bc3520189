"""Noise that nobody can predict: keyed by the operating system, never by an experiment's seed.

A ``SystemNoise`` takes 32 bytes from ``os.urandom`` and stretches them with AES-256 in counter
mode, asked for as GCM over zeros: the same stream, and where OpenSSL uses a processor's wide AES
instructions only for GCM, at twice the speed. There is no seed to hand in, to log or to guess; two
runs of one plan draw different noise.
(PyTorch keeps only the low 32 bits of a CPU seed, so noise drawn there has at most 2^32 courses.)

Floating-point numbers are not real numbers: which ones a sampler can reach depends on what it is
added to, and that alone can give a value away (Mironov 2012). Two answers are here.

  on the grid   Value and noise are whole multiples of 2^-24 and are added as integers. Rounding
                noise to the grid and adding it to a multiple of the grid is the same as adding
                first and rounding afterwards, so the guarantee carries over exactly; what is
                released is always a grid point, whatever the value was. This is the way for
                everything that leaves a hospital.
  as floats     A number is the sum of several draws (four halved normals, two exponentials), so
                that its last bits no longer name one draw (Holohan and Braghin 2021). For places
                where no grid fits.

Normals are Box and Muller's, in float64: a radius from 63 random bits, an angle from 64. The
radius ends at 9.3 standard deviations; what is cut off has the probability 2^-63 per pair, which
adds 10^-9 to delta after 10^10 draws. Exponentials end at 43 scales, for the same reason.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from aegis.arrays import aligned
from aegis.errors import BadInput

GRID = 2.0**-24
LEAST_STEPS, MOST_STEPS = 16.0, 2.0**45

Shape = int | tuple[int, ...]

_CHUNK = 1 << 15  # numbers at a time: few calls, and everything stays in the processor's cache
_ZEROS = memoryview(bytes(8 * _CHUNK))
_KEY_BYTES = 1 << 32  # drawn under one key; GCM's counter would come round after 2^36
_HALF_ANGLE = math.pi / 2 * 2.0**-63
_ONES = 1.5 * 2.0**52
_ONES_BITS = np.float64(_ONES).view(np.int64)


class SystemNoise:
    """A source of noise. Safe to share between threads, and to use on both sides of a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rekey(os.urandom(32))

    @classmethod
    def _repeatable_for_tests(cls, key: bytes) -> SystemNoise:
        """NOT PRIVATE: whoever knows the key knows the noise."""
        source = cls()
        source._rekey(key)
        return source

    def bits(self, count: int) -> NDArray[np.uint64]:
        """(count,) words of 64 random bits."""
        words = np.empty(count, np.uint64)
        for at in range(0, count, _CHUNK):
            self._fill(words[at : at + _CHUNK])
        return words

    def uniforms(self, shape: Shape) -> NDArray[np.float64]:
        """Uniform in [0, 1), 53 bits each."""
        words = self.bits(_size(shape)) >> np.uint64(11)
        uniform: NDArray[np.float64] = np.multiply(words, 2.0**-53, dtype=np.float64)
        return uniform.reshape(shape)

    def gaussian(self, sd: float, shape: Shape) -> NDArray[np.float64]:
        """Normal with standard deviation ``sd``, four draws for each number."""
        _positive(sd, "standard deviation")
        noise = np.zeros(_size(shape))
        draw = _Normals(self._fill, noise.size)
        for at in range(0, len(noise), _CHUNK):
            here = noise[at : at + _CHUNK]
            for _ in range(4):
                here += draw(len(here), sd / 2)
        return noise.reshape(shape)

    def laplace(self, scale: float, shape: Shape) -> NDArray[np.float64]:
        """Laplace with density exp(-|x| / scale) / (2 scale)."""
        _positive(scale, "scale")
        noise = np.empty(_size(shape))
        for at in range(0, len(noise), _CHUNK):
            here = noise[at : at + _CHUNK]
            here[:] = self._laplace(len(here), scale)
        return noise.reshape(shape)

    def gaussian_on_grid(self, sd: float, shape: Shape) -> NDArray[np.int64]:
        """Normal with standard deviation ``sd``, in whole multiples of ``GRID``.

        Hospitals may each add a share: at 16 grid steps of standard deviation, the least allowed,
        the sum of rounded shares has the law of their unrounded sum plus independent uniform
        errors, rounded, up to a factor of 1 +- e^-5000.
        """
        steps = _in_steps(sd, "standard deviation")
        noise = np.empty(_size(shape), np.int64)
        draw = _Normals(self._fill, noise.size)
        for at in range(0, len(noise), _CHUNK):
            here = noise[at : at + _CHUNK]
            _rounded(draw(len(here), steps), here)
        return noise.reshape(shape)

    def add_gaussian_on_grid(self, sums: NDArray[np.floating], sd: float) -> None:
        """Adds normal noise with standard deviation ``sd`` to ``sums``, in place.

        ``sums`` (in one piece of memory; 32 or 64 bits), before and after, count multiples of
        ``GRID``; they are cut towards zero first, and must be below 2^50 in size. Whole numbers of
        that size are added exactly in float64. What 32 bits cannot hold is rounded off the noisy
        sum, when nothing can be learnt from it any more.
        """
        steps = _in_steps(sd, "standard deviation")
        if not sums.flags.c_contiguous:
            raise BadInput("noise is added to sums that lie in one piece of memory, not to a view")
        flat = sums.reshape(-1)
        draw = _Normals(self._fill, flat.size)
        for at in range(0, len(flat), _CHUNK):
            here = flat[at : at + _CHUNK]
            noise = draw(len(here), steps)
            np.rint(noise, out=noise)
            np.trunc(here, out=here)
            noise += here
            np.copyto(here, noise, casting="same_kind")

    def laplace_on_grid(self, scale: float, shape: Shape) -> NDArray[np.int64]:
        """Laplace noise of this scale, in whole multiples of ``GRID``."""
        steps = _in_steps(scale, "scale")
        noise = np.empty(_size(shape), np.int64)
        for at in range(0, len(noise), _CHUNK):
            here = noise[at : at + _CHUNK]
            _rounded(self._laplace(len(here), steps), here)
        return noise.reshape(shape)

    def _laplace(self, count: int, scale: float) -> NDArray[np.float64]:
        """The logarithm of a ratio of two uniforms: the difference of two exponentials."""
        one, other = (self._fill(np.empty(count, np.uint64)) for _ in range(2))
        drawn = _above_0(one, np.empty(count))
        np.log(drawn, out=drawn)
        drawn -= np.log(_above_0(other, np.empty(count)))
        drawn *= scale
        return drawn

    def _fill(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        with self._lock:
            self._left -= words.nbytes
            if self._left < 0 or self._born != _birth():
                self._rekey(os.urandom(32))
            self._stream.update_into(_ZEROS[: words.nbytes], words.view(np.uint8).data)
        return words

    def _rekey(self, key: bytes) -> None:
        # One key serves one stream, so the nonce may be 0.
        self._stream = Cipher(algorithms.AES(key), modes.GCM(bytes(12))).encryptor()
        self._left, self._born = _KEY_BYTES, _birth()

    def __reduce__(self) -> tuple[type[SystemNoise], tuple[()]]:
        return SystemNoise, ()  # a copy in another process has a key of its own


def on_grid(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Whole multiples of ``GRID``, towards zero, so that no norm grows.

    Raises ``BadInput`` for values that are not finite or beyond 2^38.
    """
    steps = np.trunc(np.asarray(values, np.float64) * (1 / GRID))
    if not np.all(np.abs(steps) <= 2.0**62):
        raise BadInput(
            "a value is not finite or too large for the grid of 2^-24",
            "values up to 2^38 in size fit",
            "Clip the values first",
        )
    return steps.astype(np.int64)


def off_grid(steps: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.multiply(steps, GRID, dtype=np.float64)


class _Normals:
    """Normals, at most a chunk at a time, in memory that the next call takes again."""

    def __init__(self, fill: Callable[[NDArray[np.uint64]], object], wanted: int) -> None:
        self._fill = fill
        room = min(_CHUNK, wanted + wanted % 2)
        self._words = aligned(room, np.uint64)
        self._normals = self._words.view(np.float64)  # written when the words are used up
        self._scratch = [aligned(room // 2, np.float64) for _ in range(3)]

    def __call__(self, count: int, sd: float) -> NDArray[np.float64]:
        """With t the tangent of half the angle, cos = 2 / (1 + t^2) - 1 and sin = t (cos + 1):
        numpy computes a tangent several times faster than a sine or a cosine."""
        pairs = (count + 1) // 2
        words = self._words[: 2 * pairs]
        self._fill(words)
        radius, tangent, square = (array[:pairs] for array in self._scratch)
        _above_0(words[:pairs], radius)
        np.log(radius, out=radius)
        radius *= -2.0 * sd * sd
        np.sqrt(radius, out=radius)
        tangent[:] = words[pairs:].view(np.int64)
        tangent *= _HALF_ANGLE
        np.tan(tangent, out=tangent)
        np.multiply(tangent, tangent, out=square)
        square += 1.0
        np.divide(radius, square, out=square)
        square += square
        normals = self._normals[: 2 * pairs]
        np.subtract(square, radius, out=normals[:pairs])
        np.multiply(tangent, square, out=normals[pairs:])
        return normals[:count]


def _above_0(words: NDArray[np.uint64], out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform in (0, 1], 63 bits each. numpy converts signed words much faster."""
    words >>= np.uint64(1)
    out[:] = words.view(np.int64)
    out += 0.5
    out *= 2.0**-63
    return out


def _rounded(drawn: NDArray[np.float64], out: NDArray[np.int64]) -> None:
    """To the nearest whole number, by the float whose last bit is worth one."""
    drawn += _ONES
    np.subtract(drawn.view(np.int64), _ONES_BITS, out=out)


def _in_steps(scale: float, what: str) -> float:
    _positive(scale, what)
    steps = scale / GRID
    if not LEAST_STEPS <= steps <= MOST_STEPS:
        raise BadInput(
            f"a {what} of {scale:g} does not fit the grid of 2^-24",
            f"it may be from {LEAST_STEPS * GRID:.2g} to {MOST_STEPS * GRID:.2g}",
            "Scale the values with their clipping norm, so that the norm is near 1",
        )
    return steps


def _positive(scale: float, what: str) -> None:
    if not (math.isfinite(scale) and scale > 0):
        raise BadInput(
            f"the {what} of the noise must be above 0 and finite, got {scale}",
            way_out="To train without noise, set privacy.mechanism: none",
        )


def _size(shape: Shape) -> int:
    return math.prod(shape) if isinstance(shape, tuple) else shape


_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _birth() -> tuple[int, int]:
    """Changes in the child of a fork, so that it never repeats its parent's stream."""
    return _forks, os.getpid()
