"""``aegis tracking``: the mirror of runs in MLflow, and whether it is behind."""

from __future__ import annotations

import typer

from aegis.cli.options import AsJson, answer


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Mirror runs to MLflow (MLFLOW_TRACKING_URI); no run ever waits for it.",
    )
    group.command("sync", epilog="Example:  aegis tracking sync")(sync)
    group.command("status", epilog="Example:  aegis tracking status --json")(status)
    group.command("follow", hidden=True)(follow)
    app.add_typer(group, name="tracking")


def sync(
    run: str | None = typer.Argument(None, help="One run [all that are behind]."),
    as_json: AsJson = False,
) -> None:
    """Catch up: log what MLflow does not have yet, with its files and the registered model."""
    from aegis.operations.mirroring import only_mirror
    from aegis.store.home import Home
    from aegis.store.tracked import shown
    from aegis.store.tracking import Mirror

    home = Home.from_environment()
    with only_mirror(home):
        mirror = Mirror.from_settings(home)
        done = mirror.sync(run)
    if as_json:
        answer({"mlflow": shown(mirror.uri), "runs": [vars(one) for one in done]})
        return
    for one in done:
        state = "complete" if one.complete else "goes on"
        typer.echo(f"{one.run}  {one.events} events, {state}  ({one.mlflow_run})")
    if not done:
        typer.echo(f"Nothing is missing in {shown(mirror.uri)}")


def status(as_json: AsJson = False) -> None:
    """Which runs MLflow does not have to their end, and how many events are to come."""
    from aegis.store.home import Home
    from aegis.store.tracked import shown
    from aegis.store.tracking import Mirror

    mirror = Mirror.from_settings(Home.from_environment())
    behind = mirror.behind()
    if as_json:
        answer({"mlflow": shown(mirror.uri), "behind": behind})
        return
    for run, count in behind.items():
        typer.echo(f"{run}  {count} events to come")
    if not behind:
        typer.echo(f"Nothing is missing in {shown(mirror.uri)}")


def follow() -> None:
    """Mirror until standard input ends: what a run starts beside itself."""
    import signal
    import sys

    from aegis.operations import logs
    from aegis.operations.mirroring import follow as mirror
    from aegis.store.home import Home

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run hears it; this catches up
    logs.start()
    mirror(Home.from_environment(), sys.stdin.fileno())
