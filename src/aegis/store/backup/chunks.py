"""Files as chunks of a megabyte, each stored once under a name that follows from what it holds.

A database that grew by a page shares all other chunks with the backup before. A chunk is written
whole before anything names it, and is compared with its name whenever it is read.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import CheckFailed
from aegis.store.backup.vault import Vault
from aegis.store.home import write_whole

SIZE = 1 << 20
PLAIN, SEALED = "chunks", "sealed"


@dataclass(frozen=True)
class Chunks:
    """``vault`` None stands for chunks that anybody may read."""

    folder: Path
    vault: Vault | None = None

    def path(self, name: str) -> Path:
        return self.folder / (PLAIN if self.vault is None else SEALED) / name[:2] / name

    def put(self, data: bytes) -> str:
        """Store a chunk and return its name. Raises ``RunAborted`` where the disk is full."""
        name = hashlib.sha256(data).hexdigest() if self.vault is None else self.vault.name(data)
        path = self.path(name)
        if not path.exists():
            packed = zlib.compress(data, 1)
            write_whole(path, packed if self.vault is None else self.vault.seal(name, packed))
        return name

    def get(self, name: str) -> bytes:
        """Raises ``CheckFailed`` for a chunk that is missing, cut short or changed."""
        path = self.path(name)
        try:
            packed = path.read_bytes()
        except OSError as error:
            raise CheckFailed(
                f"the chunk {name[:12]} cannot be read ({error.strerror})",
                f"it should be in {path.parent}",
                "Copy it from another copy of the backups, or restore another backup",
            ) from error
        try:
            if self.vault is None:
                data = _unpacked(packed)
                sound = hashlib.sha256(data).hexdigest() == name
            else:
                data = _unpacked(self.vault.unseal(name, packed))
                sound = self.vault.name(data) == name
        except (zlib.error, CheckFailed) as error:
            raise _damaged(name) from error
        if not sound:
            raise _damaged(name)
        return data

    def split(self, path: Path) -> Iterator[tuple[str, bytes]]:
        """Store a file; each chunk's name and bytes, in order."""
        with open(path, "rb") as file:
            while data := file.read(SIZE):
                yield self.put(data), data

    def joined(self, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            yield self.get(name)


def _unpacked(packed: bytes) -> bytes:
    """No chunk is larger than ``SIZE``: what claims to be would fill the disk."""
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(packed, SIZE)
    if not unpacker.eof or unpacker.unconsumed_tail:
        raise zlib.error("it is cut short or too large")
    return data


def _damaged(name: str) -> CheckFailed:
    return CheckFailed(
        f"the chunk {name[:12]} was changed or damaged",
        "its bytes are not those it is named after",
        "Copy it from another copy of the backups, or restore another backup",
    )
