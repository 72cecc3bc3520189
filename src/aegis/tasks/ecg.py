"""Heartbeats that are not normal, in the MIT-BIH arrhythmia records: other patients for the test.

Each beat becomes 33 numbers, 34 with the intercept: the 667 ms around it in lead MLII, its median
taken off, averaged to 30 points in mV and cut at 1 mV; the logarithms of the time since the beat
before and until the next one; and the ratio of the two. A beat's numbers come from that beat and
its two neighbours alone, on scales that are fixed beforehand: no patient's mean or template is in
them. They are computed once, where the record lies, when it is loaded.

The split is by patient (de Chazal et al. 2004): 22 records to learn from, 22 others to test on,
the four of paced hearts left out. Hospitals are groups of records, each with patients of both
halves; records 201 and 202 are of one person, so they lie at one hospital, though in both halves.
The privacy unit is the beat, and a patient has hundreds of beats.

A folder holds the WFDB records themselves, or ``mitbih_beats.npz``: ``X`` (n, 120) the window at
180 Hz in microvolts, ``rr`` (n, 2) seconds, ``y`` 0 for normal, ``record``, ``age``, ``sex``. A
folder of ``.npy`` files holds twelve-lead recordings instead (``twelve_leads``).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.task import Column, DataOptions, Dataset, Rows, Schema, below
from aegis.tasks.twelve_leads import read_recordings, recordings_in
from aegis.tasks.wfdb_records import read_beats, read_header, read_signals

URL = "https://physionet.org/content/mitdb/1.0.0/"
CREDITS = (
    "MIT-BIH Arrhythmia Database (Moody and Mark 2001, IEEE Eng Med Biol 20(3):45-50; Goldberger "
    f"et al. 2000, Circulation 101(23):e215; ODC-By 1.0), {URL}"
)
LEARNT = (
    101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215,
    220, 223, 230,
)  # fmt: skip
TESTED = (
    100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231,
    232, 233, 234,
)  # fmt: skip
SAME_PERSON = {202: 201}
SITES = 4
NORMAL = frozenset("NLRej")
ABNORMAL = frozenset("AaJSnVErF/fQ")
RATE = 360
BEFORE, AFTER, POINTS = 90, 150, 30
FOLDERS = ("ecg_mitbih", "mitdb")
FILE = "mitbih_beats.npz"
RR_LIMITS = (float(np.log(0.3)), float(np.log(1.875)))
RATIO_LIMITS = (0.2, 2.0)

_STEP = 1000 * (BEFORE + AFTER) / RATE / POINTS
SCHEMA = Schema(
    (
        *(
            Column(
                f"wave_{number + 1:02d}",
                "number",
                f"lead MLII {(number + 0.5) * _STEP - 1000 * BEFORE / RATE:+.0f} ms from the beat",
                "mV",
                -1.0,
                1.0,
            )
            for number in range(POINTS)
        ),
        Column("rr_before", "number", "time since the beat before", "log s", *RR_LIMITS),
        Column("rr_after", "number", "time until the next beat", "log s", *RR_LIMITS),
        Column("rr_ratio", "number", "time since the beat before over time until the next", "",
               *RATIO_LIMITS),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Ecg:
    """All beats of 44 records (about 100,700), or the 32,500 of the smaller file."""

    name: str = "ecg"
    title: str = "Abnormal heartbeats, MIT-BIH, unseen patients"
    positive: str = "abnormal beat"
    schema: Schema = SCHEMA
    credits: str = CREDITS
    unit: str = "heartbeat (a patient has hundreds)"

    @property
    def preset(self) -> Mapping[str, Any]:
        """Logistic regression by Newton, on scales fixed beforehand."""
        return {
            "data": {"standardize": "none"},
            "federated": {"num_clients": SITES, "num_rounds": 14, "partition": {"by": "site"}},
            "model": {"name": "logistic", "init": "zeros"},
            "training": {"solver": "newton", "l2": 1.0, "tolerance": 1e-8},
        }

    def located(self, directory: Path | None) -> Path:
        """Where the records lie. Raises ``DataError`` that says where they come from."""
        return _records(DataOptions(directory=directory))[0]

    def load(self, options: DataOptions) -> Dataset:
        """``held_out`` marks the beats of the test patients."""
        if options.synthetic:
            from aegis.tasks.drawn_beats import invented_recordings

            return invented_recordings(options)
        if options.path is not None and recordings_in(options.path):
            return read_recordings(options)
        rows, source = _rows(options)
        record = np.asarray(rows.attributes["record"])
        groups = _groups(np.unique(record).tolist())
        sites = np.array([f"hospital_{groups[number] + 1}" for number in record.tolist()])
        keep = np.ones(len(rows), dtype=np.bool_)
        if options.sites is not None:
            unknown = sorted(set(options.sites) - set(sites.tolist()))
            if unknown:
                names = ", ".join(np.unique(sites).tolist())
                raise DataError(f"data.sites names {', '.join(unknown)}", f"there are {names}")
            keep = np.isin(sites, options.sites)
        return Dataset(
            rows.take(keep),
            source=source,
            sites=sites[keep],
            held_out=np.isin(record, TESTED)[keep],
            fixed_split=True,
        )


def _rows(options: DataOptions) -> tuple[Rows, str]:
    folder, here = _records(options)
    if not here:
        return read_beat_file(folder), f"{CREDITS}; at most 500 normal beats of each record"
    rows = below([read_record(folder, number) for number in here])
    return rows, f"{CREDITS}; {len(here)} of {len(LEARNT + TESTED)} records"


def _records(options: DataOptions) -> tuple[Path, list[int]]:
    """A folder and the records in it, or the smaller file and nothing. Raises ``DataError`` where
    there is neither."""
    folder = _folder(options)
    if folder.is_file():
        return folder, []
    wanted = (*LEARNT, *TESTED)
    here = [number for number in wanted if (folder / f"{number}.hea").is_file()]
    if len(here) < len(wanted) and (folder / FILE).is_file():
        return folder / FILE, []
    halves = set(here) & set(LEARNT), set(here) & set(TESTED)
    if not all(halves) or (options.path is None and len(here) < len(wanted)):
        raise DataError(
            f"{folder} holds {len(here)} of the {len(wanted)} records",
            "records of both halves are needed, all of them unless data.path names the folder",
            f"Bring the .hea, .dat and .atr files from {URL}",
        )
    return folder, here


def _folder(options: DataOptions) -> Path:
    if options.path is not None:
        return options.path
    if options.directory is None:
        raise DataError(
            "no data directory is set, so the MIT-BIH records cannot be read",
            f"they lie in a folder {' or '.join(FOLDERS)} of the one that AEGIS_DATA_DIR names",
            f"Bring them from {URL}, or name their folder in data.path",
        )
    places = [options.directory / name for name in FOLDERS]
    return next((place for place in places if place.is_dir()), options.directory)


def _groups(records: Sequence[int]) -> dict[int, int]:
    """The hospital of each record: each half is dealt round, one person's records together."""
    learnt = [number for number in LEARNT if number in records]
    count = min(SITES, len(learnt)) or 1
    tested = [number for number in TESTED if number in records]
    found = {number: at % count for half in (learnt, tested) for at, number in enumerate(half)}
    for number, other in SAME_PERSON.items():
        if number in found and other in found:
            found[number] = found[other]
    return found


def read_record(folder: Path, number: int) -> Rows:
    """All beats of one record but the first and the last, which lack a neighbour."""
    header = read_header(folder / f"{number}.hea")
    leads = [signal.lead for signal in header.signals]
    if header.rate != RATE or "MLII" not in leads:
        raise DataError(
            f"record {number} has the leads {', '.join(leads)} at {header.rate:g} Hz",
            f"lead MLII at {RATE} Hz is wanted",
        )
    wave = read_signals(folder, header)[:, leads.index("MLII")]
    places, kinds = read_beats(folder / f"{number}.atr")
    rr = np.diff(places) / RATE
    known = np.isin(kinds, [*NORMAL, *ABNORMAL])
    inside = (places >= BEFORE) & (places + AFTER <= len(wave)) & known
    inside[[0, -1]] = False
    at = np.flatnonzero(inside)
    if np.any(rr[at - 1] <= 0) or np.any(rr[at] <= 0):
        raise DataError(f"the beats of record {number} do not follow one another in time")
    windows = wave[places[at][:, None] + np.arange(-BEFORE, AFTER)]
    age, sex = _person(header.remarks)
    return _as_rows(
        windows.reshape(len(at), -1, 2).mean(axis=2),
        np.stack([rr[at - 1], rr[at]], axis=1),
        ~np.isin(kinds[at], [*NORMAL]),
        np.full(len(at), number),
        np.full(len(at), age),
        np.full(len(at), sex),
    )


def _person(remarks: Sequence[str]) -> tuple[float, str]:
    words = remarks[0].split() if remarks else []
    age = float(words[0]) if words and words[0].isdigit() else np.nan
    return age, words[1] if len(words) > 1 else ""


def read_beat_file(path: Path) -> Rows:
    """The smaller file; ``DataError`` where it holds something else."""
    names = ("X", "rr", "y", "record", "age", "sex")
    try:
        with np.load(path, allow_pickle=False) as file:
            wave, rr, y, record, age, sex = (file[name] for name in names)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no file of beats ({error})") from error
    shapes = [array.shape for array in (wave, rr, y, record, age, sex)]
    n = len(y)
    if shapes != [(n, 120), (n, 2), (n,), (n,), (n,), (n,)] or not n or np.any(rr <= 0):
        raise DataError(f"{path} holds arrays of the shapes {shapes}")
    if not np.isin(record, [*LEARNT, *TESTED]).all():
        raise DataError(f"{path} holds records that are in neither half of the split")
    ages = np.where(age < 0, np.nan, age.astype(np.float64))
    return _as_rows(wave / 1000.0, rr.astype(np.float64), y != 0, record, ages, sex)


def _as_rows(
    wave: NDArray[np.float64],
    rr: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    record: NDArray[Any],
    age: NDArray[np.float64],
    sex: NDArray[Any],
) -> Rows:
    """From windows (n, 120) in mV and the two times (n, 2) in seconds."""
    even = wave - np.median(wave, axis=1, keepdims=True)
    points = even.reshape(len(even), POINTS, -1).mean(axis=2)
    values = np.column_stack([points, np.log(rr), rr[:, 0] / rr[:, 1]])
    inputs = {
        column.name: np.clip(values[:, j], column.low, column.high)
        for j, column in enumerate(SCHEMA.columns)
    }
    words = np.where(sex == "M", "male", np.where(sex == "F", "female", ""))
    attributes = {"age": age, "sex": words, "record": record.astype(np.int64)}
    return Rows(inputs, abnormal.astype(np.int64), attributes)


ecg = Ecg()
