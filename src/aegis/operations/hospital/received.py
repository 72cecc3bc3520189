"""The shared model as this hospital received it: the last one of each run, with what it needs.

A coordinator sends every round's model to be trained or scored; what arrives here stays here, so
that a hospital can look at its own patients through it without asking anybody. A file is kept only
once the node has taken the request: a model that the node refused was never this hospital's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, DataError
from aegis.messages import Evaluate, Refusal, Reply, Request, Train
from aegis.messages.stages import Mask
from aegis.operations.hospital import kept
from aegis.operations.hospital.folder import HospitalFolder

MOST_RUNS = 5
MOST_ROUNDS = 1000
FOLDER = "received"


@dataclass(frozen=True)
class Received:
    """``final`` says that it came to be scored on test rows; ``rounds`` are (round, UTC time)."""

    run: str
    round: int
    plan_sha256: str
    preparation: str
    final: bool
    time: str
    rounds: tuple[tuple[int, str], ...] = ()


def keeping(folder: HospitalFolder) -> Callable[[Request, Reply | None], None]:
    """Hears every question with its answer, and keeps the models among them."""

    def heard(request: Request, reply: Reply | None) -> None:
        asked = request.inner if isinstance(request, Mask) else request
        if reply is None or isinstance(reply, Refusal) or not isinstance(asked, Train | Evaluate):
            return
        with suppress(AegisError, OSError):  # a full disk costs a picture, not the run
            keep(folder, asked)

    return heard


def keep(folder: HospitalFolder, asked: Train | Evaluate) -> None:
    path = _path(folder, asked.run)
    before = _meta(path) if path.exists() else None
    rounds = dict(before.rounds) if before is not None else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rounds.setdefault(asked.round, now)
    found = Received(
        asked.run,
        asked.round,
        asked.plan_sha256,
        asked.preparation,
        isinstance(asked, Evaluate) and asked.part == "test",
        now,
        tuple(sorted(rounds.items()))[-MOST_ROUNDS:],
    )
    kept.keep(path, asdict(found), np.asarray(asked.weights))
    for older in sorted(path.parent.glob(f"*{kept.SUFFIX}"), key=os.path.getmtime)[:-MOST_RUNS]:
        older.unlink(missing_ok=True)


def received(folder: HospitalFolder) -> list[Received]:
    """The latest first; files that cannot be read are left out."""

    def readable() -> Iterator[Received]:
        for path in (folder.root / FOLDER).glob(f"*{kept.SUFFIX}"):
            with suppress(DataError):
                yield _meta(path)

    return sorted(readable(), key=lambda one: one.time, reverse=True)


def weights_of(folder: HospitalFolder, found: Received) -> NDArray[np.floating]:
    """Raises ``DataError`` where they are not there any more."""
    return kept.weights_of(_path(folder, found.run))


def _path(folder: HospitalFolder, run: str) -> Path:
    from hashlib import sha256

    return folder.root / FOLDER / f"{sha256(run.encode()).hexdigest()[:24]}{kept.SUFFIX}"


def _meta(path: Path) -> Received:
    said = kept.document_of(path)
    try:
        rounds = tuple((int(number), str(time)) for number, time in said["rounds"])
        return Received(**{**said, "rounds": rounds})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a model") from error
