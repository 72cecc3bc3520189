"""``aegis people``: who may use a console, from the machine it runs on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.console.people.accounts import Account, Accounts

Folder = Annotated[
    Path | None,
    typer.Option("--home", help="The console's folder (default: AEGIS_HOME, the coordinator's)."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Who it is about.")]
Url = Annotated[
    str, typer.Option(help="The console's address, to write the whole link: https://HOST:PORT.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who may use a console, and as what.")
    group.command("list", epilog="Example:  aegis people list --json")(list_people)
    group.command("add", epilog="Example:  aegis people add ana --role researcher")(add)
    group.command("disable", epilog="Example:  aegis people disable ana")(disable)
    group.command("enable", epilog="Example:  aegis people enable ana")(enable)
    group.command("reset-link", epilog="Example:  aegis people reset-link ana")(reset_link)
    app.add_typer(group, name="people")


def list_people(home: Folder = None, as_json: AsJson = False) -> None:
    """Everybody with an account, their roles, and whether they ever came in."""
    with _accounts(home) as accounts:
        people, invited = accounts.everybody(), accounts.invited()
    shown = [(one, _state(one, one.name in invited)) for one in people]
    if as_json:
        answer([{**_described(one), "state": state} for one, state in shown])
        return
    if not shown:
        typer.echo("Nobody yet. The console prints a link for the first administrator.")
    for one, state in shown:
        roles = ", ".join(_described(one)["roles"]) or "no role"
        where = f" at {one.hospital}" if one.hospital else ""
        second = ", second factor" if one.second_factor else ""
        typer.echo(f"{one.name}: {roles}{where} ({state}{second})")


def add(
    name: Name,
    role: Annotated[list[str], typer.Option("--role", help="One of the roles; may be repeated.")],
    hospital: Annotated[str, typer.Option(help="The one hospital whose figures it sees.")] = "",
    url: Url = "",
    home: Folder = None,
    as_json: AsJson = False,
) -> None:
    """A new person, who sets a password by a link that works once, within a day. The roles: admin,
    researcher, hospital-operator, privacy-officer, auditor, viewer."""
    from aegis.console.people.accounts import HERE
    from aegis.console.people.roles import Role
    from aegis.errors import BadInput

    known = {one.value: one for one in Role}
    if unknown := [word for word in role if word not in known]:
        raise BadInput(f"{unknown[0]!r} is no role", f"some of: {', '.join(known)}")
    with _accounts(home) as accounts:
        token = accounts.add(name, [known[word] for word in role], HERE, hospital or None)
    _tell("added", name.strip().lower(), token, url, as_json)


def disable(name: Name, home: Folder = None, as_json: AsJson = False) -> None:
    """Nobody can come in by this account any more; sessions and tokens end at once."""
    from aegis.console.people.accounts import HERE

    with _accounts(home) as accounts:
        accounts.disable(name, HERE)
    _done("disabled", name, as_json)


def enable(name: Name, home: Folder = None, as_json: AsJson = False) -> None:
    """A disabled account counts again, with the password it had."""
    from aegis.console.people.accounts import HERE

    with _accounts(home) as accounts:
        accounts.enable(name, HERE)
    _done("enabled", name, as_json)


def reset_link(name: Name, url: Url = "", home: Folder = None, as_json: AsJson = False) -> None:
    """Take password, second factor, sessions and tokens away, and give a link for a new start."""
    from aegis.console.people.accounts import HERE

    with _accounts(home) as accounts:
        token = accounts.reset(name, HERE)
    _tell("reset", name, token, url, as_json)


@contextmanager
def _accounts(folder: Path | None) -> Iterator[Accounts]:
    from aegis.console.people.accounts import Accounts
    from aegis.console.people.book import Book
    from aegis.errors import BadInput
    from aegis.store.home import Home

    root = folder or Home.from_environment().root
    if not root.is_dir():
        raise BadInput(f"there is no folder {root}", way_out="Set AEGIS_HOME, or give --home")
    book = Book(root)
    try:
        yield Accounts(book, told=_record(root))
    finally:
        book.close()


def _record(root: Path) -> Callable[[str, str, str], None]:
    """Where changes are put on record, as the console's are: in a hospital's folder among its acts,
    else in the coordinator's own log."""
    from aegis.console.coordinator.records.own_log import accounts_told
    from aegis.operations.hospital.acts import Acts
    from aegis.operations.hospital.folder import HospitalFolder
    from aegis.store.home import Home

    if not (root / "hospital.toml").is_file():
        return accounts_told(Home(root))

    def told(who: str, about: str, what: str) -> None:
        [key] = (root / "keys").glob("*.key")
        folder = HospitalFolder(root, key.stem)
        identity = folder.identity(os.environ.get("AEGIS_KEY_PASSPHRASE") or None)
        acts = Acts(root)
        try:
            acts.record(identity.signing, who, f"changed {about}'s account", "", what)
        finally:
            acts.close()

    return told


def _state(one: Account, invited: bool) -> str:
    if one.disabled:
        return "disabled"
    if one.has_password or one.subject:
        return "active"
    return "invited" if invited else "link expired"


def _described(one: Account) -> dict[str, Any]:
    from aegis.console.people.roles import Role

    return {
        "name": one.name,
        "roles": [role.value for role in Role if role in one.roles],
        "hospital": one.hospital,
        "second_factor": one.second_factor,
    }


def _tell(status: str, name: str, token: str, url: str, as_json: bool) -> None:
    link = f"{url.rstrip('/')}/welcome?token={token}"
    if as_json:
        answer({"status": status, "name": name, "link": link})
        return
    typer.echo(f"{name} is {status}. This link works once, within 24 hours:")
    typer.echo(f"  {link}" if url else f"  https://THE-CONSOLE{link}")


def _done(status: str, name: str, as_json: bool) -> None:
    if as_json:
        answer({"status": status, "name": name})
    else:
        typer.echo(f"{name} is {status}.")
