"""``aegis backup create | list | verify | prune``: the whole data root, also while a run is on."""

from __future__ import annotations

from typing import Any

import typer

from aegis.cli import carrying, restoring
from aegis.cli.backup_options import Folder, Name, PassphraseFile, backups_in, size_of
from aegis.cli.options import AsJson, answer


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Back up the data root: consistent while a run is on, encrypted on request.",
    )
    group.command(
        "create", epilog="Example:  aegis backup create --encrypt --passphrase-file phrase.txt"
    )(create)
    group.command("list", epilog="Example:  aegis backup list --json")(list_backups)
    group.command("verify", epilog="Example:  aegis backup verify latest")(verify)
    restoring.register(group)
    group.command("prune", epilog="Example:  aegis backup prune --keep-last 7 --keep-daily 30")(
        prune
    )
    carrying.register(group)
    app.add_typer(group, name="backup")


def create(
    folder: Folder = None,
    encrypt: bool = typer.Option(False, "--encrypt", help="Seal it with a passphrase."),
    passphrase_file: PassphraseFile = None,
    with_keys: bool = typer.Option(
        False, "--with-keys", help="Private keys as well; only into an encrypted backup."
    ),
    keep_last: int | None = typer.Option(
        None, min=1, help="Afterwards remove all but so many of the latest."
    ),
    pushed: bool = typer.Option(
        False, "--push", help="Afterwards carry it to the object store (AEGIS_S3_BUCKET)."
    ),
    as_json: AsJson = False,
) -> None:
    """Back up the data root as it is now. A run that is on goes on."""
    from aegis.errors import BadInput
    from aegis.store.backup.retention import Keep
    from aegis.store.home import Home

    if encrypt and passphrase_file is None:
        raise BadInput(
            "an encrypted backup needs a passphrase", way_out="Add --passphrase-file FILE"
        )
    home, backups = Home.from_environment(), backups_in(folder, passphrase_file)
    if pushed:
        remote = carrying.remote_of(backups.folder)
        if not encrypt:
            raise BadInput("a backup that goes elsewhere is encrypted", way_out="Add --encrypt")
    made = backups.create(home, encrypt=encrypt, with_keys=with_keys)
    gone = backups.prune(Keep(keep_last))[0] if keep_last is not None else []
    carried = remote.push(made.name) if pushed else None
    note = ""
    if made.open_runs and not with_keys:
        note = (
            f"{', '.join(made.open_runs)} had not ended and cannot go on elsewhere without private "
            "keys: add --encrypt --with-keys for that."
        )
    if as_json:
        more = {"removed": gone, "note": note, "pushed": carried and carried.as_json()}
        answer({**made.as_json(), "folder": str(backups.folder), **more})
        return
    sealed = ", encrypted" if made.encrypted else ""
    typer.echo(f"{made.name}  {made.files} files, {size_of(made.bytes)}{sealed}")
    if not with_keys:
        typer.echo("Private keys are not in it (--encrypt --with-keys takes them along).")
    if note:
        typer.echo(note)
    for name in gone:
        typer.echo(f"{name}  removed")
    if carried is not None:
        typer.echo(
            f"{carried.files} files, {size_of(carried.bytes)} sent to {remote.objects.place}"
        )


def list_backups(
    folder: Folder = None,
    remote: bool = typer.Option(False, "--remote", help="Those in the object store."),
    as_json: AsJson = False,
) -> None:
    """All backups, oldest first."""
    from aegis.errors import CheckFailed

    backups = backups_in(folder)
    if remote:
        afar = carrying.remote_of(backups.folder)
        if as_json:
            answer({"store": str(afar.objects.place), "backups": afar.names()})
            return
        for name in afar.names():
            typer.echo(name)
        return
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    for name in backups.names():
        try:
            rows.append(backups.head(name).as_json())
        except CheckFailed as error:
            broken.append(str(error))
    if as_json:
        answer({"folder": str(backups.folder), "backups": rows, "broken": broken})
    else:
        for row in rows:
            marks = [
                "encrypted" if row["encrypted"] else "",
                "with keys" if row["with_keys"] else "",
                f"{len(row['open_runs'])} open" if row["open_runs"] else "",
            ]
            said = ", ".join(mark for mark in marks if mark)
            size = f"{row['files']} files, {size_of(row['bytes'])}"
            typer.echo(f"{row['name']}  {row['created'][:19]}  {size}  {said}".rstrip())
        if not rows and not broken:
            typer.echo("No backup yet. Make one: aegis backup create")
        for sentence in broken:
            typer.echo(sentence, err=True)
    if broken:
        raise typer.Exit(1)


def verify(
    name: Name = "latest",
    folder: Folder = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Read every chunk of a backup; exits 1 where a file could not be restored."""
    backups = backups_in(folder, passphrase_file)
    head = backups.head(name)
    faults = backups.verify(head.name)
    depth = "every byte"
    if head.encrypted and passphrase_file is None:
        depth = "names only: add --passphrase-file to read what is encrypted"
    if as_json:
        answer({"backup": head.name, "intact": not faults, "faults": faults, "checked": depth})
    else:
        for sentence in faults:
            typer.echo(sentence, err=True)
        said = "is intact" if not faults else f"has {len(faults)} faults"
        typer.echo(f"{head.name} {said} ({head.files} files; {depth})")
    if faults:
        raise typer.Exit(1)


def prune(
    keep_last: int = typer.Option(7, min=0, help="How many of the latest stay."),
    keep_daily: int = typer.Option(0, min=0, help="The last of each of so many days."),
    keep_weekly: int = typer.Option(0, min=0, help="The last of each of so many weeks."),
    keep_monthly: int = typer.Option(0, min=0, help="The last of each of so many months."),
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Remove backups that are not kept, and chunks that no backup needs."""
    from aegis.store.backup.retention import Keep

    backups = backups_in(folder)
    gone, freed = backups.prune(Keep(keep_last, keep_daily, keep_weekly, keep_monthly))
    if as_json:
        answer({"removed": gone, "kept": backups.names(), "freed_bytes": freed})
        return
    for name in gone:
        typer.echo(f"{name}  removed")
    typer.echo(f"{len(backups.names())} kept, {size_of(freed)} freed")
