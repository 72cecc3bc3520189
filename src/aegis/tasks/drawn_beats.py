"""SYNTHETIC twelve-lead recordings, drawn by rule; no patient is behind any of them.

A beat is a sum of bell curves (P, Q, R, S, T) with a gain for each lead. Each kind of disease
changes one thing of it: times between beats and the P wave (arrhythmia), the ST segment (mi), the
height of R (hypertrophy), the width of the QRS complex (conduction_defect), the sign of T
(abnormal). A share ``NOISE`` of the labels is turned round, so nobody can be right more often than
``BEST_ACCURACY`` on average; that is no clinical figure.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks.task import DataOptions, Dataset, Rows
from aegis.tasks.twelve_leads import RATE, SAMPLES, SCHEMA, UNIT, measured

SITES, RECORDINGS = 4, 60
NOISE = 0.08
BEST_ACCURACY = 1 - NOISE
KINDS = ("normal", "arrhythmia", "mi", "hypertrophy", "conduction_defect", "abnormal")
LABEL = "SYNTHETIC twelve-lead recordings by a stated rule; no patient is behind any of them"
_R = np.array([0.7, 1.0, 0.4, -0.8, 0.3, 0.7, 0.2, 0.5, 0.9, 1.3, 1.3, 1.0])
_S = np.array([0.1, 0.2, 0.2, -0.1, 0.1, 0.2, 0.9, 1.1, 0.8, 0.4, 0.2, 0.1])
_T = np.array([0.2, 0.3, 0.1, -0.25, 0.1, 0.2, 0.1, 0.3, 0.35, 0.35, 0.3, 0.25])
_CHEST = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0.3, 0])
_LEFT = np.array([1, 0.3, 0, 0, 1, 0, 0, 0, 0, 0.5, 1, 1])


def draw_recording(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """(12, 5000) in mV at 500 Hz, of one of ``KINDS``."""
    rate = rng.normal(0.85, 0.08)
    spread = 0.22 if kind == "arrhythmia" else 0.03
    beats = np.cumsum(np.maximum(0.4, rng.normal(rate, spread * rate, 30))) - 0.5
    time = np.arange(SAMPLES) / RATE
    wide = rng.normal(2.4, 0.1) if kind == "conduction_defect" else rng.normal(1, 0.05)
    high = 1 + _LEFT if kind == "hypertrophy" else np.ones(12)
    raised = rng.normal(0.3, 0.04) * _CHEST if kind == "mi" else np.zeros(12)
    t_wave = -_T if kind == "abnormal" else _T
    p_wave = 0.0 if kind == "arrhythmia" else 0.12
    size = rng.normal(1, 0.12)
    waves = (
        (-0.17, 0.02, p_wave * _R),
        (-0.03 * wide, 0.008 * wide, -0.1 * _R),
        (0.0, 0.011 * wide, _R * high),
        (0.03 * wide, 0.011 * wide, -_S),
        (0.14, 0.045, raised),
        (0.29, 0.045, t_wave),
    )
    wave = np.zeros((12, SAMPLES))
    for beat in beats[beats < time[-1] + 0.5]:
        for after, width, gain in waves:
            bell = np.exp(-0.5 * ((time - beat - after) / width) ** 2)
            wave += size * gain[:, None] * bell
    drift = 0.1 * np.sin(2 * np.pi * (0.25 * time + rng.random((12, 1))))
    return np.asarray(wave + drift + rng.normal(0, 0.02, wave.shape))


def invented_recordings(options: DataOptions) -> Dataset:
    """Four hospitals of such recordings, measured like real ones; the normal against the rest."""
    if options.path is not None:
        raise DataError("data.path and data.synthetic exclude each other", way_out="Drop one")
    sites = {f"hospital_{number + 1}": number for number in range(SITES)}
    chosen = options.sites or tuple(sites)
    for site in chosen:
        if site not in sites:
            raise DataError(f"data.sites names {site}", f"there are {', '.join(sites)}")
    rows, labels = [], []
    for site in chosen:
        text = f"aegis/ecg/v1|{options.seed}|{sites[site]}"
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
        rng = np.random.Generator(np.random.Philox(key=key))
        for number in range(RECORDINGS):
            kind = KINDS[0] if number % 2 else KINDS[1 + int(rng.integers(len(KINDS) - 1))]
            rows.append(measured(draw_recording(kind, rng)))
            labels.append((kind != "normal") != (rng.random() < NOISE))
    table = np.stack(rows)
    return Dataset(
        Rows(
            {column.name: table[:, j].copy() for j, column in enumerate(SCHEMA.columns)},
            np.array(labels, dtype=np.int64),
        ),
        source=f"{LABEL} (seed {options.seed}; nobody can be right more often than "
        f"{BEST_ACCURACY:.0%} on average; nothing here is a clinical result)",
        sites=np.repeat(np.array(chosen), RECORDINGS),
        synthetic=True,
        schema=SCHEMA,
        unit=UNIT,
    )
