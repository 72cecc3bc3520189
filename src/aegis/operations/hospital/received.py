"""The shared model as this hospital received it: the last one of each run, with what it needs.

A coordinator sends every round's model to be trained or scored; what arrives here stays here, so
that a hospital can look at its own patients through it without asking anybody. A file is kept only
once the node has taken the request: a model that the node refused was never this hospital's.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, DataError
from aegis.identity.keyfile import write_private
from aegis.messages import Evaluate, Refusal, Reply, Request, Train
from aegis.messages.stages import Mask
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
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(asdict(found)).encode(), dtype=np.uint8)
    np.savez(buffer, meta=text, weights=np.asarray(asked.weights))
    write_private(path, buffer.getvalue(), replace=True)
    for older in sorted(path.parent.glob("*.npz"), key=os.path.getmtime)[:-MOST_RUNS]:
        older.unlink(missing_ok=True)


def received(folder: HospitalFolder) -> list[Received]:
    """The latest first; files that cannot be read are left out."""

    def readable() -> Iterator[Received]:
        for path in (folder.root / FOLDER).glob("*.npz"):
            with suppress(DataError):
                yield _meta(path)

    return sorted(readable(), key=lambda one: one.time, reverse=True)


def weights_of(folder: HospitalFolder, found: Received) -> NDArray[np.floating]:
    """Raises ``DataError`` where they are not there any more."""
    path = _path(folder, found.run)
    try:
        with np.load(path, allow_pickle=False) as file:
            weights: NDArray[np.floating] = file["weights"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as a model", "it is kept again next round"
        ) from error
    return weights


def _path(folder: HospitalFolder, run: str) -> Path:
    from hashlib import sha256

    return folder.root / FOLDER / f"{sha256(run.encode()).hexdigest()[:24]}.npz"


def _meta(path: Path) -> Received:
    try:
        with np.load(path, allow_pickle=False) as file:
            said: Mapping[str, Any] = json.loads(bytes(file["meta"]))
        rounds = tuple((int(number), str(time)) for number, time in said["rounds"])
        return Received(**{**said, "rounds": rounds})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a model") from error
