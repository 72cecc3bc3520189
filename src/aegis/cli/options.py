"""Options and helpers that several commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.errors import BadInput

if TYPE_CHECKING:
    from aegis.plan import Loaded

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object on stdout.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a plan key; may be repeated."),
]


def overrides(settings: list[str] | None) -> dict[str, str]:
    """``--set`` values by key. Raises ``BadInput`` for one without an equals sign."""
    found = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise BadInput(
                f"--set {setting} has no value", way_out="Write --set federated.num_rounds=5"
            )
        found[key.strip()] = value.strip()
    return found


def read_plan(path: Path | None, settings: Mapping[str, str], *, checked: bool = True) -> Loaded:
    """The plan with everything that may change it: --set, environment, .env in this folder."""
    from aegis.plan import load_plan, parse_plan

    reading = load_plan if checked else parse_plan
    return reading(path, settings, os.environ, Path(".env"))


def passphrase(file: Path | None) -> str | None:
    """What opens a key file: the first line of ``file``, else AEGIS_KEY_PASSPHRASE."""
    if file is None:
        return os.environ.get("AEGIS_KEY_PASSPHRASE") or None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise BadInput(f"{file} cannot be read ({error})") from error
    if not lines or not lines[0]:
        raise BadInput(f"{file} begins with an empty line", "the passphrase")
    return lines[0]


def typed(question: str, way_out: str, *, hidden: bool = False) -> str:
    """What a person types. Raises ``BadInput`` with ``way_out`` where the input ends instead."""
    try:
        return str(typer.prompt(question, hide_input=hidden, err=True))
    except typer.Abort as error:
        raise BadInput(
            f"{question[0].lower()}{question[1:]} was not typed", "nothing was changed", way_out
        ) from error


def answer(document: Any) -> None:
    typer.echo(json.dumps(document, allow_nan=False))
