"""Files of a backup written under a data root, and the data root put in its place."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from aegis.errors import CheckFailed
from aegis.store.backup.chunks import Chunks


def brought_back(root: Path, path: str, file: Mapping[str, Any], chunks: Chunks) -> int:
    """Write one file under ``root``; its size. Raises ``CheckFailed`` for damaged bytes."""
    target = root / inside(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    mode = kept_mode(file["mode"])
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


def kept_mode(mode: Any) -> int:
    """A mode as it was, but for others' right to write: whoever altered a list opens no folder."""
    return int(mode) & 0o755


def inside(path: str) -> Path:
    """A path of a list; one that leads out of the data root is a ``CheckFailed``."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path:
        raise CheckFailed(f"the backup names {path!r}", "that lies outside of a data root")
    return Path(*pure.parts)


def holds_something(root: Path) -> bool:
    """Whether this is more than an empty folder, or one with nothing but backups."""
    if not root.exists():
        return False
    if not root.is_dir():
        return True
    return any(
        path.is_file() and "backups" not in path.relative_to(root).parts[:1]
        for path in root.rglob("*")
    )


def swapped(part: Path, root: Path) -> Path | None:
    """Put ``part`` in place of ``root``; backups that lie inside stay inside."""
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, root)
        return None
    if not holds_something(root):
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
