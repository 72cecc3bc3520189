"""SYNTHETIC tables that look like the four heart files, for work without the files.

Every number is drawn; no patient is behind any row. Sizes, shares of disease, ages, shares of men
and the columns that a centre leaves empty follow the published summaries of each centre, so that
what breaks on the real federation breaks here. Whoever shows a result made from these tables must
show ``LABEL`` with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.centres import AT, FIELDS

LABEL = "SYNTHETIC look-alike of the UCI heart-disease files; no patient is behind any row"

EXERCISE = ("thalach", "exang", "oldpeak")


@dataclass(frozen=True)
class Centre:
    """``missing`` holds the share of rows without a column's value; a row without an exercise test
    lacks all of ``EXERCISE``. ``no_cholesterol`` is the share written as 0."""

    rows: int
    disease: float
    age: float
    men: float
    missing: Mapping[str, float] = field(default_factory=dict)
    no_exercise: float = 0.0
    no_cholesterol: float = 0.0


SHAPES: Mapping[str, Centre] = {
    "cleveland": Centre(303, 0.46, 54.4, 0.68, {"ca": 0.01, "thal": 0.01}),
    "hungarian": Centre(
        294, 0.36, 47.8, 0.72, {"chol": 0.08, "fbs": 0.03, "slope": 0.65, "ca": 0.99, "thal": 0.9}
    ),
    "switzerland": Centre(
        123,
        0.935,
        55.3,
        0.92,
        {"trestbps": 0.02, "fbs": 0.6, "oldpeak": 0.05, "slope": 0.14, "ca": 0.96, "thal": 0.42},
        no_cholesterol=1.0,
    ),
    "va": Centre(
        200,
        0.745,
        59.4,
        0.97,
        {"trestbps": 0.02, "chol": 0.03, "fbs": 0.03, "slope": 0.3, "ca": 0.99, "thal": 0.83},
        no_exercise=0.3,
        no_cholesterol=0.25,
    ),
}


@dataclass(frozen=True)
class _Patients:
    """Draws one column at a time for patients of whom ``ill`` (n,) says who is."""

    ill: NDArray[np.bool_]
    rng: np.random.Generator

    def flag(self, healthy: float, ill: float) -> NDArray[np.float64]:
        return (self._uniform() < np.where(self.ill, ill, healthy)).astype(np.float64)

    def measure(
        self, mean: NDArray[np.floating], spread: float, low: float, high: float, digits: int = 0
    ) -> NDArray[np.float64]:
        drawn = self.rng.normal(mean, spread, len(self.ill))
        return np.asarray(np.clip(np.round(drawn, digits), low, high))

    def code(self, *chances: tuple[int, float, float]) -> NDArray[np.float64]:
        """Each chance is (code, share of the healthy, share of the ill)."""
        codes, healthy, ill = np.array(chances, dtype=np.float64).T
        upto = np.where(self.ill[:, None], np.cumsum(ill), np.cumsum(healthy))
        drawn: NDArray[np.float64] = codes[(self._uniform()[:, None] > upto[:, :-1]).sum(axis=1)]
        return drawn

    def some(self, share: float) -> NDArray[np.bool_]:
        return self._uniform() < share

    def _uniform(self) -> NDArray[np.float64]:
        return self.rng.random(len(self.ill))


def heart_table(centre: str, seed: int) -> NDArray[np.float64]:
    """The look-alike of one centre's file, (n, 14) as ``centres.read`` gives it; the same seed
    gives the same table."""
    shape = SHAPES[centre]
    text = f"aegis/lookalike/v1|{seed}|{centre}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    rng = np.random.Generator(np.random.Philox(key=key))
    ill = rng.permutation(shape.rows) < round(shape.disease * shape.rows)
    draw = _Patients(ill, rng)

    age = draw.measure(shape.age + 4 * (ill - shape.disease), 8, 28, 77)
    older = age - 53
    men = shape.men - 0.1 * shape.disease
    columns = {
        "age": age,
        "sex": draw.flag(men, min(men + 0.1, 0.98)),
        "cp": draw.code((1, 0.07, 0.05), (2, 0.28, 0.08), (3, 0.33, 0.22), (4, 0.32, 0.65)),
        "trestbps": draw.measure(128 + 0.4 * older + 3 * ill, 17, 90, 200),
        "chol": draw.measure(235 + 0.8 * older + 12 * ill, 50, 110, 560),
        "fbs": draw.flag(0.12, 0.19),
        "restecg": draw.code((0, 0.66, 0.5), (1, 0.14, 0.22), (2, 0.2, 0.28)),
        "thalach": draw.measure(147 - 0.8 * older - 11 * ill, 21, 60, 202),
        "exang": draw.flag(0.2, 0.48),
        "oldpeak": draw.measure(0.5 + 0.7 * ill, 1.0, 0, 6.2, digits=1),
        "slope": draw.code((1, 0.55, 0.32), (2, 0.39, 0.58), (3, 0.06, 0.1)),
        "ca": draw.code((0, 0.74, 0.42), (1, 0.16, 0.29), (2, 0.06, 0.18), (3, 0.04, 0.11)),
        "thal": draw.code((3, 0.7, 0.38), (6, 0.05, 0.08), (7, 0.25, 0.54)),
        "num": draw.code((0, 1, 0), (1, 0, 0.45), (2, 0, 0.25), (3, 0, 0.2), (4, 0, 0.1)),
    }
    table = np.stack([columns[name] for name in FIELDS], axis=1)
    table[draw.some(shape.no_cholesterol), AT["chol"]] = 0
    for name, share in shape.missing.items():
        table[draw.some(share), AT[name]] = np.nan
    untested = draw.some(shape.no_exercise)
    for name in EXERCISE:
        table[untested, AT[name]] = np.nan
    return table
