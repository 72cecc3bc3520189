"""``aegis backup``: the whole data root, while a run is on or not; and ``aegis migrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli import carrying
from aegis.cli.carrying import Folder, Name, size_of
from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.store.backup.backups import Backups, Restored

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="For encrypted ones: its first line is taken."),
]


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
    group.command("restore", epilog="Example:  aegis backup restore latest --into new-home")(
        restore
    )
    group.command("prune", epilog="Example:  aegis backup prune --keep-last 7 --keep-daily 30")(
        prune
    )
    carrying.register(group)
    app.add_typer(group, name="backup")
    app.command("migrate", epilog="Example:  aegis migrate")(migrate)


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


def _backups(folder: Path | None, passphrase_file: Path | None = None) -> Backups:
    from aegis.store.backup.backups import Backups
    from aegis.store.home import Home

    place = folder or Home.from_environment().backups
    return Backups(place, passphrase(passphrase_file))


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
    home, backups = Home.from_environment(), _backups(folder, passphrase_file)
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

    backups = _backups(folder)
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
    backups = _backups(folder, passphrase_file)
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


def restore(
    name: Name = "latest",
    into: Path | None = typer.Option(None, help="The new data root [AEGIS_HOME]."),
    folder: Folder = None,
    passphrase_file: PassphraseFile = None,
    force: bool = typer.Option(
        False, "--force", help="Move a data root that is there aside; it is never deleted."
    ),
    as_json: AsJson = False,
) -> None:
    """Bring a backup back as a data root, verify its audit log, and say which runs can go on;
    exits 1 where a log does not hold, or a privacy ledger has forgotten what was spent."""
    from aegis.operations.hospital.forgotten import forgotten
    from aegis.store.home import Home

    home = Home(into) if into is not None else Home.from_environment()
    done = _backups(folder, passphrase_file).restore(home.root, name, force=force)
    logs = _verified(home, done)
    broken = [one for one in logs if not one["verified"]]
    lost = [] if done.aside is None else forgotten(done.root, done.aside)
    document = {
        "backup": done.backup,
        "root": str(done.root),
        "files": done.files,
        "bytes": done.bytes,
        "aside": None if done.aside is None else str(done.aside),
        "logs": logs,
        "open_runs": list(done.open_runs),
        "with_keys": done.with_keys,
        "forgotten": lost,
    }
    if as_json:
        answer(document)
    else:
        typer.echo(f"{done.backup} is restored in {done.root}: {done.files} files")
        if done.aside is not None:
            typer.echo(f"What was there lies in {done.aside}")
        if logs:
            typer.echo(f"{len(logs) - len(broken)} of {len(logs)} audit logs verified")
        for one in broken:
            typer.echo(f"{one['run'] or 'coordinator'}: {one['fault']}", err=True)
        for sentence in lost:
            typer.echo(sentence, err=True)
        for run in done.open_runs:
            typer.echo(f"Go on with: AEGIS_HOME={done.root} aegis run --resume {run}")
        if done.open_runs and not done.with_keys:
            typer.echo(
                "First bring the private keys, which this backup left out (keys/ and "
                "results/RUN/hospitals/keys.json): without them a run cannot go on."
            )
    if broken or lost:
        raise typer.Exit(1)


def _verified(home: Any, done: Restored) -> list[dict[str, Any]]:
    """Every log as it stands, and whether it holds what the backup saw of it."""
    from aegis.errors import BadInput
    from aegis.simulation.evidence import verify_home

    try:
        found = verify_home(home)
    except BadInput:
        return []
    logs = []
    for one in found:
        said = done.logs.get(one.run)
        fault = str(one.faults[0]) if one.faults else None
        if said is not None and (said["size"], said["root"]) != (one.size, one.root):
            fault = f"the backup saw {said['size']} entries, here are {one.size}"
        logs.append({"run": one.run, "size": one.size, "verified": fault is None, "fault": fault})
    return logs


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

    backups = _backups(folder)
    gone, freed = backups.prune(Keep(keep_last, keep_daily, keep_weekly, keep_monthly))
    if as_json:
        answer({"removed": gone, "kept": backups.names(), "freed_bytes": freed})
        return
    for name in gone:
        typer.echo(f"{name}  removed")
    typer.echo(f"{len(backups.names())} kept, {size_of(freed)} freed")


def migrate(as_json: AsJson = False) -> None:
    """Bring a data root that an older Aegis wrote to the present format, and its journal to where
    AEGIS_DATABASE_URL says; a copy of the database is kept."""
    from aegis.store.format import migrate as migrated
    from aegis.store.home import Home
    from aegis.store.moving import moved_in

    home = Home.from_environment()
    done = migrated(home)
    moved = moved_in(home)
    copy = None if done.copy is None else str(done.copy)
    if as_json:
        into = None if moved is None else {"runs": moved[0], "copy": str(moved[1])}
        answer({"before": done.before, "after": done.after, "copy": copy, "moved": into})
        return
    if done.copy is None:
        typer.echo(f"The data root has format {done.after} already.")
    else:
        typer.echo(f"The data root went from format {done.before} to {done.after}.")
        typer.echo(f"Its database as it was: {copy}")
    if moved is not None:
        typer.echo(f"The journal with its {moved[0]} runs is in PostgreSQL now.")
        typer.echo(f"The SQLite file as it was: {moved[1]}")
