"""``aegis models``: the versions that runs have stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.store.registry import Registry


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="List, show and verify stored model versions.")
    group.command("list", epilog="Example:  aegis models list --json")(list_models)
    group.command("show", epilog="Example:  aegis models show 3fa9c1")(show)
    group.command("verify", epilog="Example:  aegis models verify")(verify)
    app.add_typer(group, name="models")


@contextmanager
def _registry() -> Iterator[Registry]:
    from aegis.errors import BadInput
    from aegis.store.home import Home
    from aegis.store.journal import Journal
    from aegis.store.registry import Registry

    home = Home.from_environment()
    if not home.database.exists():
        raise BadInput(f"{home.root} holds no model yet", way_out="Start with: aegis demo")
    journal = Journal(home.database)
    try:
        yield Registry(home, journal)
    finally:
        journal.close()


def list_models(as_json: AsJson = False) -> None:
    """All versions, oldest first."""
    with _registry() as registry:
        rows = [
            {"sha256": v.sha256, "task": v.task, "run": v.run, "created": v.created}
            for v in registry.versions()
        ]
    if as_json:
        answer({"models": rows})
        return
    for row in rows:
        typer.echo(f"{row['sha256'][:12]}  {row['created'][:19]}  {row['task']:<16} {row['run']}")


def show(
    name: str = typer.Argument(..., metavar="MODEL|RUN|NAME"),
    inputs: int | None = typer.Option(None, min=1, help="Of a plan's model: how many inputs."),
    as_json: AsJson = False,
) -> None:
    """A version's card: what it is, where it came from, its layers and inputs; or the layers of a
    model that a plan can name."""
    from aegis.tasks.models import HIDDEN

    if name in HIDDEN:
        _show_network(name, inputs, as_json)
        return
    with _registry() as registry:
        version = registry.find(name)
        model, features = version.model, version.preparation.names
    if as_json:
        answer({**version.card, "inputs": list(features)})
        return
    typer.echo(f"model     {version.sha256}")
    for key in ("task", "positive", "run", "plan_sha256", "parent", "aegis"):
        typer.echo(f"{key:<9} {version.card.get(key)}")
    typer.echo(f"created   {version.created}")
    typer.echo(f"layers    {' -> '.join(map(str, (model.inputs, *model.hidden, 1)))}")
    typer.echo(f"activation {'ReLU, then ' if model.hidden else ''}sigmoid at prediction")
    typer.echo(f"parameters {model.size:,}")
    typer.echo(f"inputs    {', '.join(features)}")
    typer.echo(version.card["note"])


def _show_network(name: str, inputs: int | None, as_json: bool) -> None:
    from aegis.errors import BadInput
    from aegis.tasks.models import DROPOUT, INPUTS, perceptron

    inputs = inputs or INPUTS.get(name)
    if inputs is None:
        raise BadInput(
            f"{name} takes as many inputs as the task has columns",
            way_out=f"Say how many: aegis models show {name} --inputs 30",
        )
    model = perceptron(name, inputs, dropout=DROPOUT.get(name, ()))
    last = len(model.layers) - 1
    rates = [*(model.dropout or (0.0,) * last), 0.0]
    layers = [
        {
            "inputs": fan_in,
            "outputs": fan_out,
            "activation": "sigmoid" if at == last else "ReLU",
            "dropout": rates[at],
            "parameters": (fan_in + 1) * fan_out,
        }
        for at, (fan_in, fan_out) in enumerate(model.layers)
    ]
    if as_json:
        answer({"model": name, "layers": layers, "parameters": model.size})
        return
    typer.echo(f"model     {name}")
    for layer in layers:
        dropped = f", dropout {layer['dropout']:g}" if layer["dropout"] else ""
        typer.echo(
            f"layer     {layer['inputs']} -> {layer['outputs']}, {layer['activation']}{dropped}, "
            f"{layer['parameters']:,} parameters"
        )
    typer.echo(f"parameters {model.size:,}")


def verify(
    name: str | None = typer.Argument(None, metavar="[MODEL|RUN]"), as_json: AsJson = False
) -> None:
    """Check that stored files still have the bytes their hash names; exits 1 if one does not."""
    from aegis.errors import CheckFailed

    with _registry() as registry:
        versions = registry.versions() if name is None else [registry.find(name)]
        broken: list[str] = []
        for version in versions:
            try:
                registry.verified_bytes(version)
            except CheckFailed as error:
                broken.append(str(error))
    if as_json:
        answer({"checked": len(versions), "broken": broken})
    else:
        for sentence in broken:
            typer.echo(sentence, err=True)
        typer.echo(f"{len(versions) - len(broken)} of {len(versions)} versions are intact")
    if broken:
        raise typer.Exit(1)
