"""The list of one backup: a head that anybody may read, and a body that may be encrypted.

A digest covers all of it, and the encrypted body is bound to its head.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.errors import CheckFailed
from aegis.store.backup.vault import Vault
from aegis.store.home import write_whole

FORMAT = "aegis-backup/1"


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


def write(
    folder: Path, head: Mapping[str, Any], body: Mapping[str, Any], vault: Vault | None
) -> Listed:
    """Write the list, encrypted where there is a ``vault``."""
    head = {"format": FORMAT, **head}
    if vault is None:
        document: dict[str, Any] = {**head, "body": body}
    else:
        sealed = vault.seal(_canonical(head).decode(), _canonical(body))
        document = {**head, "sealed": base64.b64encode(sealed).decode()}
    document["sha256"] = hashlib.sha256(_canonical(document)).hexdigest()
    write_whole(folder / f"{head['name']}.json", json.dumps(document, indent=1).encode())
    return head_of(document)


def read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        plain = {key: value for key, value in document.items() if key != "sha256"}
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']}")
        if hashlib.sha256(_canonical(plain)).hexdigest() != document["sha256"]:
            raise ValueError("its bytes are not those that were written")
        head_of(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckFailed(
            f"the list of the backup {name} is damaged ({error})",
            "without it nobody knows which chunks belong together",
            "Restore another one: aegis backup list; or move its file away",
        ) from error
    return document


def head_of(document: Mapping[str, Any]) -> Listed:
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


def body_of(document: Mapping[str, Any], vault: Vault | None) -> dict[str, Any]:
    """Raises ``CheckFailed`` where an encrypted body is not the one of its head."""
    if vault is None:
        plain: dict[str, Any] = document["body"]
        return plain
    head = {k: v for k, v in document.items() if k not in ("sealed", "sha256")}
    opened = vault.unseal(_canonical(head).decode(), base64.b64decode(document["sealed"]))
    found: dict[str, Any] = json.loads(opened)
    return found


def _canonical(document: Any) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
