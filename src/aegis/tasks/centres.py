"""The four UCI heart-disease files: where they come from, and how one becomes a table.

A table is what a file holds, and no more: (n, 14) numbers in the order of ``FIELDS``, NaN for a
question mark, codes as written. What the codes mean for learning is each task's own business.
The re-coded copy of Cleveland in wide circulation marks the HEALTHY with 1; hashes keep it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, DataError
from aegis.tasks.sources import Source, located

CENTRES = ("cleveland", "hungarian", "switzerland", "va")
FIELDS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
    "slope", "ca", "thal", "num",
)  # fmt: skip
AT = {field: at for at, field in enumerate(FIELDS)}

CREDITS = (
    "Janosi, Steinbrunn, Pfisterer and Detrano (1989), Heart Disease, UCI Machine Learning "
    "Repository, doi:10.24432/C52P4X, CC BY 4.0; data collected by Andras Janosi MD (Hungarian "
    "Institute of Cardiology, Budapest), William Steinbrunn MD (University Hospital, Zurich), "
    "Matthias Pfisterer MD (University Hospital, Basel) and Robert Detrano MD PhD (V.A. Medical "
    "Center, Long Beach and Cleveland Clinic Foundation)"
)

_UPSTREAM = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease"
_PUBLISHED = {
    "cleveland": (18461, "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8"),
    "hungarian": (10263, "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796"),
    "switzerland": (4109, "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314"),
    "va": (6737, "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f"),
}
SOURCES: Mapping[str, Source] = {
    centre: Source(
        dataset="heart",
        name=f"processed.{centre}.data",
        url=f"{_UPSTREAM}/processed.{centre}.data",
        sha256=sha256,
        bytes=length,
        licence="CC BY 4.0",
        citation=CREDITS,
    )
    for centre, (length, sha256) in _PUBLISHED.items()
}


def chosen(sites: tuple[str, ...] | None) -> tuple[str, ...]:
    """The centres asked for, in the order of ``CENTRES``; all where none is named."""
    if sites is None:
        return CENTRES
    unknown = [site for site in sites if site not in CENTRES]
    if unknown or not sites:
        raise BadInput(
            f"data.sites names {', '.join(unknown) or 'no centre'}",
            f"the centres are {', '.join(CENTRES)}",
        )
    return tuple(centre for centre in CENTRES if centre in sites)


def read(directory: Path | None, centre: str) -> NDArray[np.float64]:
    """The published table of one centre, (n, 14); ``DataError`` where the file is absent, altered
    or holds something else."""
    path = located(
        directory,
        SOURCES[centre],
        "Without the files, data.synthetic: true takes a SYNTHETIC look-alike",
    )
    return table_of(path.read_text(encoding="ascii"))


def table_of(text: str) -> NDArray[np.float64]:
    table = np.array(
        [
            [np.nan if field == "?" else float(field) for field in line.split(",")]
            for line in text.split()
        ]
    )
    if table.ndim != 2 or table.shape[1] != len(FIELDS):
        raise DataError(f"a table of {table.shape} is no heart file", "it needs 14 columns")
    return table


def diseased(table: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) 1 where any vessel is narrowed by half or more."""
    return (table[:, AT["num"]] > 0).astype(np.int64)


def complete(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows without a question mark before ``slope``: 303, 261, 46 and 130 of the four."""
    rows: NDArray[np.float64] = table[~np.isnan(table[:, : AT["slope"]]).any(axis=1)]
    return rows


def published_split(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """FLamby's test rows of one centre, as a mask over its complete rows.

    The rule is scikit-learn's ``train_test_split(test_size=1 - .66, train_size=.66,
    random_state=43)``, stratified unless a class has two rows or fewer, written out with the same
    frozen random stream.
    """
    rng = np.random.RandomState(43)  # frozen by numpy for good, unlike Generator's methods
    train = int(0.66 * len(labels))
    held_out = np.zeros(len(labels), dtype=np.bool_)
    counts = np.bincount(labels, minlength=2)
    if counts.min() <= 2:
        held_out[rng.permutation(len(labels))[: len(labels) - train]] = True
        return held_out
    share = counts * train / len(labels)
    of_class = np.floor(share).astype(np.int64)
    of_class[np.argsort(of_class - share, kind="stable")[: train - of_class.sum()]] += 1
    for label, kept in enumerate(of_class):
        members = np.flatnonzero(labels == label)
        held_out[members[rng.permutation(len(members))[kept:]]] = True
    return held_out
