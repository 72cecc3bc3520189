"""Tables that people hand in at this hospital's console: kept in its folder, and registered.

A file gets a random name and mode 0600; what it was called is a word beside it. What data have
spent of their privacy budget cannot be left behind by registering others.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from aegis.errors import BadInput
from aegis.hospital.chain import recorded
from aegis.hospital.decisions import Decisions
from aegis.identity.keyfile import write_private
from aegis.operations.hospital.folder import HospitalFolder, Registered
from aegis.store.home import write_whole
from aegis.tasks.tables.dialect import MOST_BYTES

FOLDER = "uploads"
MOST_UPLOADS = 50
_ID = re.compile(r"[a-f0-9]{16}")


@dataclass(frozen=True)
class Upload:
    """``name`` is what the file was called, ``by`` who brought it."""

    id: str
    name: str
    bytes: int
    sha256: str
    time: str
    by: str


def keep(folder: HospitalFolder, name: str, data: bytes, by: str) -> Upload:
    """Raises ``BadInput`` for a file that is too large or where too many are kept."""
    if len(data) > MOST_BYTES:
        raise BadInput(
            f"the file is larger than {MOST_BYTES // 2**20} MiB",
            "a table may have so many",
            "Split it, or leave out columns",
        )
    if not data.strip():
        raise BadInput("file: the file is empty", way_out="Choose a CSV file with a header")
    if len(uploads(folder)) >= MOST_UPLOADS:
        raise BadInput(f"{MOST_UPLOADS} files are kept already", way_out="Remove one of them")
    made = Upload(
        secrets.token_hex(8),
        plain_name(name),
        len(data),
        hashlib.sha256(data).hexdigest(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        by,
    )
    write_private(file_of(folder, made.id), data, replace=False)
    write_private(_beside(folder, made.id), json.dumps(asdict(made)).encode(), replace=False)
    return made


def uploads(folder: HospitalFolder) -> list[Upload]:
    """The latest first."""

    def readable() -> Iterator[Upload]:
        for path in (folder.root / FOLDER).glob("*.json"):
            with suppress(OSError, ValueError, TypeError):
                yield Upload(**json.loads(path.read_bytes()))

    return sorted(readable(), key=lambda one: (one.time, one.id), reverse=True)


def find(folder: HospitalFolder, id: str) -> Upload:
    for one in uploads(folder):
        if one.id == id:
            return one
    raise BadInput("no file of that name was uploaded here")


def remove(folder: HospitalFolder, id: str) -> None:
    """Raises ``BadInput`` for the registered one."""
    one = find(folder, id)
    if folder.registered.path == str(file_of(folder, one.id)):
        raise BadInput("this file is the registered data set", way_out="Register another one first")
    for path in (file_of(folder, one.id), _beside(folder, one.id)):
        path.unlink(missing_ok=True)


def file_of(folder: HospitalFolder, id: str) -> Path:
    if not _ID.fullmatch(id):
        raise BadInput("no file of that name was uploaded here")
    return folder.root / FOLDER / f"{id}.csv"


def _beside(folder: HospitalFolder, id: str) -> Path:
    return file_of(folder, id).with_suffix(".json")


def plain_name(name: str) -> str:
    """A file's own name, fit to be shown."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in last if letter.isprintable()).strip()[:80]
    return kept or "unnamed.csv"


def register(folder: HospitalFolder, wanted: Registered) -> Registered:
    """From the next run on these are the hospital's data. What the old ones spent cannot be left
    behind: where they spent anything, ``BadInput``; a ledger without spending is put aside."""
    before = folder.registered
    try:
        if Registered(**tomllib.loads(wanted.text())["data"]) != wanted:
            raise ValueError
        data = wanted.text().encode()
    except ValueError as error:
        raise BadInput("a column's name holds signs that cannot be kept", "plain text") from error
    if before.text() != wanted.text():
        _leave(folder)
    write_whole(folder.root / "hospital.toml", data)
    return wanted


def _leave(folder: HospitalFolder) -> None:
    """Put the ledger aside. Raises ``BadInput`` where anything was charged to it, also where the
    file itself is gone."""
    with closing(Decisions(folder.decisions)) as decisions:
        spent = decisions.ledger_head(folder.ledger.name) is not None
    rows = recorded(folder.ledger)[0] if folder.ledger.exists() else []
    if spent or any(row.kind == "reserved" for row in rows):
        raise BadInput(
            "the registered data have spent some of their privacy budget",
            "patients who are in both data sets would be protected by neither budget",
            "For other patients make another hospital: aegis hospital init",
        )
    aside = f"ledger-{rows[0].detail[:12] if rows else 'empty'}.db"
    for end in ("", "-wal", "-shm"):
        old = folder.root / f"{folder.ledger.name}{end}"
        if old.exists():
            old.replace(folder.root / f"{aside}{end}")
