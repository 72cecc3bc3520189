"""``aegis experiments``: what was run, with which plan, and whether it comes out again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.events import Event
    from aegis.plan import Plan

NAME = "RUN|FILE|latest"


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Every run with its plan, environment, events and result."
    )
    group.command("list", epilog="Example:  aegis experiments list --json")(list_experiments)
    group.command("show", epilog="Example:  aegis experiments show latest")(show)
    group.command(
        "compare", epilog="Example:  aegis experiments compare 20261122-0601 20261122-0714"
    )(compare)
    group.command("rerun", epilog="Example:  aegis experiments rerun experiment.json")(rerun)
    app.add_typer(group, name="experiments")


def list_experiments(as_json: AsJson = False) -> None:
    """All experiments, oldest first."""
    from aegis.store.experiments import listed
    from aegis.store.home import Home

    found, broken = listed(Home.from_environment())
    rows = [one.summary() for one in found]
    if as_json:
        answer({"experiments": rows, "broken": broken})
    else:
        for row in rows:
            scores = " ".join(f"{n} {_shown(row[n])}" for n in ("accuracy", "auc"))
            typer.echo(f"{row['run']}  {row['status']:<10} {scores}  {_hash(row['model_sha256'])}")
        if not rows and not broken:
            typer.echo("No experiment yet. Start with: aegis demo")
        for sentence in broken:
            typer.echo(sentence, err=True)
    if broken:
        raise typer.Exit(1)


def show(name: str = typer.Argument("latest", metavar=NAME), as_json: AsJson = False) -> None:
    """One experiment: how it was made and what came out; --json gives the whole file."""
    from aegis.store.experiments import find
    from aegis.store.home import Home

    found = find(Home.from_environment(), name)
    if as_json:
        answer(found.body)
        return
    row = found.summary()
    for key, value in row.items():
        shown = _hash(value) if key.endswith("sha256") else value
        typer.echo(f"{key:<18} {_shown(shown)}")
    typer.echo(f"{'seed':<18} {found.body['seed']}")
    typer.echo(f"{'events':<18} {len(found.body['events'])}")
    made = found.body["environment"]
    typer.echo(f"{'made with':<18} Python {made['python']}, {made['system']} {made['machine']}")
    for package, version in made["packages"].items():
        typer.echo(f"{'':<18} {package} {version}")
    if found.body.get("error"):
        typer.echo(f"{'reason':<18} {found.body['error']['value']}")
    typer.echo(f"Make it again: aegis experiments rerun {found.run}")


def compare(
    names: list[str] = typer.Argument(..., metavar=f"{NAME} {NAME}..."), as_json: AsJson = False
) -> None:
    """Runs beside each other: which plan keys differ, what came out, the same weights or not."""
    from aegis.errors import BadInput
    from aegis.store.experiments import differences, find
    from aegis.store.home import Home

    if len(names) < 2:
        raise BadInput("one experiment has nothing to be compared with", way_out="Name two or more")
    home = Home.from_environment()
    apart = differences([find(home, name) for name in names])
    if as_json:
        answer(apart)
        return
    lines = [["", *apart["runs"]]]
    for part in ("plan", "environment", "metrics"):
        lines += [[key, *map(_shown, cells)] for key, cells in apart[part].items()]
    lines.append(["epsilon", *map(_shown, apart["epsilon"])])
    lines.append(["model", *map(_hash, apart["model_sha256"])])
    _aligned(lines)
    typer.echo("The weights are the same." if apart["same_model"] else "The weights differ.")


def rerun(name: str = typer.Argument(..., metavar=NAME), as_json: AsJson = False) -> None:
    """Make a run again from its file. Without noise the metrics and the model's hash must be the
    same (exit 1 if not); with noise they are shown beside each other."""
    from aegis.cli.following import Following
    from aegis.simulation.experiments import rerun as again
    from aegis.store.experiments import find
    from aegis.store.home import Home

    home = Home.from_environment()
    experiment = find(home, name)
    with Following(quiet=as_json) as follow:
        done = again(experiment, listeners=[follow], told=follow.say)
    document = done.as_json()
    if as_json:
        answer(document)
    else:
        typer.echo(f"before  {done.before.run}  {_hash(done.before.model_sha256)}")
        typer.echo(f"again   {done.after.run}  {_hash(done.after.model_sha256)}")
        for metric, cells in document["metrics"].items():
            typer.echo(f"{metric:<18} {_shown(cells[0]):<12} {_shown(cells[1])}")
        for key, cells in document["environment"].items():
            typer.echo(f"other environment: {key} was {cells[0]}, is {cells[1]}", err=True)
        typer.echo(_verdict(done.reproduced, done.inside))
    if done.reproduced is False:
        raise typer.Exit(1)


def _verdict(reproduced: bool | None, inside: bool | None) -> str:
    if reproduced is None:
        where = {True: "inside", False: "outside", None: "without"}[inside]
        return (
            "Privacy noise is drawn anew in every run, so nothing can be the same to the bit; "
            f"the accuracy lies {where} the first run's 95 % interval."
        )
    return "Reproduced: metrics and weights are the same." if reproduced else "Not reproduced."


class Sweeping:
    """A bar over the runs of a sweep, and the rounds of the one that is on; plain lines where
    nobody watches."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._live = self._console.is_terminal and not quiet
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> Sweeping:
        if self._live:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.progress import TimeElapsedColumn as Elapsed

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                Elapsed(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._runs = self._bar.add_task("runs", total=None)
            self._rounds = self._bar.add_task("rounds", total=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, number: int, of: int, name: str, rounds: int) -> None:
        if self._bar is not None:
            self._bar.update(self._runs, completed=number - 1, total=of)
            self._bar.update(self._rounds, description=name, completed=0, total=rounds or None)
        elif not self._quiet:
            print(f"run {number} of {of}: {name}", file=sys.stderr)

    def __call__(self, event: Event) -> None:
        from aegis.events import RoundClosed

        if self._bar is not None and isinstance(event, RoundClosed):
            self._bar.update(self._rounds, completed=event.round)


def sweep(plan_file: Path, settings: Mapping[str, str], said: list[str], as_json: bool) -> None:
    """``aegis run PLAN.yaml --sweep KEY=A,B``: the runs, a table, a picture."""
    from aegis.cli.options import read_plan
    from aegis.report.sweeps import as_csv, as_markdown, header, picture, rows
    from aegis.simulation.sweep import asked, planned, swept
    from aegis.store.home import write_whole

    def read(keys: Mapping[str, str]) -> Plan:
        return read_plan(plan_file, {**settings, **keys}).plan

    wanted = planned(asked(said), read)
    with Sweeping(quiet=as_json) as watching:
        document = swept(wanted, watching)
    path = Path(document["files"]["sweep"])
    picture(document, path.with_suffix(".png"))
    write_whole(path.with_suffix(".md"), as_markdown(document).encode())
    write_whole(path.with_suffix(".csv"), as_csv(document).encode())
    kinds = {"picture": ".png", "table": ".md", "csv": ".csv"}
    document["files"] |= {name: str(path.with_suffix(ending)) for name, ending in kinds.items()}
    if as_json:
        answer(document)
    else:
        _aligned([header(document), *rows(document)])
        for name, file in document["files"].items():
            typer.echo(f"{name:<10} {file}")
    if all(run["status"] == "failed" for run in document["runs"]):
        raise typer.Exit(3)


def _aligned(lines: list[list[str]]) -> None:
    """Columns as wide as they must be, never cut: they are there to be copied."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _hash(value: str | None) -> str:
    return "-" if value is None else value[:12]
