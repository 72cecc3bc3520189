"""Training, validation or test by a coin of each row's own.

A private plan promises that a model hardly depends on one patient. Whoever divides rows by quota,
or in equal shares of labels, breaks that before any noise is added: with one patient more, or with
one other diagnosis, dozens of the others change sides, and the sums of training differ by all of
them. So each row's side follows from the seed and from what that row holds, and from nothing else:
no other row can move it. The shares are then only about what was asked for, and a small hospital
may come away without a test row.

A row is known by its label and inputs, or by its patient where the data name patients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.task import Rows


def coins(known_by: Iterable[bytes], seed: int) -> NDArray[np.float64]:
    """(n,) uniform in [0, 1), one for each row; equal rows have equal ones."""
    start = hashlib.sha256(f"aegis sides {seed}".encode())
    words = []
    for row in known_by:
        digest = start.copy()
        digest.update(row)
        words.append(int.from_bytes(digest.digest()[:8], "big") >> 11)
    return np.array(words, dtype=np.float64) * 2.0**-53


def row_names(rows: Rows) -> list[bytes]:
    """What each row is known by: its label and its inputs."""
    if isinstance(rows.inputs, np.ndarray):
        pixels = np.ascontiguousarray(rows.inputs)
        return [
            label.tobytes() + image.tobytes()
            for label, image in zip(rows.labels, pixels, strict=True)
        ]
    columns = [rows.inputs[name] for name in sorted(rows.inputs)]
    words = [values.tolist() for values in columns if values.dtype.kind not in "biuf"]
    numbers = [values for values in columns if values.dtype.kind in "biuf"]
    table = np.column_stack([rows.labels, *numbers]).astype(np.float64)
    said = zip(*words, strict=True) if words else ((),) * len(rows)
    return [known.tobytes() + repr(text).encode() for known, text in zip(table, said, strict=True)]
