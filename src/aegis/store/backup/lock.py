"""One process at a time makes or removes backups; the lock ends with the process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from aegis.errors import BadInput, RunAborted
from aegis.store.home import held_alone

LOCK = ".lock"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Raises ``BadInput`` while another process has the folder."""

    def refusal(who: str) -> BadInput:
        return BadInput(
            f"{who} is making or removing backups in {folder}", way_out="Wait until it is done"
        )

    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = held_alone(folder / LOCK, refusal)
        held.__enter__()
    except OSError as error:
        raise RunAborted(
            f"{folder} cannot be written ({error.strerror})",
            way_out="Name another folder: --folder FOLDER",
        ) from error
    try:
        for staging in folder.glob(".*.staging"):  # of a process that was killed
            shutil.rmtree(staging, ignore_errors=True)
        yield
    finally:
        held.__exit__(None, None, None)
