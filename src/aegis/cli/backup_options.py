"""What the backup commands share: where backups lie, what opens them, and how a size is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aegis.store.backup.backups import Backups

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Where the backups lie [AEGIS_HOME/backups]."),
]
Name = Annotated[str, typer.Argument(metavar="[BACKUP]", help="Its name or its beginning.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="For encrypted ones: its first line is taken."),
]


def passphrase(path: Path | None) -> str | None:
    """The first line of a file. Raises ``BadInput`` for one that is empty or cannot be read."""
    from aegis.errors import BadInput

    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise BadInput(f"the passphrase file {path} cannot be read ({error})") from error
    if not lines or not lines[0].strip():
        raise BadInput(f"{path} is empty", "its first line is the passphrase")
    return lines[0].strip()


def backups_in(folder: Path | None, passphrase_file: Path | None = None) -> Backups:
    from aegis.store.backup.backups import Backups
    from aegis.store.home import Home

    place = folder or Home.from_environment().backups
    return Backups(place, passphrase(passphrase_file))


def size_of(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return ""
