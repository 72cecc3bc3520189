"""What a power cut may leave of a SQLite database: sectors of before and of after, in any mixture.

A disk promises nothing about writes that were not synced: of the sectors (512 bytes) a transaction
wrote, any may be there, any not, and any hold rubbish where it was written to; bytes beside it stay
(what SQLite calls powersafe overwrite, and takes for granted). With WAL and synchronous=FULL the
order of syncs leaves three moments, and ``left`` draws one of them:

    the log is being written      database as before, any mixture of the log's sectors
    the log is being folded in    log whole, any mixture of the database's sectors
    the log begins anew           database whole; its header is synced before anything else of it
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512


@dataclass(frozen=True)
class Files:
    """A database and its write-ahead log, as they lie on disk."""

    database: bytes
    log: bytes

    @classmethod
    def of(cls, path: Path) -> Files:
        log = path.with_name(f"{path.name}-wal")
        return cls(path.read_bytes(), log.read_bytes() if log.exists() else b"")

    def put(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.database)
        path.with_name(f"{path.name}-wal").write_bytes(self.log)
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def left(rng: random.Random, before: Files, after: Files) -> tuple[str, Files]:
    """(which moment, what lies there) of a cut somewhere between two states."""
    if after.database != before.database:
        return "folding in", Files(mixed(rng, before.database, after.database), after.log)
    anew = before.log[:32] != after.log[:32] and before.log
    if anew and rng.random() < 0.3:  # only the header's sector may be there
        return "beginning anew", Files(after.database, after.log[:32] + before.log[32:])
    log = mixed(rng, before.log, after.log)
    if anew:
        log = after.log[:32] + log[32:]
    return "writing", Files(after.database, log)


def mixed(rng: random.Random, before: bytes, after: bytes) -> bytes:
    """Each sector that differs is the old or the new one; the file may end early or late."""
    size = rng.choice((len(before), len(after), rng.randint(*sorted((len(before), len(after))))))
    found = bytearray(size)
    share = rng.choice((0.02, 0.5, 0.98))
    for at in range(0, size, SECTOR):
        end = min(at + SECTOR, size)
        old, new = before[at:end], after[at:end]
        taken = new if rng.random() < share else old
        if old != new and rng.random() < 0.02:
            taken = _rubbish(rng, old, new)
        found[at : at + len(taken)] = taken
    return bytes(found)


def _rubbish(rng: random.Random, old: bytes, new: bytes) -> bytes:
    """A sector torn in itself, from the first byte that was written to the last."""
    wrote = [at for at, byte in enumerate(new) if at >= len(old) or byte != old[at]]
    if not wrote:
        return new
    first, last = wrote[0], wrote[-1] + 1
    return new[:first] + rng.randbytes(last - first) + new[last:]
