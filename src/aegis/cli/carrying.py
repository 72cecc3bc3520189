"""``aegis backup push | pull``: backups to an object store, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aegis.cli.backup_options import Folder, Name, size_of
from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.store.backup.remote import RemoteBackups


def register(group: typer.Typer) -> None:
    group.command("push", epilog="Example:  aegis backup push latest")(push)
    group.command("pull", epilog="Example:  aegis backup pull latest")(pull)


def push(
    name: Name = "latest",
    unencrypted: bool = typer.Option(
        False, "--unencrypted", help="Also one that anybody who reads the store can read."
    ),
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Carry a backup to the object store; what is there already is not sent again."""
    remote = remote_of(_place(folder))
    done = remote.push(name, unencrypted=unencrypted)
    if as_json:
        answer({**done.as_json(), "store": str(remote.objects.place)})
        return
    size = f"{done.files} files, {size_of(done.bytes)} sent, {done.there} were there"
    typer.echo(f"{done.backup} is in {remote.objects.place} ({size})")


def pull(name: Name = "latest", folder: Folder = None, as_json: AsJson = False) -> None:
    """Bring a backup from the object store into the folder of backups."""
    remote = remote_of(_place(folder))
    done = remote.pull(name)
    if as_json:
        answer({**done.as_json(), "folder": str(remote.folder)})
        return
    typer.echo(f"{done.backup} is in {remote.folder} ({done.files} files fetched)")
    typer.echo(f"Next: aegis backup restore {done.backup}")


def remote_of(folder: Path) -> RemoteBackups:
    from aegis.store.backup.remote import RemoteBackups
    from aegis.store.objects import Objects

    return RemoteBackups(folder, Objects.from_settings())


def _place(folder: Path | None) -> Path:
    from aegis.store.home import Home

    return folder or Home.from_environment().backups
