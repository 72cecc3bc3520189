"""Numbers as integers of the ring, so that sums are exact and masks can hide them.

A slot is a stretch of numbers with one public bound and one scale: x becomes rint(x * 2^scale),
modulo 2^64 (or 2^32). What the federation's sum can reach is asserted when the encoding is made,
so no sum wraps around.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, DataError
from aegis.messages.stages import Ring

Bits: TypeAlias = Literal[64, 32]
REACH: Mapping[int, int] = {64: 2**63, 32: 2**31}
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True)
class Slot:
    """``size`` numbers, each within ±``bound``, kept on the grid of 2^-``scale_bits``."""

    name: str
    size: int
    bound: float
    scale_bits: int

    def __post_init__(self) -> None:
        if self.size < 1 or not (isfinite(self.bound) and self.bound > 0):
            raise BadInput(
                f"the slot {self.name} of {self.size} numbers within {self.bound}",
                "it takes one number or more and a finite bound above 0",
            )
        if not 0 <= self.scale_bits <= 62:
            raise BadInput(f"the slot {self.name} on 2^-{self.scale_bits}", "0 to 62 bits")

    @property
    def reach(self) -> int:
        """The largest integer one hospital can hand in."""
        return int(np.rint(self.bound * 2.0**self.scale_bits))


@dataclass(frozen=True)
class Encoding:
    """The slots of one sum over at most ``hospitals``, one after the other."""

    slots: tuple[Slot, ...]
    hospitals: int
    ring_bits: Bits = 64

    def __post_init__(self) -> None:
        if self.ring_bits not in REACH:
            raise BadInput(f"a ring of {self.ring_bits} bits", "64 or 32")
        names = [slot.name for slot in self.slots]
        if not names or len(set(names)) != len(names):
            raise BadInput(f"the slots {names}", "one or more, each with its own name")
        for slot in self.slots:
            most = REACH[self.ring_bits]
            if self.hospitals * slot.reach >= most:
                raise BadInput(
                    f"{self.hospitals} hospitals with {slot.name} up to {slot.bound:g} on the grid "
                    f"of 2^-{slot.scale_bits} reach 2^{(self.hospitals * slot.reach).bit_length()}",
                    f"a {self.ring_bits}-bit ring holds less than 2^{most.bit_length() - 1}",
                    "Lower the bound or the scale"
                    + ("" if self.ring_bits == 64 else ", or use the 64-bit ring"),
                )

    @property
    def size(self) -> int:
        return sum(slot.size for slot in self.slots)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint64 if self.ring_bits == 64 else np.uint32)

    @cached_property
    def sha256(self) -> str:
        lines = [f"{s.name}\0{s.size}\0{s.bound!r}\0{s.scale_bits}\n" for s in self.slots]
        head = f"aegis/encoding/v1\0{self.ring_bits}\0{self.hospitals}\n"
        return hashlib.sha256((head + "".join(lines)).encode()).hexdigest()

    def among(self, hospitals: int, below: int) -> None:
        """Raises ``BadInput`` where so many hospitals are too many, or may sum up to ``below``."""
        most = max(slot.reach for slot in self.slots) * hospitals
        if hospitals > self.hospitals or most >= below:
            raise BadInput(
                f"a sum of {hospitals} hospitals reaches 2^{most.bit_length()}",
                f"its checksum holds below 2^{below.bit_length() - 1}, its encoding for "
                f"{self.hospitals} hospitals",
                "Lower the bound or the scale of its widest slot",
            )

    def encode(self, values: Mapping[str, NDArray[Any]]) -> Ring:
        """The ring's integers of all slots. Values may have any shape of the slot's size, floats
        or integers; on the grid they are exact. Raises ``DataError`` for a number that is not
        finite or beyond its bound, naming the slot."""
        if set(values) != {slot.name for slot in self.slots}:
            raise DataError(
                f"values for {sorted(values)}", f"the slots are {[s.name for s in self.slots]}"
            )
        ring = np.empty(self.size, self.dtype)
        signed = ring.view(np.int64 if self.ring_bits == 64 else np.int32)
        for slot, at in self._stretches():
            _encode(slot, np.asarray(values[slot.name]), signed[at])
        return ring

    def integers(self, total: Ring) -> dict[str, NDArray[np.int64]]:
        """The summed integers of each slot, exact. Raises what ``bounded`` raises."""
        self.bounded(total, self.hospitals)
        signed = total.view(np.int64 if self.ring_bits == 64 else np.int32)
        return {slot.name: signed[at].astype(np.int64) for slot, at in self._stretches()}

    def bounded(self, total: Ring, hospitals: int) -> None:
        """Raises ``DataError`` for another length, and for a sum that so many honest hospitals do
        not reach."""
        if total.dtype != self.dtype or total.shape != (self.size,):
            raise DataError(
                f"a sum of {total.shape} {total.dtype}", f"({self.size},) {self.dtype} was agreed"
            )
        signed = total.view(np.int64 if self.ring_bits == 64 else np.int32)
        for slot, at in self._stretches():
            most = hospitals * slot.reach
            if signed[at].max() > most or signed[at].min() < -most:
                raise DataError(
                    f"the sum of {slot.name} is beyond {hospitals} times {slot.bound:g}",
                    "a hospital handed in more than its bound",
                )

    def decode(self, total: Ring) -> dict[str, NDArray[np.float64]]:
        """The sums of each slot (float64: exact up to 2^53 steps of the grid)."""
        integers = self.integers(total)
        found: dict[str, NDArray[np.float64]] = {}
        for slot in self.slots:
            numbers = integers[slot.name].astype(np.float64)
            numbers *= 2.0**-slot.scale_bits
            found[slot.name] = numbers
        return found

    def _stretches(self) -> Iterator[tuple[Slot, slice]]:
        start = 0
        for slot in self.slots:
            yield slot, slice(start, start + slot.size)
            start += slot.size


def fitting(vector: Ring, encoding: Encoding | None) -> Ring:
    """The vector in one piece. Raises ``BadInput`` where it is not of the ring or the encoding."""
    if encoding and (vector.dtype, vector.shape) != (encoding.dtype, (encoding.size,)):
        raise BadInput(
            f"a vector of {vector.shape} {vector.dtype}", f"({encoding.size},) {encoding.dtype}"
        )
    if vector.ndim != 1 or not vector.size or vector.dtype not in (np.uint64, np.uint32):
        raise BadInput(f"a vector of {vector.shape} {vector.dtype}", "flat, uint64 or uint32")
    return vector if vector.flags.c_contiguous else vector.copy()


def _encode(slot: Slot, values: NDArray[Any], out: NDArray[Any]) -> None:
    if prod(values.shape) != slot.size:
        raise DataError(f"{slot.name} has {values.size} numbers", f"its slot takes {slot.size}")
    if values.dtype.kind not in "fiub":
        raise DataError(f"{slot.name} holds {values.dtype}", "numbers are summed")
    flat = np.ascontiguousarray(values).reshape(-1)
    whole = flat.dtype.kind != "f"
    kind = flat.dtype if flat.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    room = np.empty(min(_BLOCK, slot.size), kind)
    limit = slot.bound if kind == np.float64 else _below(slot.bound)
    for start in range(0, slot.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        # A NaN is not within anything.
        if not (block.max() <= limit and block.min() >= -limit):
            # Sensitive: the number itself is not told, as refusals travel.
            what = "is beyond" if np.isfinite(block).all() else "is not finite, so not within"
            raise DataError(
                f"a number of {slot.name} {what} its public bound of {slot.bound:g}",
                way_out="Clip the update, or raise the bound in the plan",
            )
        if whole:
            out[start : start + _BLOCK] = block.astype(np.int64) << slot.scale_bits
            continue
        scaled = room[: block.size]
        np.multiply(block, kind.type(2.0**slot.scale_bits), out=scaled)
        np.rint(scaled, out=scaled)
        out[start : start + _BLOCK] = scaled


def _below(bound: float) -> np.float32:
    """The largest float32 that is no larger."""
    near = np.float32(bound)
    return near if float(near) <= bound else np.nextafter(near, np.float32(0))
