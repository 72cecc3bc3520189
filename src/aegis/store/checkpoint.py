"""A checkpoint: how far a log has come, in the words of c2sp.org/tlog-checkpoint.

    aegis/run/20261122-030000-heart-ab12cd   origin: which log
    131                                      size: how many entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2M...     root of the Merkle tree over them
    previous 7hQh0YzC0sdQkV1yB0aF...         SHA-256 of the checkpoint before, signatures included

The last line, absent in the first checkpoint, chains the checkpoints: none of them, and no
cosignature on one, can be taken out later.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from aegis.errors import BadInput, DataError
from aegis.store.note import Note, key_name

OWN = ""  # the coordinator's own log, for what belongs to no run
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``root`` and ``previous`` are 32 bytes; ``previous`` is empty in the first checkpoint."""

    origin: str
    size: int
    root: bytes
    previous: bytes = b""

    @property
    def text(self) -> str:
        lines = [self.origin, str(self.size), _base64(self.root)]
        if self.previous:
            lines.append(f"previous {_base64(self.previous)}")
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Raises ``DataError`` for anything but what ``text`` gives."""
        lines = text.removesuffix("\n").split("\n")
        try:
            if not 3 <= len(lines) <= 4 or not _SIZE.fullmatch(lines[1]):
                raise ValueError("it has other lines")
            previous = lines[3].removeprefix("previous ") if len(lines) == 4 else ""
            roots = [base64.b64decode(one, validate=True) for one in (lines[2], previous)]
            found = cls(lines[0], int(lines[1]), roots[0], roots[1])
            if found.text != text or len(found.root) != 32 or len(found.previous) not in (0, 32):
                raise ValueError("it is written in another way")
        except ValueError as error:
            raise DataError(f"{text[:120]!r} is no checkpoint ({error})") from error
        return found


def origin(run: str) -> str:
    """The name of a run's log, and of the key that signs it."""
    return f"aegis/run/{key_name(run)}" if run else "aegis/coordinator"


def digest(note: Note) -> bytes:
    """What the next checkpoint says of this one."""
    return hashlib.sha256(str(note).encode()).digest()


def read(written: str, run: str) -> tuple[Note, Checkpoint]:
    """A checkpoint as it travels; ``BadInput`` where it is of another log."""
    note = Note.parse(written)
    found = Checkpoint.parse(note.text)
    if found.origin != origin(run):
        raise BadInput(f"a checkpoint of {found.origin}", f"{origin(run)} was asked about")
    return note, found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
