"""The reference pages, made from the code and from nothing else: python -m tools.reference

    commands.md      the command line's own help      plan.md         the keys of a plan
    events.md        docstrings of aegis.events       errors.md       the tree of aegis.errors
    environment.md   the table of variables           policy.md       a hospital's own word
    rest.md          what the consoles answer over HTTP

``--check`` writes nothing and exits 1 where a page is not what the code says.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tools.rest import rest
from tools.tables import code, prose, table

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Made from the code by `make reference`. Changes here are lost. -->"


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}\n\n{NOTE}", *(part for part in parts if part)]) + "\n"


# --- commands

JSON = "Answer with one JSON object on stdout."  # said once for all of them


def walk(command: Any, path: str = "aegis") -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups included, in the order of the help."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from walk(below, f"{path} {name}")


@cache
def command_line() -> Any:
    import typer

    from aegis.cli.app import app

    return typer.main.get_command(app)


def examples(command: Any) -> list[str]:
    said = re.sub(r"^Example:\s*", "", command.epilog or "")
    return [one.strip() for one in re.split(r"\s{2,}\|\s{2,}", said) if one.strip()]


def _wants(parameter: Any) -> str:
    """The option or argument as it is written, with what it takes."""
    kind = getattr(parameter.type, "name", "text")
    takes = parameter.metavar or {"integer": "N", "integer range": "N", "float": "X"}.get(
        kind, "PATH" if kind in ("path", "file", "directory") else "TEXT"
    )
    if parameter.param_type_name == "argument":
        return takes if parameter.metavar else parameter.name.upper()
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if getattr(parameter, "is_flag", False) else f"{names} {takes}"


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "must be given"
    if value is None or value is False or callable(value) or value == ():
        return ""
    return code("yes" if value is True else str(value))


def first_sentence(command: Any) -> str:
    return re.split(r"(?<=\.)\s", prose(command.help or ""))[0]


def _command(path: str, command: Any) -> str:
    depth = "##" if path.count(" ") == 1 else "###"
    usage = [path]
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    for parameter in shown:
        if parameter.param_type_name == "argument":
            name = _wants(parameter)
            usage.append(name if parameter.required or "[" in name else f"[{name}]")
    options = [p for p in shown if p.param_type_name != "argument"]
    usage += ["[OPTIONS]"] if options else []
    usage += ["COMMAND"] if getattr(command, "commands", None) else []
    rows = [(code(_wants(p)), p.help or "", _default(p)) for p in options if p.help != JSON]
    said = "\n".join(examples(command))
    parts = [f"{depth} {path}", prose(command.help or ""), f"    {' '.join(usage)}"]
    parts += [table(("Option", "What it does", "Default"), rows)] if rows else []
    parts += [f"Example:\n\n```bash\n{said}\n```"] if said else []
    return "\n\n".join(parts)


def commands() -> str:
    found = list(walk(command_line()))
    top = [
        (f"[{path}](#{path.replace(' ', '-')})", first_sentence(command))
        for path, command in found[1:]
        if path.count(" ") == 1
    ]
    return _page(
        "Commands",
        "Every command has `--help`. With `--json` it answers with one JSON object on standard "
        "output, also when it fails. Exit codes: 0 done, 1 a check failed, 2 bad input, 3 a run "
        "was aborted. `aegis --version` shows the version.",
        table(("Command", "What it does"), top),
        *(_command(path, command) for path, command in found[1:]),
    )


# --- plan


def plan() -> str:
    from aegis.plan.layers import defaults
    from aegis.plan.sentences import need, schema_of, show

    groups: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, default in defaults().items():
        schema = schema_of(path)
        unit = schema.get("unit", "")
        takes = need(schema) + (f" ({unit})" if unit else "")
        section = path.rpartition(".")[0] or "The run"
        groups.setdefault(section, []).append(
            (code(path), schema["description"], takes, code(show(default)))
        )
    return _page(
        "Plan keys",
        "A plan is a YAML file. What it does not say takes the default; a task may have a preset "
        "that comes between the two. Above the file come `.env`, the environment "
        "([variables](environment.md)) and `--set KEY=VALUE`, in this order. "
        "`aegis plan explain FILE` prints every value of a plan and where it comes from; "
        "`aegis plan check FILE` says everything that is wrong with it.",
        "A key that does not exist is refused, and so is a value of the wrong kind.",
        *(
            f"## {section}\n\n" + table(("Key", "What it says", "Takes", "Default"), rows)
            for section, rows in groups.items()
        ),
    )


# --- events, errors, environment, policy


def said_of(cls: type) -> str:
    """A class's own docstring; what ``dataclass`` makes up by itself does not count."""
    text = cls.__doc__ or ""
    return "" if text.startswith(f"{cls.__name__}(") else prose(text)


def event_classes() -> list[type]:
    from typing import get_args

    from aegis import events

    return list(get_args(events.Event))


def events() -> str:
    def fields(cls: Any) -> str:
        return ", ".join(f"`{f.name}`" for f in dataclasses.fields(cls) if f.name != "run")

    parts = [
        f"## {cls.__name__}\n\n{said_of(cls)}\n\nFields: {fields(cls)}." for cls in event_classes()
    ]
    return _page(
        "Events",
        "What happened in a run, as the audit log, the database and the pages hear it. An event "
        "carries digests and counts, never an update and never a row. Each has the field `run` "
        "besides those named here.",
        *parts,
    )


def error_classes() -> list[type]:
    from aegis import errors

    def tree(cls: type) -> Iterator[type]:
        yield cls
        below: type
        for below in cls.__subclasses__():
            if below.__module__ == errors.__name__:
                yield from tree(below)

    return list(tree(errors.AegisError))


def drawn() -> Mapping[str, str]:
    """Each error's sentence in the tree that ``aegis.errors`` draws."""
    from aegis import errors

    lines = (errors.__doc__ or "").splitlines()
    found = (re.match(r"[\s│├└─]*(\w+)\s+\d?\s+(\S.*)$", line) for line in lines if "─" in line)
    return {one[1]: one[2].strip() for one in found if one}


def errors() -> str:
    rows = [
        (
            code(cls.__name__),
            code(cls.__mro__[1].__name__) if cls.__mro__[1] is not Exception else "",
            str(cls.exit_code),  # type: ignore[attr-defined]
            drawn().get(cls.__name__, "the root of the tree"),
        )
        for cls in error_classes()
    ]
    return _page(
        "Errors",
        "Every error says what was found, what is needed and what to do. The command line prints "
        "that sentence on standard error and ends with the error's exit code; with `--json` the "
        "object has `status` and `error`, with the fields `value`, `need` and `way_out`.",
        table(("Error", "Kind of", "Exit code", "What it means"), rows),
        "In Python all of them are `aegis.AegisError`. Exit code 0 means that it was done. Where "
        "the disk does not take what is to be written, and after Ctrl-C, the exit code is 3: what "
        "was saved is kept, and `aegis run --resume RUN` goes on from it.",
    )


def environment() -> str:
    from aegis.plan.environment import ENVIRONMENT

    rows = [
        (code(v.name), v.meaning, v.default, ", ".join(code(key) for key in v.keys))
        for v in ENVIRONMENT.values()
    ]
    return _page(
        "Environment",
        "Variables may also stand in a file `.env` in the folder where a command is run; "
        "`.env.example` is one to copy. A variable that is set but empty says nothing.",
        table(("Variable", "What it says", "Default", "In place of the plan key"), rows),
    )


def policy() -> str:
    from aegis.hospital.policy import Policy

    rows = [(code(field.name), code(_plain(field.default))) for field in dataclasses.fields(Policy)]
    return _page(
        "A hospital's policy",
        '`policy.toml` in the hospital\'s folder, with `version = 1` and `hospital = "NAME"` '
        "above these keys. It counts once the hospital's own key has signed it: "
        "`aegis hospital policy sign`. `config/policy.toml` is an example with a comment on every "
        "key.",
        prose(Policy.__doc__ or ""),
        table(("Key", "Where it is left out"), rows),
    )


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool | None) else f"{value}"


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "plan": plan,
    "events": events,
    "errors": errors,
    "environment": environment,
    "policy": policy,
    "rest": lambda: _page("HTTP", *rest()),
}


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Write docs/reference from the code.")
    reader.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = reader.parse_args(argv).check
    stale = []
    for name, make in PAGES.items():
        path, text = FOLDER / f"{name}.md", make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    print(f"{'stale' if check else 'written'}: {', '.join(stale) or 'nothing'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
