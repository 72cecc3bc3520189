"""``aegis coordinator``: the table that hospitals meet at, who may sit down, and its console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli.options import AsJson, answer, passphrase, typed

if TYPE_CHECKING:
    from aegis.operations.coordinator.office import Office

PORT = 8081

PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="A file whose first line opens the keys (or set AEGIS_KEY_PASSPHRASE)."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="The coordinator: run it, invite hospitals, admit those that came.",
        invoke_without_command=True,
        epilog="Example:  aegis coordinator --transport flower",
    )
    group.callback()(coordinator)
    group.command("invite", epilog="Example:  aegis coordinator invite north")(invite)
    group.command(
        "admit", epilog='Example:  aegis coordinator admit north --fingerprint "1f3a 09bc ..."'
    )(admit)
    group.command("waiting", epilog="Example:  aegis coordinator waiting --json")(waiting)
    app.add_typer(group, name="coordinator")


def coordinator(
    context: typer.Context,
    host: str = typer.Option("127.0.0.1", help="Where the console listens."),
    port: int = typer.Option(PORT, help="Its port; 0 takes any that is free."),
    transport: str = typer.Option(
        "", help="The road to the hospitals: flower or xmpp [AEGIS_ROAD, or flower]."
    ),
    road_port: int = typer.Option(0, help="The road's own port; 0 takes the usual one."),
    public_host: str = typer.Option(
        "", help="By which hospitals reach this machine [--host, or localhost]."
    ),
    federation: str = typer.Option("federation", help="The federation's name, at the first start."),
    letterbox: Path | None = typer.Option(
        None, help="A folder by which hospitals of this machine enrol; only they may enter it."
    ),
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Run the coordinator until it is told to stop (Ctrl-C, or SIGTERM)."""
    if context.invoked_subcommand is not None:
        return
    import os

    from aegis.console import require_web

    require_web()
    from aegis.console.running import run_coordinator
    from aegis.operations.roads import DEFAULT_ROAD

    run_coordinator(
        host=host,
        port=port,
        road=transport or os.environ.get("AEGIS_ROAD") or DEFAULT_ROAD,
        road_port=road_port,
        public_host=public_host,
        federation=federation,
        letterbox=letterbox,
        passphrase=passphrase(passphrase_file),
        as_json=as_json,
    )


def invite(
    name: Annotated[str, typer.Argument(help="The hospital's name.")],
    address: Annotated[
        str, typer.Option(help="Host and port of the coordinator's console, as hospitals reach it.")
    ] = "",
    trusted: Annotated[
        bool,
        typer.Option("--trusted", help="Admit whoever brings the code; nobody reads back."),
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """A join code for one hospital, good for 15 minutes and one use."""
    from aegis.operations.coordinator.enrolling import FrontDesk

    office = _office(passphrase_file)
    where = address or office.address or f"localhost:{PORT}"
    code = FrontDesk(office).invite(name, where, trusted)
    if as_json:
        answer({"name": name, "code": code.text, "minutes": 15, "trusted": trusted})
        return
    typer.echo(f"Tell {name}, by a way that you trust (it is good for 15 minutes, once):")
    typer.echo("")
    typer.echo(f"    aegis hospital join {code.text} --hospital {name}")
    typer.echo("")
    if not trusted:
        typer.echo("When it has joined it reads a fingerprint to you; admit it with:")
        typer.echo(f"    aegis coordinator admit {name}")


def admit(
    name: Annotated[str, typer.Argument(help="Who came with a code and waits.")],
    fingerprint: Annotated[
        str | None,
        typer.Option(help="What the hospital read out to you; without it you are asked."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Admit a hospital, once its fingerprint was compared."""
    from aegis.operations.coordinator.enrolling import FrontDesk

    desk = FrontDesk(_office(passphrase_file))
    if fingerprint is None:
        typer.echo(f"Call {name} and let it read out its fingerprint.", err=True)
        again = f'Repeat it with: aegis coordinator admit {name} --fingerprint "1f3a ..."'
        fingerprint = typed("The fingerprint you hear", again)
    members = desk.confirm(name, fingerprint)
    if as_json:
        answer({"status": "admitted", "name": name, "members": len(members.roster.members)})
        return
    typer.echo(f"{name} is admitted; the federation has {len(members.roster.members)} hospitals.")


def waiting(passphrase_file: PassphraseFile = None, as_json: AsJson = False) -> None:
    """Who came with a good code and waits to be admitted."""
    from aegis.operations.coordinator.enrolling import FrontDesk

    found: list[dict[str, Any]] = [
        {"name": one.name, "fingerprint": one.fingerprint, "since": one.since}
        for one in FrontDesk(_office(passphrase_file)).waiting()
    ]
    if as_json:
        answer({"waiting": found})
        return
    if not found:
        typer.echo("Nobody waits.")
    for one in found:
        typer.echo(f"{one['name']:<20} {one['fingerprint']}")


def _office(passphrase_file: Path | None) -> Office:
    from aegis.operations.coordinator.office import Office
    from aegis.store.home import Home

    office = Office(Home.from_environment(), passphrase(passphrase_file))
    office.authority  # noqa: B018  (says what is missing)
    return office
