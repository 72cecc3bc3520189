"""The data root: where a party keeps everything, and how a file gets there whole or not at all.

AEGIS_HOME (default ./aegis-data)
├── models/  backups/  experiments/  results/
├── logs/    audit.db, the log that nobody can rewrite; witnesses.db, what simulated hospitals saw
├── keys/    the coordinator's; those of simulated hospitals while their run lasts
└── federated_learning.db
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import AegisError, BadInput, RunAborted

FOLDERS = ("models", "backups", "experiments", "logs", "results")


def setting(name: str) -> str:
    """A setting from the environment, else from the file .env in this folder, else empty. A
    variable that is there and empty switches off what .env says."""
    said = os.environ.get(name)
    if said is None and os.path.exists(".env"):
        from dotenv import dotenv_values

        said = dotenv_values(".env").get(name)
    return (said or "").strip()


@dataclass(frozen=True)
class Home:
    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Home:
        said = setting("AEGIS_HOME") if environment is None else environment.get("AEGIS_HOME")
        return cls(Path(said or "aegis-data"))

    def prepare(self) -> Home:
        """Make the folders, a new data root for its owner alone: with open trust the journal holds
        what single hospitals sent. Raises ``BadInput`` where the place cannot be written."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in FOLDERS:
                (self.root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"the data root {self.root} cannot be written ({error.strerror})",
                way_out="Set AEGIS_HOME to a folder of yours",
            ) from error
        return self

    @property
    def database(self) -> Path:
        return self.root / "federated_learning.db"

    @property
    def audit_log(self) -> Path:
        return self.root / "logs" / "audit.db"

    @property
    def witnesses(self) -> Path:
        return self.root / "logs" / "witnesses.db"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    def results(self, run: str) -> Path:
        return self.root / "results" / run


def write_whole(path: Path, data: bytes) -> None:
    """Write, sync and rename, so that ``path`` holds all of ``data`` or what it held before. Raises
    ``RunAborted`` where the disk does not take it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunAborted(
            f"{path} cannot be written ({error.strerror or error})",
            "what it held before is kept",
            "Check the disk and its permissions, then repeat the command",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no way to sync a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def held_alone(path: Path, refusal: Callable[[str], AegisError]) -> Iterator[None]:
    """Hold the lock ``path`` as the only process; it ends with the process, however that ends.
    ``refusal`` makes the error, given who holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locked(handle):
            held = os.read(handle, 100).decode("ascii", "replace").strip()
            raise refusal(held or "another process")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(handle)


def locked(handle: int) -> bool:
    """Whether the lock of an open file is held from now on, without waiting."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
