"""WFDB records as PhysioNet publishes them: a header, signals in format 16 or 212, annotations.

A header (``.hea``) says in words what the signal file holds; format 16 is one little-endian number
of two bytes a sample, format 212 packs two samples of 12 bits in three bytes. The header also
carries the 16-bit sum of each signal, so a file that was cut or changed is found out. Annotations
(``.atr``) are words of 16 bits: six of kind, ten of time since the last one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError

MOST_BYTES = 256 << 20
KINDS: Mapping[int, str] = {
    1: "N", 2: "L", 3: "R", 4: "a", 5: "V", 6: "F", 7: "J", 8: "A", 9: "S", 10: "E", 11: "j",
    12: "/", 13: "Q", 25: "B", 30: "?", 34: "e", 35: "n", 38: "f", 41: "r",
}  # fmt: skip
"""The annotations that mark a heartbeat."""

_SKIP, _NUMBER, _SUBTYPE, _CHANNEL, _TEXT = 59, 60, 61, 62, 63


@dataclass(frozen=True)
class Signal:
    """One line of a header. ``gain`` is in steps of the converter per ``unit``; ``checksum`` is the
    16-bit sum of the samples, or None where the header has none."""

    file: str
    format: str
    gain: float
    baseline: int
    unit: str
    checksum: int | None
    lead: str


@dataclass(frozen=True)
class Header:
    name: str
    rate: float
    samples: int
    signals: tuple[Signal, ...]
    remarks: tuple[str, ...]


def read_header(path: Path) -> Header:
    """Raises ``DataError`` for what is no header of a single segment in one file."""
    lines = _bytes(path).decode("latin-1").splitlines()
    remarks = tuple(line.lstrip("#").strip() for line in lines if line.startswith("#"))
    plain = [line for line in lines if line.strip() and not line.startswith("#")]
    try:
        first = plain[0].split()
        name, count = first[0], int(first[1])
        rate, samples = float(re.split("[/(]", first[2])[0]), int(first[3])
        signals = tuple(_signal(line) for line in plain[1 : count + 1])
    except (IndexError, ValueError) as error:
        raise DataError(f"{path} is no WFDB header ({error})") from error
    if len(signals) != count or count < 1 or samples < 1 or "/" in name:
        raise DataError(f"{path} does not describe {count} signals of one segment")
    if len({(signal.file, signal.format) for signal in signals}) != 1:
        raise DataError(f"{path} spreads its signals over several files or formats")
    if Path(signals[0].file).name != signals[0].file:
        raise DataError(f"{path} points to {signals[0].file}, outside its folder")
    return Header(name, rate, samples, signals, remarks)


def _signal(line: str) -> Signal:
    fields = line.split(maxsplit=8)
    fields += [""] * (9 - len(fields))
    file, form, gain, _, zero, _, checksum, _, lead = fields
    found = re.fullmatch(r"([-\d.eE+]*)(?:\((-?\d+)\))?(?:/(\S+))?", gain)
    if found is None:
        raise ValueError(f"gain {gain}")
    value, baseline, unit = found.groups()
    return Signal(
        file,
        form,
        float(value or 0) or 200.0,
        int(baseline or zero or 0),
        unit or "mV",
        int(checksum) if checksum else None,
        lead,
    )


def read_signals(folder: Path, header: Header) -> NDArray[np.float64]:
    """(samples, signals) in the units of the header. Raises ``DataError`` for a format other than
    16 and 212, a file too short, and samples that do not add up to the header's sum."""
    first, count = header.signals[0], len(header.signals)
    path, wanted = folder / first.file, header.samples * count
    steps = _steps(path, _bytes(path), first.format, wanted)
    if len(steps) < wanted:
        raise DataError(f"{path} holds {len(steps)} samples", f"its header promises {wanted}")
    table = steps[:wanted].reshape(header.samples, count)
    for signal, column in zip(header.signals, table.T, strict=True):
        if signal.checksum is not None:
            difference = int(column.sum(dtype=np.int64)) - signal.checksum
            if difference % 65536:
                raise DataError(f"{path}: lead {signal.lead} does not add up to its header's sum")
    baseline = np.array([signal.baseline for signal in header.signals])
    values: NDArray[np.float64] = (table - baseline) / np.array([s.gain for s in header.signals])
    return values


def _steps(path: Path, raw: bytes, form: str, wanted: int) -> NDArray[np.integer]:
    if form == "16":
        return np.frombuffer(raw, "<i2", len(raw) // 2)
    if form != "212":
        raise DataError(f"{path} is in format {form}", "formats 16 and 212 are read")
    triples = np.frombuffer(raw, np.uint8)
    if wanted % 2 and len(triples) % 3 == 2:
        triples = np.append(triples, np.uint8(0))
    triples = triples[: len(triples) // 3 * 3].reshape(-1, 3).astype(np.int32)
    pairs = np.empty((len(triples), 2), np.int32)
    pairs[:, 0] = triples[:, 0] | (triples[:, 1] & 0x0F) << 8
    pairs[:, 1] = triples[:, 2] | (triples[:, 1] & 0xF0) << 4
    found: NDArray[np.integer] = pairs.reshape(-1)
    return np.where(found >= 2048, found - 4096, found)


def read_beats(path: Path) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Sample number and kind (``KINDS``) of each beat that the annotations mark, in time."""
    raw = _bytes(path)
    words = np.frombuffer(raw, "<u2", len(raw) // 2).tolist()
    places: list[int] = []
    kinds: list[str] = []
    time, at = 0, 0
    while at < len(words):
        kind, step = words[at] >> 10, words[at] & 1023
        at += 1
        if kind == 0 and step == 0:
            return np.array(places, np.int64), np.array(kinds, dtype="<U1")
        if kind == _SKIP:
            if at + 2 > len(words):
                break
            jump = words[at] << 16 | words[at + 1]
            time += jump - (1 << 32) if jump >= 1 << 31 else jump
            at += 2
        elif kind == _TEXT:
            at += (step + 1) // 2
        elif kind not in (_NUMBER, _SUBTYPE, _CHANNEL):
            time += step
            if kind in KINDS:
                places.append(time)
                kinds.append(KINDS[kind])
    raise DataError(f"{path} ends before its last annotation", "bring the whole file")


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
