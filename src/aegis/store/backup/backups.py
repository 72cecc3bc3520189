"""The backups in one folder: made, listed, verified, restored, thinned out.

    NAME.json          the list of one backup: its files, their chunks, how far each log had come
    chunks/  sealed/   what the files hold, in the open or encrypted
    vault.json         the wrapped key of the encrypted ones

A list is written last, so a backup is there as a whole or not at all; what a full disk or a crash
left are chunks that nothing names, and the next one uses or removes them. A folder may be copied to
another machine as it is.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from aegis.errors import BadInput, CheckFailed, RunAborted
from aegis.store.backup.chunks import PLAIN, SEALED, Chunks
from aegis.store.backup.retention import Keep, thinned
from aegis.store.backup.snapshot import Snapshot, Taken, taken
from aegis.store.backup.vault import Vault
from aegis.store.home import Home, write_whole

FORMAT = "aegis-backup/1"
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
_LOCK = ".lock"
_STALE = 24 * 3600.0
Told = Callable[[str], None]


@dataclass(frozen=True)
class Listed:
    """A backup as its list's head says it, readable without a passphrase. ``chunks`` are names."""

    name: str
    created: str
    encrypted: bool
    with_keys: bool
    files: int
    bytes: int
    open_runs: tuple[str, ...]
    chunks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "created": self.created,
            "encrypted": self.encrypted,
            "with_keys": self.with_keys,
            "files": self.files,
            "bytes": self.bytes,
            "open_runs": list(self.open_runs),
        }


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
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with self._alone(), taken(home, self._staging(name), with_keys=with_keys) as snapshot:
            files = [_stored(chunks, one) for one in snapshot.files]
            told(f"{len(files)} files copied")
            return self._written(name, snapshot, files, vault, with_keys)

    def all(self) -> list[Listed]:
        """Oldest first; a list that cannot be read is a ``CheckFailed``."""
        return [self._head(self._document(name)) for name in self.names()]

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        found = (path.stem for path in self.folder.glob("*.json"))
        return sorted(name for name in found if _NAME.fullmatch(name))

    def head(self, name: str = "latest") -> Listed:
        return self._head(self._document(self._named(name)))

    def verify(self, name: str = "latest") -> list[str]:
        """A sentence for each file that could not be restored; of an encrypted backup without its
        passphrase, for each chunk that is missing."""
        document = self._document(self._named(name))
        head = self._head(document)
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
                document = self._document(name)
                body, chunks = self._body(document), self._chunks(self._head(document))
                if (file := body["files"].get(path)) is not None:
                    return b"".join(chunks.joined(file["chunks"]))
        return None

    def restore(self, root: Path, name: str = "latest", *, force: bool = False) -> Restored:
        """Bring a backup back as the data root ``root``, whole or not at all. Raises ``BadInput``
        where something is there and ``force`` is not set (it is then moved aside, never deleted),
        ``CheckFailed`` where the backup is damaged."""
        name = self._named(name)
        document = self._document(name)
        head, body = self._head(document), self._body(document)
        chunks = self._chunks(head)
        root = root.absolute()
        if _holds_something(root) and not force:
            raise BadInput(
                f"{root} is a data root already",
                "a backup is restored to a place of its own",
                "Name another with --into FOLDER, or add --force to move this one aside",
            )
        part = root.with_name(f".{root.name}.{os.getpid()}.restoring")
        try:
            total = sum(_brought_back(part, path, f, chunks) for path, f in body["files"].items())
            (part / "backups").mkdir(parents=True, exist_ok=True)
            for folder, mode in body["folders"].items():
                (part / _inside(folder)).chmod(int(mode) & 0o777)
            aside = self._swapped(part, root)
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
        with self._alone():
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

    def _swapped(self, part: Path, root: Path) -> Path | None:
        """Put ``part`` in place of ``root``; backups that lie inside stay inside."""
        if not root.exists():
            root.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, root)
            return None
        if not _holds_something(root):
            for path in list(part.iterdir()):
                if not (root / path.name).exists():
                    os.replace(path, root / path.name)
                elif path.is_dir():
                    shutil.copytree(path, root / path.name, dirs_exist_ok=True)
            return None
        aside = root.with_name(f"{root.name}.before-{datetime.now(UTC):%Y%m%d-%H%M%S}")
        os.replace(root, aside)
        os.replace(part, root)
        if (aside / "backups").is_dir():
            shutil.rmtree(root / "backups")
            os.replace(aside / "backups", root / "backups")
        return aside

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
            "format": FORMAT,
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "encrypted": vault is not None,
            "with_keys": with_keys,
            "files": len(files),
            "bytes": sum(file["size"] for _, file in files),
            "open_runs": snapshot.open_runs,
            "chunks": named,
        }
        text = _canonical(body)
        if vault is None:
            document = {**head, "body": body}
        else:
            sealed = vault.seal(_canonical(head).decode(), text)
            document = {**head, "sealed": base64.b64encode(sealed).decode()}
        document["sha256"] = hashlib.sha256(_canonical(document)).hexdigest()
        write_whole(self.folder / f"{name}.json", json.dumps(document, indent=1).encode())
        return self._head(document)

    def _document(self, name: str) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
            plain = {key: value for key, value in document.items() if key != "sha256"}
            if document["format"] != FORMAT:
                raise ValueError(f"its format is {document['format']}")
            if hashlib.sha256(_canonical(plain)).hexdigest() != document["sha256"]:
                raise ValueError("its bytes are not those that were written")
            self._head(document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckFailed(
                f"the list of the backup {name} is damaged ({error})",
                "without it nobody knows which chunks belong together",
                "Restore another one: aegis backup list; or move its file away",
            ) from error
        return document

    def _head(self, document: Mapping[str, Any]) -> Listed:
        return Listed(
            str(document["name"]),
            str(document["created"]),
            bool(document["encrypted"]),
            bool(document["with_keys"]),
            int(document["files"]),
            int(document["bytes"]),
            tuple(document["open_runs"]),
            tuple(document["chunks"]),
        )

    def _body(self, document: Mapping[str, Any]) -> dict[str, Any]:
        if not document["encrypted"]:
            body: dict[str, Any] = document["body"]
            return body
        head = {k: v for k, v in document.items() if k not in ("sealed", "sha256")}
        sealed = base64.b64decode(document["sealed"])
        opened = self._opened().unseal(_canonical(head).decode(), sealed)
        found: dict[str, Any] = json.loads(opened)
        return found

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

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes or removes backups; a lock that a crash left grows old."""
        path = self.folder / _LOCK
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists() and time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            if not _left_over(path):
                raise BadInput(
                    f"another process is making or removing backups in {self.folder}",
                    way_out=f"Wait for it; if there is none, delete {path}",
                ) from error
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise RunAborted(
                f"{self.folder} cannot be written ({error.strerror})",
                way_out="Name another folder: --to FOLDER",
            ) from error
        try:
            os.write(handle, str(os.getpid()).encode())
            os.close(handle)
            for staging in self.folder.glob(".*.staging"):  # of a process that was killed
                shutil.rmtree(staging, ignore_errors=True)
            yield
        finally:
            path.unlink(missing_ok=True)


def _left_over(path: Path) -> bool:
    """Whether the process that holds the lock is gone (on this machine)."""
    if os.name != "posix":  # elsewhere to ask after a process is to interrupt it
        return False
    try:
        number = int(path.read_text())
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


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


def _brought_back(root: Path, path: str, file: Mapping[str, Any], chunks: Chunks) -> int:
    """Write one file under ``root``; its size. Raises ``CheckFailed`` for damaged bytes."""
    target = root / _inside(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    mode = int(file["mode"]) & 0o777
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        for data in chunks.joined(file["chunks"]):
            digest.update(data)
            size += len(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file["sha256"]:
        raise CheckFailed(
            f"{path} does not come out of the backup as it went in",
            way_out="Restore another backup: aegis backup list",
        )
    return size


def _inside(path: str) -> Path:
    """A path of a list; one that leads out of the data root is a ``CheckFailed``."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path:
        raise CheckFailed(f"the backup names {path!r}", "that lies outside of a data root")
    return Path(*pure.parts)


def _holds_something(root: Path) -> bool:
    """Whether this is more than an empty folder, or one with nothing but backups."""
    if not root.exists():
        return False
    if not root.is_dir():
        return True
    return any(
        path.is_file() and "backups" not in path.relative_to(root).parts[:1]
        for path in root.rglob("*")
    )


def _time(name: str) -> datetime:
    return datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def _canonical(document: Any) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
