"""Twelve-lead recordings of ten seconds as ``.npy`` files, and what is read off each of them.

A file holds (12, 5000) or (5000, 12) values at 500 Hz: fractions are millivolts, whole numbers
microvolts. Files lie in a folder for each class (normal, arrhythmia, mi, hypertrophy,
conduction_defect, abnormal), with the publisher's split above it or with ``labels.csv``; the normal
ones are told from all others.

Each recording becomes 171 numbers. Beats are found where all leads change fastest; the middle beat
of each lead, from 250 ms before to 450 ms after, is averaged to 14 points in mV, its own median
taken off; and the rhythm is the middle time between beats, how much these times vary, and how much
one differs from the next. A recording's numbers come from itself alone, on scales that are fixed
beforehand.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.folders.gathering import take, together
from aegis.tasks.folders.listing import Filed, Wanted, listed
from aegis.tasks.folders.looking import contents
from aegis.tasks.folders.meanings import Words
from aegis.tasks.images import array_in
from aegis.tasks.task import Column, DataOptions, Dataset, Schema

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE, SAMPLES = 500, 5000
BEFORE, AFTER, POINTS = 125, 225, 14
ENDING = ".npy"
UNIT = "recording of ten seconds"
MOST_FILE = 1 << 20
FEWEST_BEATS = 3
WORDS = Words(
    ill=frozenset(
        {"arrhythmia", "mi", "myocardialinfarction", "hypertrophy", "conductiondefect", "abnormal"}
    ),
    healthy=frozenset({"normal", "norm", "sinusrhythm"}),
)
_STEP = 1000 * (BEFORE + AFTER) / RATE / POINTS
SCHEMA = Schema(
    (
        *(
            Column(
                f"{lead}_{number + 1:02d}",
                "number",
                f"lead {lead} {(number + 0.5) * _STEP - 1000 * BEFORE / RATE:+.0f} ms from beat",
                "mV",
                -1.5,
                1.5,
            )
            for lead in LEADS
            for number in range(POINTS)
        ),
        Column("rr", "number", "middle time between beats", "log s", -1.2, 0.7),
        Column("rr_spread", "number", "deviation of these times over their mean", "", 0.0, 0.5),
        Column("rr_change", "number", "mean change from one to the next over the mean", "", 0, 0.5),
    )
)


def read_recordings(options: DataOptions) -> Dataset:
    """The recordings in ``options.path``. Raises ``DataError`` that names each file which cannot be
    used, and why."""
    assert options.path is not None
    wanted = Wanted(
        (ENDING,),
        sites=options.sites,
        label=options.label,
        group=options.group,
        is_class=lambda word: WORDS.is_class(word, options.positive),
    )
    listing = listed(options.path, wanted)
    taken = take(listing, options, WORDS)
    numbers = []
    for one in taken.filed:
        try:
            numbers.append(measured(recording(one)))
        except DataError as error:
            listing.faults.append((one.name, str(error)))
    listing.refuse()
    table = np.stack(numbers)
    keys = [(row.tobytes(), one.patient) for row, one in zip(table, taken.filed, strict=True)]
    columns = {column.name: table[:, j].copy() for j, column in enumerate(SCHEMA.columns)}
    found = taken.dataset(columns, SCHEMA, together(keys, taken.hospitals))
    return replace(found, unit=UNIT)


def recording(filed: Filed) -> NDArray[np.float64]:
    """(12, 5000) in mV. Raises ``DataError`` for anything else."""
    data = contents(filed.path, MOST_FILE)
    try:
        values = array_in(io.BytesIO(data), "this file")
    except (ValueError, EOFError, SyntaxError, OverflowError) as error:
        raise DataError("it is no array of numbers, or cut short") from error
    if values.shape == (SAMPLES, len(LEADS)):
        values = values.T
    if values.shape != (len(LEADS), SAMPLES) or values.dtype.kind not in "fiu":
        raise DataError(
            f"it is an array {values.shape} of {values.dtype}",
            f"({len(LEADS)}, {SAMPLES}) is wanted, 10 s at {RATE} Hz",
        )
    if not np.isfinite(values).all():
        raise DataError("some of its values are no numbers")
    scale = 1.0 if values.dtype.kind == "f" else 1e-3
    return np.asarray(values, dtype=np.float64) * scale


def measured(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """(171,) of one recording (12, 5000) in mV, within the public ranges."""
    beats = beats_in(wave)
    inside = beats[(beats >= BEFORE) & (beats + AFTER <= SAMPLES)]
    if len(inside) < FEWEST_BEATS:
        raise DataError(f"{len(inside)} heartbeats are found in it", f"{FEWEST_BEATS} are needed")
    windows = wave[:, inside[:, None] + np.arange(-BEFORE, AFTER)]
    middle = np.median(windows, axis=1)
    middle = middle - np.median(middle, axis=1, keepdims=True)
    points = middle.reshape(len(LEADS), POINTS, -1).mean(axis=2)
    rr = np.diff(beats) / RATE
    rhythm = [np.log(np.median(rr)), rr.std() / rr.mean(), np.abs(np.diff(rr)).mean() / rr.mean()]
    found = np.concatenate([points.ravel(), rhythm])
    low = np.array([column.low for column in SCHEMA.columns], dtype=np.float64)
    high = np.array([column.high for column in SCHEMA.columns], dtype=np.float64)
    clipped: NDArray[np.float64] = np.clip(found, low, high)
    return clipped


def beats_in(wave: NDArray[np.float64]) -> NDArray[np.intp]:
    """The samples at which all leads together change fastest, 240 ms apart at least."""
    change = wave[:, 6:] - wave[:, :-6]
    power = np.einsum("ls,ls->s", change, change)
    smooth = np.convolve(power, np.ones(40) / 40, mode="same")
    level = 0.3 * np.quantile(smooth, 0.98)
    found: list[int] = []
    for at in np.argsort(-smooth, kind="stable").tolist():
        if smooth[at] <= level or len(found) > 60:
            break
        if all(abs(at - other) >= 0.24 * RATE for other in found):
            found.append(at)
    return np.array(sorted(found), dtype=np.intp) + 3


def recordings_in(path: Path) -> bool:
    """Whether this is a folder that holds recordings, and no WFDB records."""
    if not path.is_dir() or any(path.glob("*.hea")):
        return False
    return any(one.suffix == ENDING for one in path.rglob(f"*{ENDING}"))
