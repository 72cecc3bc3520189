"""What one hospital holds, and what it remembers between rounds.

``Site`` owns the rows; nothing in it is ever sent. ``Memory`` keeps a hospital's own state of a run
(SCAFFOLD's control variates), by round, so that a repeated request finds what it found before.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aegis.database import opened
from aegis.messages import Part
from aegis.tasks.bounded import read_preparation
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.preparation import Preparation
from aegis.tasks.task import Rows, Schema, below
from aegis.training.engines import Engine

MOST_KEPT = 12


@dataclass(frozen=True)
class Site:
    """``schema`` describes the rows; ``resources`` is a relative speed for selection; ``engine``
    is what this hospital trains in, which is its own affair."""

    name: str
    schema: Schema
    train: Rows
    validation: Rows
    test: Rows
    resources: float = 1.0
    engine: Engine = "numpy"

    def scoring_only(self) -> Site:
        """This hospital where it scores models and never trains: every row is held out."""
        nobody = self.train.take(np.zeros(0, dtype=np.intp))
        every = below([self.train, self.validation, self.test])
        return replace(self, train=nobody, validation=nobody, test=every)

    def part(self, part: Part) -> Rows:
        return self.validation if part == "validation" else self.test


class Designs:
    """Design matrices of one site, built once for each preparation. Those of images take long: in
    ``folder``, which only this hospital reads, the latest ones outlive the process."""

    def __init__(self, site: Site, folder: Path | None = None) -> None:
        self._site, self._folder = site, folder
        self._built: dict[tuple[str, str], NDArray[np.floating]] = {}

    def of(self, what: str, preparation: str, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        key = (what, preparation)
        if key not in self._built:
            match what:
                case "train":
                    rows = self._site.train
                case "validation":
                    rows = self._site.validation
                case _:
                    rows = self._site.test
            self._built[key] = np.ascontiguousarray(self._design(rows, preparation), dtype=dtype)
        return self._built[key]

    def _design(self, rows: Rows, preparation: str) -> NDArray[np.float64]:
        prepared = read_preparation(preparation) if preparation else Preparation(())
        if self._folder is None or not isinstance(prepared, ImageFeatures):
            return prepared.apply(rows)
        digest = hashlib.sha256(preparation.encode())
        assert isinstance(rows.inputs, np.ndarray)
        digest.update(f"{rows.inputs.dtype} {rows.inputs.shape}".encode())
        digest.update(rows.inputs.tobytes())
        path = self._folder / f"{digest.hexdigest()}.npy"
        with suppress(OSError, ValueError, EOFError):
            kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
            if kept.shape == (len(rows), prepared.components) and kept.dtype == np.float32:
                prepared.remember(rows.inputs, kept)
                return np.asarray(kept, dtype=np.float64)
        design = prepared.apply(rows)
        with suppress(OSError):  # a full disk costs time, not the run
            _keep(path, design.astype(np.float32))
        return design


def _keep(path: Path, design: NDArray[np.float32]) -> None:
    # Sensitive: made of one hospital's patients; for its own eyes.
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        with open(os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            np.save(file, design)
        os.replace(arriving, path)
        for older in sorted(path.parent.glob("*.npy"), key=os.path.getmtime)[:-MOST_KEPT]:
            older.unlink(missing_ok=True)
    finally:
        arriving.unlink(missing_ok=True)


class Memory(Protocol):
    def keep(self, run: str, round: int, hospital: str, vector: NDArray[np.floating]) -> None: ...

    def recall(self, run: str, before: int, hospital: str) -> NDArray[np.floating] | None:
        """What was kept in the latest round before ``before``."""
        ...

    def close(self) -> None: ...


class VolatileMemory:
    """Lost with the process: enough where nothing needs to survive."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[int, NDArray[np.floating]]] = {}

    def keep(self, run: str, round: int, hospital: str, vector: NDArray[np.floating]) -> None:
        rounds = self._kept.setdefault((run, hospital), {})
        rounds[round] = vector
        rounds.pop(round - 2, None)

    def recall(self, run: str, before: int, hospital: str) -> NDArray[np.floating] | None:
        rounds = self._kept.get((run, hospital), {})
        earlier = [number for number in rounds if number < before]
        return rounds[max(earlier)] if earlier else None

    def close(self) -> None:
        self._kept.clear()


class SqliteMemory:
    """One file, synced to disk before a reply leaves."""

    def __init__(self, path: Path) -> None:
        self._db = opened(path)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS kept (run TEXT, hospital TEXT, round INTEGER, vector BLOB,"
            " PRIMARY KEY (run, hospital, round))"
        )

    def keep(self, run: str, round: int, hospital: str, vector: NDArray[np.floating]) -> None:
        data = np.ascontiguousarray(vector, dtype="<f8").tobytes()
        self._db.execute(
            "INSERT OR REPLACE INTO kept VALUES (?,?,?,?)", (run, hospital, round, data)
        )

    def recall(self, run: str, before: int, hospital: str) -> NDArray[np.floating] | None:
        row = self._db.execute(
            "SELECT vector FROM kept WHERE run=? AND hospital=? AND round<?"
            " ORDER BY round DESC LIMIT 1",
            (run, hospital, before),
        ).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype="<f8").copy()

    def close(self) -> None:
        self._db.close()
