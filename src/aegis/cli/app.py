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
        stop = "" if message.endswith("?") else "."
        return _told(f"{message}{stop} {hint}", 2, _plain(message, hint), as_json)
    except typer.Exit as ended:
        return int(ended.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        message = "interrupted; what was saved is kept"
        hint = "Go on with: aegis run --resume RUN (aegis report --list names it)"
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
