"""``aegis hospital init | join | serve | console | status | budget``: a hospital as a process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli.options import AsJson, answer, passphrase, typed

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from aegis.operations.hospital.folder import HospitalFolder, Registered

Named = Annotated[str, typer.Argument(metavar="NAME", help="The hospital's name.")]
Hospital = Annotated[
    str, typer.Option("--hospital", "--client-id", "--client_id", help="Which hospital this is.")
]
Folder = Annotated[
    Path | None, typer.Option("--home", help="Its folder (default: AEGIS_HOME/hospitals/NAME).")
]
Data = Annotated[
    str,
    typer.Option("--data", "--data-path", "--data_path", help="The file or folder of its rows."),
]
TaskName = Annotated[
    str, typer.Option("--task", "--model-type", "--model_type", help="What is learned from them.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="A file whose first line opens the key (or set AEGIS_KEY_PASSPHRASE)."),
]

ConsolePort = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="The console's port [8501; where it is taken, none is opened]."
    ),
]
ConsoleHost = Annotated[
    str, typer.Option(help="Where the console listens; beyond loopback it speaks TLS.")
]


def register(group: typer.Typer) -> None:
    group.command(
        "init",
        epilog="Example:  aegis hospital init north --task vitals --data north.csv",
    )(init)
    group.command(
        "join", epilog="Example:  aegis hospital join localhost:8081/K7QD-... --hospital north"
    )(join)
    group.command("serve", epilog="Example:  aegis hospital serve --hospital north")(serve)
    group.command("console", epilog="Example:  aegis hospital console --hospital north")(console)
    group.command("status", epilog="Example:  aegis hospital status --hospital north")(status)
    group.command("budget", epilog="Example:  aegis hospital budget --hospital north")(budget)


def init(
    name: Named,
    task: TaskName = "breast_cancer",
    data: Data = "",
    site: str = typer.Option(
        "", help="A real centre of the task's public data, instead of a file."
    ),
    share: str = typer.Option("", help="K/N: the K-th of N parts of the task's public data."),
    label: str = typer.Option("", help="The column of the diagnosis."),
    positive: str = typer.Option("", help="Its value that means disease."),
    group: str = typer.Option("", help="The column that names the patient."),
    demonstration: bool = typer.Option(
        False,
        "--demonstration",
        help="A policy that lets everything in; for public data only.",
    ),
    home: Folder = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Make this hospital: its keys, its data, a strict policy that it signs."""
    folder = _folder(name, home)
    registered = _registered(task, data, site, share, label, positive, group)
    made = _made(folder, registered, demonstration, passphrase(passphrase_file))
    if as_json:
        answer(made)
        return
    typer.echo(f"{name} is in {folder.root}")
    typer.echo(f"  its rows     {made['rows']} of {made['source']}")
    typer.echo(f"  fingerprint  {made['fingerprint']}")
    typer.echo(f"  policy       {folder.policy} (signed; read it, change it, sign it again)")
    typer.echo("Next: ask the coordinator for a join code (aegis coordinator invite), then")
    typer.echo(f"  aegis hospital join CODE --hospital {name}")


def join(
    code: Annotated[str, typer.Argument(help="What the coordinator told you; - asks for it.")],
    hospital: Hospital,
    home: Folder = None,
    patience: float = typer.Option(900.0, help="Seconds to wait until the coordinator confirms."),
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Join a federation with a code; connects outwards only."""
    from aegis.identity.join_code import JoinCode
    from aegis.operations.hospital import joining

    if code == "-":  # so that it stands in no list of processes and in no history
        again = "Type it at a terminal, or write it in place of -"
        code = typed("The join code", again, hidden=True)
    folder = _folder(hospital, home)
    folder.registered  # noqa: B018  (says what is missing)
    identity = folder.identity(passphrase(passphrase_file))
    joined = joining.join(
        folder,
        identity,
        JoinCode.read(code),
        patience_s=patience,
        told=lambda text: typer.echo(text, err=True),
    )
    if as_json:
        answer(
            {
                "status": "joined",
                "hospital": hospital,
                "federation": joined.name,
                "road": joined.road.get("road"),
                "coordinator": joined.coordinator.fingerprint,
            }
        )
        return
    typer.echo(f"{hospital} has joined {joined.name} (by {joined.road.get('road')}).")
    typer.echo(f"The coordinator's fingerprint: {joined.coordinator.fingerprint}")
    typer.echo(f"Next: aegis hospital serve --hospital {hospital}")


def serve(
    hospital: Hospital,
    data: Data = "",
    task: TaskName = "",
    server_url: str = typer.Option(
        "",
        "--server-url",
        "--server_url",
        help="The coordinator, https://HOST:PORT; a hospital that has joined knows it.",
    ),
    api_key: str = typer.Option(
        "", "--join", "--api-key", "--api_key", help="A join code, for one that has not joined."
    ),
    window: Annotated[
        bool, typer.Option("--console/--no-console", help="A console for this hospital's people.")
    ] = True,
    console_port: ConsolePort = None,
    console_host: ConsoleHost = "127.0.0.1",
    home: Folder = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Answer the coordinator, until told to stop; reconnects for ever."""
    from contextlib import ExitStack

    from aegis.operations import logs
    from aegis.operations.hospital.process import serve as run

    folder, secret = _folder(hospital, home), passphrase(passphrase_file)
    _ready(folder, data, task, server_url, api_key, secret)
    logs.start(names=[hospital])
    stop, told = _until_a_signal(), _telling(hospital, as_json)
    with ExitStack() as stack:
        if window and _has_web(console_port, told):
            from aegis.console.hospital.opening import console as opened

            identity = folder.identity(secret)
            stack.enter_context(opened(folder, identity, console_host, console_port, told))
        run(folder, stop, secret, told)
    told({"event": "stopped", "hospital": hospital})


def console(
    hospital: Hospital,
    console_port: ConsolePort = None,
    console_host: ConsoleHost = "127.0.0.1",
    home: Folder = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """The hospital's console alone, beside a node that runs elsewhere or not at all."""
    from aegis.console import require_web
    from aegis.operations import logs

    require_web()
    from aegis.console.hospital.opening import PORT, opened_key
    from aegis.console.hospital.opening import console as opened

    folder, secret = _folder(hospital, home), passphrase(passphrase_file)
    folder.registered  # noqa: B018  (says what is missing)
    logs.start(names=[hospital])
    stop, told = _until_a_signal(), _telling(hospital, as_json)
    identity = opened_key(folder, secret)
    if identity is None:
        told({"event": "key", "text": "this hospital's key is not open: nothing can be signed"})
    with opened(
        folder, identity, console_host, PORT if console_port is None else console_port, told
    ):
        stop.wait()
    told({"event": "stopped", "hospital": hospital})


def _until_a_signal() -> threading.Event:
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _telling(hospital: str, as_json: bool) -> Callable[[dict[str, Any]], None]:
    import json

    from aegis.operations import logs

    def told(said: dict[str, Any]) -> None:
        if "secret" in said:  # opens a door: for whoever sits at this terminal
            if not (as_json or logs.as_objects()):
                print(said["secret"], flush=True)
            return
        if logs.as_objects():
            logs.said({"hospital": hospital, **said})
        if as_json or not logs.as_objects():
            print(json.dumps(said) if as_json else spoken(said), flush=True)

    return told


def _has_web(port: int | None, told: Callable[[dict[str, Any]], None]) -> bool:
    """Without the extra the node serves all the same, unless the console was asked for."""
    from aegis.console import require_web
    from aegis.errors import MissingExtra

    try:
        require_web()
    except MissingExtra as error:
        if port is not None:
            raise
        told({"event": "console", "url": None, "text": str(error)})
        return False
    return True


def status(hospital: Hospital, home: Folder = None, as_json: AsJson = False) -> None:
    """Where this hospital stands: data, policy, federation, budget, what left last."""
    from aegis.operations.hospital.process import last_sent
    from aegis.operations.hospital.process import status as found_status

    folder = _folder(hospital, home)
    found = found_status(folder) | {"sent": last_sent(folder, 10)}
    if as_json:
        answer(found)
        return
    federation = found["federation"]
    money = found["budget"]
    typer.echo(f"{hospital} ({found['fingerprint']})")
    typer.echo(f"  log key     {found['log_key']} (for auditors: aegis audit verify --key)")
    typer.echo(f"  data        {found['task']}: {found['data']}")
    typer.echo(f"  policy      {found['policy'] or found['policy_reason']}")
    typer.echo(
        f"  federation  {federation['name'] if federation else found['federation_reason']}"
        + (
            f", {len(federation['hospitals'])} hospitals, by {federation['road']}"
            if federation
            else ""
        )
    )
    typer.echo(f"  serving     {'yes' if found['serving'] else 'no'}")
    typer.echo(f"  budget      {_money(money)}")
    for sent in found["sent"]:
        why = f" ({sent['reason']})" if "reason" in sent else ""
        typer.echo(f"  {sent['time'][:19]}  {sent['asked']} -> {sent['sent']}{why}")


def budget(hospital: Hospital, home: Folder = None, as_json: AsJson = False) -> None:
    """What these data have spent of their privacy budget, ever, and what is left."""
    from aegis.operations.hospital.process import budget as found_budget

    folder = _folder(hospital, home)
    folder.registered  # noqa: B018  (says what is missing)
    found = found_budget(folder)
    if as_json:
        answer({"hospital": hospital, **found})
        return
    typer.echo(_money(found))
    for run in found["runs"]:
        typer.echo(f"  {run['run']:<40} epsilon {run['epsilon']:.3f}")


def _ready(
    folder: HospitalFolder, data: str, task: str, server_url: str, code: str, secret: str | None
) -> None:
    """Make it and let it join, where the command line says all that is needed for it."""
    from aegis.errors import BadInput
    from aegis.identity.join_code import JoinCode
    from aegis.operations.hospital import joining

    if server_url and not server_url.startswith(("https://", "http://", "xmpp://")):
        raise BadInput(
            f"{server_url!r} is no road",
            "https://HOST:PORT is the coordinator, xmpp://HOST an XMPP server",
        )
    if not (folder.root / "hospital.toml").exists() and task:
        _made(folder, _registered(task, data, "", "", "", "", ""), False, secret)
    folder.registered  # noqa: B018  (says what is missing)
    if not (folder.federation / "federation.json").exists() and code:
        joining.join(
            folder,
            folder.identity(secret),
            JoinCode.read(code),
            told=lambda text: typer.echo(text, err=True),
        )


def _registered(
    task: str, data: str, site: str, share: str, label: str, positive: str, group: str
) -> Registered:
    import os

    from aegis.operations.hospital.folder import Registered
    from aegis.tasks.task import find_task

    directory = os.environ.get("AEGIS_DATA_DIR", "")
    path = str(Path(data).absolute()) if data else ""
    name = find_task(task).name
    return Registered(name, path, site, share, label, positive, group, directory)


def _made(
    folder: HospitalFolder, registered: Registered, demonstration: bool, secret: str | None
) -> dict[str, Any]:
    from aegis.errors import BadInput
    from aegis.operations.hospital.folder import init as make
    from aegis.operations.hospital.folder import policy_text
    from aegis.operations.hospital.policies import for_public_data, strict
    from aegis.operations.hospital.rows import load

    if demonstration and not registered.demonstration:
        raise BadInput(
            "a demonstration's policy lets everything out",
            "it is for public data, not for rows of your own",
            "Leave --demonstration out",
        )
    dataset = load(registered, "all", 0)
    policy = for_public_data() if demonstration else strict(registered.task)
    identity = make(folder, registered, policy_text(folder.name, policy), secret)
    return {
        "status": "made",
        "hospital": folder.name,
        "folder": str(folder.root),
        "fingerprint": identity.public.fingerprint,
        "rows": len(dataset.rows),
        "source": dataset.source,
        "schema_sha256": dataset.schema.sha256 if dataset.schema else None,
    }


def _folder(name: str, home: Path | None) -> HospitalFolder:
    from aegis.identity.identity import checked_name
    from aegis.operations.hospital.folder import HospitalFolder
    from aegis.store.home import Home

    checked_name(name)
    return HospitalFolder(home or Home.from_environment().root / "hospitals" / name, name)


def _money(found: dict[str, Any]) -> str:
    total, spent = found["epsilon_total"], found["spent"]
    if found["policy_reason"] is not None:
        return f"epsilon {spent:.3f} spent; the limit is not known until the policy is signed"
    if total is None:
        return f"epsilon {spent:.3f} spent; the policy sets no limit"
    return f"epsilon {spent:.3f} of {total:g} spent, {found['left']:.3f} left"


def spoken(said: dict[str, Any]) -> str:
    """One line of a hospital's process, for people."""
    match said["event"]:
        case "answered":
            why = f": {said['reason']}" if "reason" in said else ""
            return f"round {said['round']:<4} {said['asked']} -> {said['sent']}{why}"
        case "line":
            return f"line       {said['status']}"
        case kind:
            return f"{kind:<10} {said.get('hospital', '')}  {said.get('text', '')}".rstrip()
