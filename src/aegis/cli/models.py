"""``aegis models``: the versions that runs have stored, from their card to their predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.store.registry import Registry, Source, Version

NAME = "VERSION|RUN|HASH"


def register(app: typer.Typer) -> None:
    from aegis.cli import plugins, predicting, promoting

    group = typer.Typer(no_args_is_help=True, help="The registry: every model a run has stored.")
    group.command("list", epilog="Example:  aegis models list --json")(list_models)
    group.command("show", epilog="Example:  aegis models show 3fa9c1")(show)
    group.command("verify", epilog="Example:  aegis models verify --metrics")(verify)
    group.command("restore", epilog="Example:  aegis models restore v3")(restore)
    group.command("push", epilog="Example:  aegis models push v3")(push)
    predicting.register(group)
    promoting.register(group)
    plugins.register(group)
    app.add_typer(group, name="models")


@contextmanager
def opened(*, writing: bool = False) -> Iterator[Registry]:
    from aegis.errors import BadInput
    from aegis.store.home import Home
    from aegis.store.journal import Journal
    from aegis.store.registry import Registry

    home = Home.from_environment()
    if not home.database.exists():
        raise BadInput(f"{home.root} holds no model yet", way_out="Start with: aegis demo")
    journal = Journal(home.database) if writing else Journal.reading(home.database)
    try:
        yield Registry(home, journal)
    finally:
        journal.close()


def list_models(as_json: AsJson = False) -> None:
    """All versions, oldest first; a star marks the one that is in use for its task."""
    from aegis.store.promotion import Promotions

    with opened() as registry:
        promotions = Promotions(registry.journal, registry)
        versions = registry.versions()
        used = {task: promotions.in_use(task) for task in {v.task for v in versions}}
        rows = [_row(version, used[version.task]) for version in versions]
    if as_json:
        answer({"models": rows})
        return
    for row in rows:
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
        typer.echo(
            f"{row['version']:<5}{'*' if row['in_use'] else ' '} {row['sha256'][:12]}  "
            f"{row['created'][:19]}  {row['task']:<16} {accuracy:<6} {row['run']}"
        )


def _row(version: Version, used: Version | None) -> dict[str, Any]:
    metrics = version.card.get("metrics") or {}
    return {
        "version": version.name,
        "sha256": version.sha256,
        "task": version.task,
        "run": version.run,
        "created": version.created,
        "accuracy": metrics.get("accuracy"),
        "auc": metrics.get("auc"),
        "in_use": used is not None and used.number == version.number,
    }


def show(
    name: str = typer.Argument(..., metavar=f"{NAME}|NAME"),
    inputs: int | None = typer.Option(None, min=1, help="Of a plan's model: how many inputs."),
    classes: int = typer.Option(2, min=2, help="Of a plan's network: how many classes."),
    channels: int = typer.Option(
        1, min=1, help="Of a network for images: 1 for grey, 3 for colour."
    ),
    as_json: AsJson = False,
) -> None:
    """A version's card: what it is, how good, where it came from, who may rely on it; or the layers
    of a model that a plan can name."""
    from aegis.store.promotion import Promotions
    from aegis.tasks.models import HIDDEN
    from aegis.tasks.networks import NETWORKS

    if name in NETWORKS:
        from aegis.cli.networks import show_network

        show_network(name, as_json, classes, channels)
        return
    if name in HIDDEN:
        _show_network(name, inputs, as_json, classes)
        return
    with opened() as registry:
        version = registry.find(name)
        model, features, card = version.model, version.preparation.names, version.card
        acts = Promotions(registry.journal, registry).acts(version.task)
    mine = [act for act in acts if act.version == version.number]
    if as_json:
        signed = [act.as_json() for act in mine]
        more = {"version": version.name, "created": version.created, "promotions": signed}
        answer({**card, **more, "inputs": list(features)})
        return
    typer.echo(f"model             {version.sha256}")
    typer.echo(f"version           {version.name}")
    for key in ("task", "positive", "run", "plan_sha256", "parent", "aegis"):
        typer.echo(f"{key:<17} {card.get(key)}")
    typer.echo(f"created           {version.created}")
    widths = (model.inputs, *model.hidden, model.outputs)
    typer.echo(f"layers            {' -> '.join(map(str, widths))}")
    last = "sigmoid" if model.outputs == 1 else "softmax"
    typer.echo(f"activation        {'ReLU, then ' if model.hidden else ''}{last} at prediction")
    if told := (card.get("schema") or {}).get("classes"):
        typer.echo(f"classes           {', '.join(told)}")
    typer.echo(f"parameters        {model.size:,}")
    typer.echo(f"inputs            {', '.join(features)}")
    for line in _measured(card):
        typer.echo(line)
    for act in mine:
        typer.echo(f"{act.kind:<17} {act.time[:19]} by {act.who}: {act.reason}")
    typer.echo(card["note"])


def _measured(card: dict[str, Any]) -> Iterator[str]:
    metrics = card.get("metrics") or {}
    for name in ("accuracy", "top_3_accuracy", "auc", "balanced_accuracy"):
        if (value := metrics.get(name)) is not None:
            low, high = (metrics.get("ci95") or {}).get(name) or (None, None)
            span = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
            yield f"{name:<17} {value:.3f}{span}"
    if (privacy := card.get("privacy")) is not None:
        yield f"privacy           {privacy['summary']}"
    if (attacked := card.get("membership_audit")) is not None:
        yield f"audit             {attacked['verdict'] or 'not made'}: {attacked['reason']}"
    if (fairness := card.get("fairness")) is not None:
        yield f"fairness          {fairness['sentence'] or fairness['reason']}"


def _show_network(name: str, inputs: int | None, as_json: bool, classes: int) -> None:
    from aegis.errors import BadInput
    from aegis.tasks.models import DROPOUT, INPUTS, perceptron

    inputs = inputs or INPUTS.get(name)
    if inputs is None:
        raise BadInput(
            f"{name} takes as many inputs as the task has columns",
            way_out=f"Say how many: aegis models show {name} --inputs 30",
        )
    model = perceptron(name, inputs, dropout=DROPOUT.get(name, ()), classes=classes)
    last = len(model.layers) - 1
    rates = [*(model.dropout or (0.0,) * last), 0.0]
    layers = [
        {
            "inputs": fan_in,
            "outputs": fan_out,
            "activation": "ReLU" if at < last else "sigmoid" if classes == 2 else "softmax",
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
    name: str | None = typer.Argument(None, metavar=f"[{NAME}]"),
    metrics: bool = typer.Option(
        False, "--metrics", help="Load each model and score it again: its card must say the same."
    ),
    as_json: AsJson = False,
) -> None:
    """Check that stored files still have the bytes they were stored with; exits 1 if one has
    not."""
    from aegis.errors import AegisError, BadInput, CheckFailed

    with opened() as registry:
        versions = registry.versions() if name is None else [registry.find(name)]
        broken: list[str] = []
        unscored: list[str] = []
        for version in versions:
            try:
                registry.verify(version)
            except CheckFailed as error:
                broken.append(str(error))
    if metrics:
        from aegis.simulation.rescoring import rescore

        for version in versions:
            try:
                rescore(version.name)
            except BadInput as error:  # of a run over a road: no row of it is here
                unscored.append(f"{version.name} cannot be scored here: {error}")
            except AegisError as error:
                broken.append(str(error))
    if as_json:
        found = {"checked": len(versions), "broken": broken, "metrics": metrics}
        answer(found | ({"not_scored": unscored} if metrics else {}))
    else:
        for sentence in broken + unscored:
            typer.echo(sentence, err=True)
        typer.echo(f"{len(versions) - len(broken)} of {len(versions)} versions are intact")
        if metrics and unscored:
            typer.echo(f"{len(versions) - len(unscored)} of {len(versions)} were scored again")
    if broken:
        raise typer.Exit(1)


def restore(
    name: str = typer.Argument(..., metavar=NAME),
    passphrase_file: Path | None = typer.Option(
        None, help="For encrypted backups: a file whose first line is their passphrase."
    ),
    as_json: AsJson = False,
) -> None:
    """Bring a version's files back, byte for byte; damaged ones are moved aside."""
    from aegis.cli.backup_options import passphrase
    from aegis.store.backup.backups import Backups
    from aegis.store.models_afar import find
    from aegis.store.objects import Objects, Place

    with opened(writing=True) as registry:
        version = registry.find(name)
        backups = Backups(registry.home.backups, passphrase(passphrase_file))
        sources: list[Source] = [("backups", lambda file: backups.find(f"models/{file}"))]
        if Place.from_settings() is not None:
            objects = Objects.from_settings()
            sources.append((str(objects.place), lambda file: find(objects, file)))
        place = registry.restore(version, sources)
        path = registry.path(version.sha256)
    if as_json:
        answer(
            {"version": version.name, "sha256": version.sha256, "from": place, "file": str(path)}
        )
    else:
        typer.echo(f"{version.name} ({version.sha256[:12]}) is back, from {place}: {path}")


def push(
    name: str | None = typer.Argument(None, metavar=f"[{NAME}]"),
    as_json: AsJson = False,
) -> None:
    """Carry versions to the object store (AEGIS_S3_BUCKET), all of them where none is named; what
    is there already is not sent again."""
    from aegis.store.models_afar import push as carried
    from aegis.store.objects import Objects

    objects = Objects.from_settings()
    with opened() as registry:
        versions = registry.versions() if name is None else [registry.find(name)]
        sent = [version.name for version in versions if carried(registry, version, objects)]
    if as_json:
        answer({"store": str(objects.place), "versions": len(versions), "sent": sent})
        return
    there = len(versions) - len(sent)
    typer.echo(f"{len(sent)} versions sent to {objects.place}, {there} were there")
