"""An invented sample of vital signs with a known best possible accuracy.

Every number is drawn; no patient is behind any row. Hospitals differ as real ones do: one has older
patients with higher pressures, one lies high up where saturations are lower, one sees many fevers.
The rule is a textbook's: a person is healthy whose heart rate is 60 to 100, whose pressure is below
140 over 90 and whose saturation is 95 or more. A share ``NOISE`` of the labels is then turned
round, at random and alike everywhere, so that nobody who sees the four values alone can be right
more often than ``BAYES_ACCURACY`` on average: that is the mark which training is held to.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError

LABEL = "SYNTHETIC vital signs by a stated rule; no patient is behind any row"
NOISE = 0.08
BAYES_ACCURACY = 1 - NOISE
RULE = (
    "healthy: heart rate 60 to 100, pressure below 140 over 90, saturation 95 or more; "
    f"{NOISE:.0%} of the labels turned round"
)
COLUMNS = ("heart_rate", "systolic_bp", "diastolic_bp", "spo2", "healthy")
LIMITS = ((50.0, 120.0), (90.0, 160.0), (60.0, 100.0), (90.0, 100.0))
_PULSE_PRESSURE = 15.0


@dataclass(frozen=True)
class _Kind:
    """The commonest value of each sign at a hospital of this kind."""

    heart_rate: float
    systolic: float
    diastolic: float
    spo2: float


_KINDS = (
    _Kind(76, 120, 76, 98.5),
    _Kind(72, 132, 82, 98.0),
    _Kind(80, 118, 74, 96.5),
    _Kind(90, 116, 74, 98.0),
    _Kind(68, 124, 78, 99.0),
)


def sample(hospital: int, rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The table (rows, 5) of one hospital, counted from 0, in the order of ``COLUMNS``, and which
    of its labels follow the rule (rows,). The same seed gives the same table."""
    kind = _KINDS[hospital % len(_KINDS)]
    text = f"aegis/vitals/v1|{seed}|{hospital}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    rng = np.random.Generator(np.random.Philox(key=key))
    pulse = rng.triangular(50, kind.heart_rate, 120, rows)
    systolic = rng.triangular(90, kind.systolic, 160, rows)
    highest = np.minimum(100, systolic - _PULSE_PRESSURE)
    diastolic = rng.triangular(60, np.minimum(kind.diastolic, highest), highest)
    spo2 = rng.triangular(90, kind.spo2, 100, rows)
    drawn = np.stack([pulse, systolic, diastolic, spo2], axis=1).astype(np.float64)
    signs: NDArray[np.float64] = np.round(drawn, 1)
    truthful = rng.random(rows) >= NOISE
    healthy = np.where(truthful, healthy_by_rule(signs), ~healthy_by_rule(signs))
    return np.column_stack([signs, healthy.astype(np.float64)]), truthful


def healthy_by_rule(signs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) of the four signs (n, 4)."""
    pulse, systolic, diastolic, spo2 = signs.T
    found: NDArray[np.bool_] = (
        (pulse >= 60) & (pulse <= 100) & (systolic < 140) & (diastolic < 90) & (spo2 >= 95)
    )
    return found


def csv_of(table: NDArray[np.float64]) -> str:
    """The table as the CSV that the task reads."""
    lines = [",".join(COLUMNS)]
    lines += [",".join([*(f"{v:.1f}" for v in row[:4]), f"{row[4]:.0f}"]) for row in table]
    return "\n".join(lines) + "\n"


def write_samples(folder: Path, hospitals: int, rows: int, seed: int) -> tuple[list[Path], float]:
    """One CSV per hospital with a README beside them. Answers the CSV files, and the share of
    labels in them that follow the rule. Raises ``DataError`` where they cannot be written."""
    files, truthful = [], 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(hospitals):
            table, honest = sample(number, rows, seed)
            path = folder / f"hospital_{number + 1}.csv"
            path.write_text(csv_of(table), encoding="utf-8", newline="\n")
            files.append(path)
            truthful += int(honest.sum())
        (folder / "README.txt").write_text(_README.format(rows=rows, seed=seed), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror})") from error
    return files, truthful / (rows * hospitals)


_README = f"""{LABEL}

One file per hospital, {{rows}} rows each, drawn with seed {{seed}} (aegis data sample vitals).
Columns: heart_rate 50 to 120 1/min, systolic_bp 90 to 160 mmHg, diastolic_bp 60 to 100 mmHg,
spo2 90 to 100 %, healthy 0 or 1.
Rule of the labels:
{RULE}.
Hospitals differ in what is common there: pressures, saturations and heart rates are shifted.
Bayes accuracy: {BAYES_ACCURACY:.2f}. Whoever knows the rule is right that often on average, and
nobody can be right more often.
"""
