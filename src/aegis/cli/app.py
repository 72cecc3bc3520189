"""All commands in one place, and the one place where errors leave the program.

Only typer is loaded here; a command's module is loaded when it is asked for, and imports what it
needs when it runs, so that ``--help`` answers at once and the tabular path never loads PyTorch.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import sys
from typing import Any

import typer

from aegis.cli.commands import Commands
from aegis.cli.terminal import tame

# What a mistyped command line raises. Older typer takes it from click, newer carries its own click;
# in both it is the parent of BadParameter.
_USAGE: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="aegis",
    cls=Commands,
    help=(
        "Hospitals train one diagnostic model together; no patient row leaves any of them.\n\n"
        "Not medical software. Not independently audited."
    ),
    epilog="First steps:  aegis demo   |   aegis plan explain examples/wisconsin.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from aegis.version import __version__

        typer.echo(f"aegis {__version__}")
        raise typer.Exit


@app.callback()
def _everything(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Options that stand before a command."""


def run_command(argv: list[str]) -> int:
    """The exit code of one command line."""
    from aegis.errors import AegisError

    as_json = "--json" in argv
    try:
        code = app(args=argv, standalone_mode=False, prog_name="aegis")
        return int(code) if isinstance(code, int) else 0
    except AegisError as error:
        return _told(str(error), error.exit_code, error.as_json(), as_json)
    except _USAGE as error:
        context = getattr(error, "ctx", None)
        hint = f"See: {context.command_path} --help" if context else "See: aegis --help"
        message = _said_once(error.format_message())
        if meant := _meant(error):
            message, hint = (
                re.split(r" \(?Did you mean| \(?Possible", message)[0].rstrip("."),
                meant,
            )
        stop = "" if message.endswith("?") else "."
        return _told(f"{message}{stop} {hint}", 2, _plain(message, hint), as_json)
    except typer.Exit as ended:
        return int(ended.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        message = "interrupted; what was saved is kept"
        hint = _after_interruption(argv)
        return _told(f"{message}. {hint}", 3, _plain(message, hint), as_json)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (OSError, sqlite3.OperationalError) as error:
        if not _of_the_disk(error):
            raise
        message = f"the disk does not take what is to be written ({error})"
        hint = "Check the disk; what was saved is kept, and aegis run --resume RUN goes on from it"
        return _told(f"{message}. {hint}", 3, _plain(message, hint), as_json)


# What people type, and where it is.
_ELSEWHERE = {
    "resume": "aegis run --resume RUN",
    "verify": "aegis audit verify RUN",
    "export": "aegis audit export RUN",
    "predict": "aegis models predict",
    "promote": "aegis models promote",
    "fetch": "aegis data fetch",
    "join": "aegis hospital join",
    "serve": "aegis hospital serve",
}
_KEYS = {
    "--rounds": "federated.num_rounds",
    "--hospitals": "federated.num_clients",
    "--seed": "seed",
}


def _meant(error: Any) -> str:
    """The way out where a word is known, but stands in another place."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else ""
    command, option = getattr(error, "command_name", ""), getattr(error, "option_name", "")
    said = re.search(r"No such command '([^']*)'", error.format_message())
    command = command or (said[1] if said else "")
    if path == "aegis" and command in _ELSEWHERE:
        return f"It is: {_ELSEWHERE[command]}"
    if path == "aegis run" and option in _KEYS:
        return f"It is a key of the plan: --set {_KEYS[option]}=VALUE"
    return ""


def _after_interruption(argv: list[str]) -> str:
    if not argv or argv[0] not in ("run", "simulate", "demo"):
        return "Run the command again"
    said = " ".join(argv)
    roads = [road for road in ("flower", "xmpp") if f"--transport {road}" in said.replace("=", " ")]
    if roads:
        return f"Go on with: aegis coordinator --transport {roads[0]}, and serve its hospitals"
    return "Go on with: aegis run --resume latest (aegis report --list names all runs)"


def _said_once(message: str) -> str:
    """Click and typer each add the nearest command; which of them do depends on their versions."""
    return re.sub(r"(Did you mean [^?]*\?)( \1)+", r"\1", message).rstrip(".")


def _of_the_disk(error: OSError | sqlite3.OperationalError) -> bool:
    """Full, over a quota, read-only: nothing that the program did wrong."""
    if isinstance(error, OSError):
        names = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM")
        return error.errno in {getattr(errno, name, None) for name in names} - {None}
    return any(word in str(error) for word in ("full", "readonly", "unable to open", "disk I/O"))


def _plain(value: str, way_out: str) -> dict[str, str]:
    return {"value": value, "need": "", "way_out": way_out}


def _told(sentence: str, code: int, parts: dict[str, str], as_json: bool) -> int:
    if as_json:
        print(json.dumps({"status": "refused" if code == 2 else "aborted", "error": parts}))
    if os.environ.get("AEGIS_LOG", "").lower() == "json" and (error := sys.exception()):
        from aegis.operations.logs import refused

        print(refused(error, code), file=sys.stderr)
    else:
        print(f"aegis: {tame(sentence)}", file=sys.stderr)
    return code
