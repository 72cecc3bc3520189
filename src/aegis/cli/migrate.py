"""``aegis migrate``: an older data root is brought to the present format."""

from __future__ import annotations

import typer

from aegis.cli.options import AsJson, answer


def register(app: typer.Typer) -> None:
    app.command("migrate", epilog="Example:  aegis migrate")(migrate)


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
