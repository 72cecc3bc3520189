"""``aegis console``: the coordinator's pages on this data root, without any hospital."""

from __future__ import annotations

import typer

from aegis.cli.coordinator import PORT
from aegis.cli.options import AsJson


def register(app: typer.Typer) -> None:
    app.command("console", epilog="Example:  aegis console --port 5000")(console)


def console(
    host: str = typer.Option("127.0.0.1", help="Where it listens; loopback only."),
    port: int = typer.Option(PORT, help="Its port; 0 takes any that is free."),
    as_json: AsJson = False,
) -> None:
    """Look at finished runs and run rehearsals in a browser; no courier, no hospitals."""
    from aegis.console import require_web

    require_web()
    from aegis.console.looking import run_console

    run_console(host=host, port=port, as_json=as_json)
