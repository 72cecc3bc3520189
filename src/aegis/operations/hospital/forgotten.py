"""What a restored data root has forgotten of spending, by the one that was moved aside for it.

A ledger from a backup is valid by itself; restored together with the hospital's decisions, nothing
in it says that it is an old one. Where the newer one still lies there, that can be told.
"""

from __future__ import annotations

from pathlib import Path

from aegis.errors import DataError
from aegis.hospital.chain import recorded


def forgotten(root: Path, aside: Path) -> list[str]:
    """A sentence for each privacy ledger under ``aside`` that knows more than the one in its
    place under ``root``."""
    found = []
    for newer in sorted(aside.rglob("*.db")):
        before, path = _rows(newer), root / newer.relative_to(aside)
        now = _rows(path) if path.exists() else 0
        if before > now:
            found.append(
                f"the privacy ledger {path} has {now} rows, the one moved aside {before}: what was "
                f"charged since would be spent again. Put {newer} in its place"
            )
    return found


def _rows(path: Path) -> int:
    """0 where this is no ledger."""
    try:
        return len(recorded(path)[0])
    except DataError:
        return 0
