"""``aegis plan``: is this plan sound, and where does each value come from?"""

from __future__ import annotations

from pathlib import Path

import typer

from aegis.cli.options import AsJson, Settings, answer, overrides, read_plan


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Check a plan, or explain every value of it.")
    group.command(
        "check", epilog="Example:  aegis plan check config/config.yaml --suggest ok.yaml"
    )(check)
    group.command("explain", epilog="Example:  aegis plan explain examples/wisconsin.yaml")(explain)
    app.add_typer(group, name="plan")


def check(
    plan_file: Path = typer.Argument(..., metavar="PLAN.yaml"),
    out: Path | None = typer.Option(
        None, "--suggest", metavar="OUT", help="Write the nearest plan that is sound to this file."
    ),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a plan, all at once."""
    from aegis.errors import PlanError
    from aegis.plan import check_plan, suggest, suggested_yaml
    from aegis.store.home import write_whole

    loaded = read_plan(plan_file, overrides(settings), checked=False)
    faults: tuple[str, ...] = ()
    try:
        check_plan(loaded.plan)
    except PlanError as error:
        faults = error.faults
    edits: list[str] = []
    if out is not None:
        _, edits = suggest(loaded)
        write_whole(out, suggested_yaml(loaded).encode())
    if as_json:
        document: dict[str, object] = {
            "status": "refused" if faults else "sound",
            "plan_sha256": loaded.plan.sha256,
            "faults": list(faults),
            "edits": edits,
            "suggested": str(out) if out else None,
        }
        if faults:
            document["error"] = {"value": "; ".join(faults), "need": "", "way_out": ""}
        answer(document)
    elif faults:
        typer.echo(f"{plan_file} is not sound:", err=True)
        for fault in faults:
            typer.echo(f"  - {fault}", err=True)
    else:
        typer.echo(f"{plan_file} is sound (plan {loaded.plan.sha256[:12]})")
    if out is not None and not as_json:
        typer.echo(f"The nearest sound plan is in {out}:")
        for edit in edits or ["nothing had to change"]:
            typer.echo(f"  - {edit}")
    elif faults and not as_json:
        typer.echo(f"Ways out: aegis plan check {plan_file} --suggest sound.yaml", err=True)
    if faults:
        raise typer.Exit(2)


def explain(
    plan_file: Path | None = typer.Argument(None, metavar="[PLAN.yaml]"),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Print every effective value with its origin."""
    from aegis.plan import explain as explained

    loaded = read_plan(plan_file, overrides(settings), checked=False)
    rows = explained(loaded)
    if as_json:
        answer(
            {
                "plan_sha256": loaded.plan.sha256,
                "keys": [{"key": k, "value": v, "origin": o} for k, v, o in rows],
            }
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("key", "value", "origin"):
        table.add_column(title, overflow="fold")
    for key, value, origin in rows:
        table.add_row(key, str(value), origin)
    Console(highlight=False).print(table)
    typer.echo(f"plan_sha256 {loaded.plan.sha256}")
