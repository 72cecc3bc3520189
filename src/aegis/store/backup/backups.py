"""The backups in one folder: made, listed, verified, restored, thinned out.

    NAME.json          the list of one backup: its files, their chunks, how far each log had come
    chunks/  sealed/   what the files hold, in the open or encrypted
    vault.json         the wrapped key of the encrypted ones

A list is written last, so a backup is there as a whole or not at all; what a full disk or a crash
left are chunks that nothing names, and the next one uses or removes them. A folder may be copied to
another machine as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aegis.errors import BadInput, CheckFailed, RunAborted
from aegis.store.backup.chunks import PLAIN, SEALED, Chunks
from aegis.store.backup.listing import Listed, body_of, head_of, read, write
from aegis.store.backup.lock import alone
from aegis.store.backup.restoring import (
    brought_back,
    holds_something,
    inside,
    kept_mode,
    swapped,
)
from aegis.store.backup.retention import Keep, thinned
from aegis.store.backup.snapshot import Snapshot, Taken, taken
from aegis.store.backup.vault import Vault
from aegis.store.home import Home

_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{6}")
Told = Callable[[str], None]


@dataclass(frozen=True)
class Restored:
    """``logs`` are the runs whose log reached the root that the backup named; ``aside`` is where
    what was there before lies now."""

    backup: str
    root: Path
    files: int
    bytes: int
    logs: Mapping[str, Mapping[str, Any]]
    open_runs: tuple[str, ...]
    with_keys: bool
    aside: Path | None = None


class Backups:
    """The backups under ``folder``; ``passphrase`` opens the encrypted ones."""

    def __init__(self, folder: Path, passphrase: str | None = None) -> None:
        self.folder, self._passphrase = folder, passphrase
        self._vault: Vault | None = None

    def create(
        self,
        home: Home,
        *,
        encrypt: bool = False,
        with_keys: bool = False,
        told: Told = lambda text: None,
    ) -> Listed:
        """Copy the data root as it is now, also while a run is on. Raises ``BadInput`` for keys
        that would not be encrypted, ``RunAborted`` where the disk is full."""
        if not home.root.is_dir():
            raise BadInput(f"there is no data root {home.root}", way_out="Start with: aegis demo")
        if with_keys and not encrypt:
            raise BadInput(
                "private keys are backed up encrypted or not at all",
                way_out="Add --encrypt --passphrase-file FILE",
            )
        vault = self._opened(create=True) if encrypt else None
        chunks = Chunks(self.folder, vault)
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        with alone(self.folder), taken(home, self._staging(name), with_keys=with_keys) as snapshot:
            if vault is None:
                _closed(self.folder / PLAIN)
            files = [_stored(chunks, one) for one in snapshot.files]
            told(f"{len(files)} files copied")
            return self._written(name, snapshot, files, vault, with_keys)

    def all(self) -> list[Listed]:
        """Oldest first; a list that cannot be read is a ``CheckFailed``."""
        return [head_of(read(self.folder, name)) for name in self.names()]

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        found = (path.stem for path in self.folder.glob("*.json"))
        return sorted(name for name in found if _NAME.fullmatch(name))

    def head(self, name: str = "latest") -> Listed:
        return head_of(read(self.folder, self._named(name)))

    def verify(self, name: str = "latest") -> list[str]:
        """A sentence for each file that could not be restored; of an encrypted backup without its
        passphrase, for each chunk that is missing."""
        document = read(self.folder, self._named(name))
        head = head_of(document)
        if head.encrypted and self._passphrase is None:
            store = Chunks(self.folder, Vault(b""))
            gone = [one for one in head.chunks if not store.path(one).exists()]
            return [f"the chunk {one[:12]} is missing" for one in gone]
        body, chunks = self._body(document), self._chunks(head)
        faults = []
        for path, file in body["files"].items():
            digest = hashlib.sha256()
            try:
                for data in chunks.joined(file["chunks"]):
                    digest.update(data)
            except CheckFailed as error:
                faults.append(f"{path}: {error.value}")
                continue
            if digest.hexdigest() != file["sha256"]:
                faults.append(f"{path}: its chunks do not add up to it")
        return faults

    def find(self, path: str) -> bytes | None:
        """A file's bytes from the latest backup that has it whole and can be opened; else None."""
        for name in reversed(self.names()):
            with contextlib.suppress(CheckFailed, BadInput):
                document = read(self.folder, name)
                body, chunks = self._body(document), self._chunks(head_of(document))
                if (file := body["files"].get(path)) is not None:
                    return b"".join(chunks.joined(file["chunks"]))
        return None

    def restore(self, root: Path, name: str = "latest", *, force: bool = False) -> Restored:
        """Bring a backup back as the data root ``root``, whole or not at all. Raises ``BadInput``
        where something is there and ``force`` is not set (it is then moved aside, never deleted),
        ``CheckFailed`` where the backup is damaged."""
        name = self._named(name)
        document = read(self.folder, name)
        head, body = head_of(document), self._body(document)
        chunks = self._chunks(head)
        root = root.absolute()
        if holds_something(root) and not force:
            raise BadInput(
                f"{root} is a data root already",
                "a backup is restored to a place of its own",
                "Name another with --into FOLDER, or add --force to move this one aside",
            )
        part = root.with_name(f".{root.name}.{os.getpid()}.restoring")
        try:
            _closed(part)
            total = sum(brought_back(part, path, f, chunks) for path, f in body["files"].items())
            (part / "backups").mkdir(parents=True, exist_ok=True)
            for folder, mode in body["folders"].items():
                (part / inside(folder)).chmod(kept_mode(mode))
            aside = swapped(part, root)
        except OSError as error:
            raise RunAborted(
                f"{root} cannot be written ({error.strerror or error})",
                "what was there is as it was",
                "Check the disk, then repeat the command",
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        many = len(body["files"])
        runs, keys = head.open_runs, head.with_keys
        return Restored(name, root, many, total, body["logs"], runs, keys, aside)

    def prune(self, keep: Keep, now: datetime | None = None) -> tuple[list[str], int]:
        """Remove the backups that ``keep`` does not hold, then what nothing names any more: names
        and bytes. The lists go first, so a crash leaves chunks too many, never too few."""
        with alone(self.folder):
            dated = {name: _time(name) for name in self.names()}
            gone = thinned(dated, keep, now or datetime.now(UTC))
            # Nothing is removed unless every list that stays can be read.
            stay = [self.head(name) for name in dated if name not in gone]
            for name in gone:
                (self.folder / f"{name}.json").unlink()
            freed = 0
            for kind, sealed in ((PLAIN, False), (SEALED, True)):
                named = {one for head in stay if head.encrypted is sealed for one in head.chunks}
                for path in (self.folder / kind).glob("*/*"):
                    if path.name not in named:
                        freed += path.stat().st_size
                        path.unlink()
            return sorted(gone), freed

    def _written(
        self,
        name: str,
        snapshot: Snapshot,
        files: list[tuple[str, dict[str, Any]]],
        vault: Vault | None,
        with_keys: bool,
    ) -> Listed:
        body = {
            "files": dict(files),
            "folders": snapshot.folders,
            "logs": snapshot.logs,
            "left_out": snapshot.left_out,
            "aegis": version("aegis-fl"),
        }
        named = sorted({chunk for _, file in files for chunk in file["chunks"]})
        head = {
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "encrypted": vault is not None,
            "with_keys": with_keys,
            "files": len(files),
            "bytes": sum(file["size"] for _, file in files),
            "open_runs": snapshot.open_runs,
            "chunks": named,
        }
        return write(self.folder, head, body, vault)

    def _body(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return body_of(document, self._opened() if document["encrypted"] else None)

    def _chunks(self, head: Listed) -> Chunks:
        return Chunks(self.folder, self._opened() if head.encrypted else None)

    def _opened(self, *, create: bool = False) -> Vault:
        if self._vault is None:
            if self._passphrase is None:
                raise BadInput(
                    "encrypted backups need their passphrase",
                    way_out="Name a file that holds it: --passphrase-file FILE",
                )
            self._vault = Vault.open(self.folder, self._passphrase, create=create)
        return self._vault

    def _named(self, name: str) -> str:
        names = self.names()
        if name == "latest" and names:
            return names[-1]
        found = [one for one in names if len(name) >= 4 and one.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise BadInput(
            f"no backup is called {name}" if names else f"{self.folder} holds no backup",
            f"there are {', '.join(names[-5:])}" if names else "",
            "See: aegis backup list" if names else "Make one: aegis backup create",
        )

    def _staging(self, name: str) -> Path:
        return self.folder / f".{name}.staging"


def _closed(folder: Path) -> None:
    """Nobody else reads here what may lie in closed folders where it comes from, or goes to."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # another user's, or a disk without modes
        folder.chmod(0o700)


def _stored(chunks: Chunks, one: Taken) -> tuple[str, dict[str, Any]]:
    digest, size, names = hashlib.sha256(), 0, []
    for name, data in chunks.split(one.source):
        digest.update(data)
        size += len(data)
        names.append(name)
    return one.path, {
        "sha256": digest.hexdigest(),
        "size": size,
        "mode": one.mode,
        "chunks": names,
    }


def _time(name: str) -> datetime:
    return datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
