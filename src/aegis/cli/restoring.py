"""``aegis backup restore``: a backup becomes a data root again, and what is in it is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aegis.cli.backup_options import Folder, Name, PassphraseFile, backups_in
from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.store.backup.backups import Restored


def register(group: typer.Typer) -> None:
    group.command("restore", epilog="Example:  aegis backup restore latest --into new-home")(
        restore
    )


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
    done = backups_in(folder, passphrase_file).restore(home.root, name, force=force)
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
        for sentence in _ways_on(done):
            typer.echo(sentence)
        if done.open_runs and not done.with_keys:
            typer.echo(
                "First bring the private keys, which this backup left out (keys/ and "
                "results/RUN/hospitals/keys.json): without them a run cannot go on."
            )
    if broken or lost:
        raise typer.Exit(1)


def _ways_on(done: Restored) -> list[str]:
    from contextlib import closing

    from aegis.store.home import Home
    from aegis.store.journal import Journal
    from aegis.store.way_on import way_on

    if not done.open_runs:
        return []
    with closing(Journal(Home(done.root).database)) as journal:
        return [way_on(journal.run(run), f"AEGIS_HOME={done.root} ") for run in done.open_runs]


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
