"""``aegis models new``: a plug-in to start from, complete and trainable as it is written."""

from __future__ import annotations

from pathlib import Path

import typer

from aegis.cli.options import AsJson, answer


def register(group: typer.Typer) -> None:
    group.command("new", epilog="Example:  aegis models new sepsis")(new)


def new(
    name: str = typer.Argument(..., help="Small letters, digits, underscores."),
    into: Path | None = typer.Option(
        None, help="Folder to put it in [AEGIS_PLUGINS_DIR, else AEGIS_HOME/plugins]."
    ),
    as_json: AsJson = False,
) -> None:
    """Write a plug-in with dataset.py, model.py, hyperparams.py and evaluate.py; it trains by its
    name at once, on invented rows."""
    from importlib.resources import files

    from aegis.errors import BadInput
    from aegis.tasks.plugins import checked_plugin_name, plugins_folder

    folder = (into or plugins_folder()) / checked_plugin_name(name)
    if folder.exists():
        raise BadInput(f"{folder} is there already", way_out="Choose another name, or remove it")
    template = files("aegis.tasks.template")
    written = []
    try:
        folder.mkdir(parents=True)
        for part in ("dataset.py", "model.py", "hyperparams.py", "evaluate.py", "README.md"):
            text = template.joinpath(part).read_text(encoding="utf-8")
            text = text.replace("NAME", name) if part == "README.md" else text
            (folder / part).write_text(text, encoding="utf-8")
            written.append(str(folder / part))
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror})") from error
    found = into is None
    if as_json:
        answer({"name": name, "files": written, "found": found})
        return
    for path in written:
        typer.echo(path)
    typer.echo(f"Train it with: aegis simulate {name}" + (_elsewhere(into) if into else ""))


def _elsewhere(into: Path) -> str:
    return f"  (with AEGIS_PLUGINS_DIR={into})"
