"""``aegis run`` and ``aegis simulate``: one federation from a plan, or from a few words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegis.cli.options import AsJson, Settings, answer, overrides, read_plan
from aegis.errors import BadInput

if TYPE_CHECKING:
    from aegis.plan import Plan

LeaveOneOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-out", help="Train again without each hospital in turn, and score it there."
    ),
]

Engines = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        metavar="[NAME=]ENGINE",
        help="What a hospital, or all of them, train in: numpy, sklearn or spark [USE_SPARK].",
    ),
]


def register(app: typer.Typer) -> None:
    app.command(
        "run", epilog="Example:  aegis run examples/wisconsin.yaml --set federated.num_rounds=5"
    )(run)
    app.command("simulate", epilog="Example:  aegis simulate heart --rounds 10")(simulate)


def run(
    plan_file: Path | None = typer.Argument(None, metavar="PLAN.yaml", help="The plan to run."),
    settings: Settings = None,
    transport: str = typer.Option(
        "inprocess",
        help="inprocess, or flower or xmpp: then each hospital is a process of its own.",
    ),
    coordinator: str | None = typer.Option(
        None, metavar="URL", help="Start the plan on a running coordinator, and follow it."
    ),
    out: Path | None = typer.Option(None, help="Where the result goes [results/RUN]."),
    resume: str | None = typer.Option(
        None, metavar="RUN", help="Go on with an interrupted run, or latest, and start none."
    ),
    no_comparison: bool = typer.Option(
        False, "--no-comparison", help="Leave out each hospital alone and the pooled reference."
    ),
    no_audit: bool = typer.Option(
        False, "--no-audit", help="Leave out the membership attack on the model."
    ),
    leave_one_out: LeaveOneOut = False,
    engine: Engines = None,
    sweep: list[str] | None = typer.Option(
        None,
        "--sweep",
        metavar="KEY=A,B,C",
        help="Run once for each value; twice given, for each pair. Draws a picture.",
    ),
    as_json: AsJson = False,
) -> None:
    """Run one federation from a plan, from its first round to its report."""
    from aegis.simulation import local
    from aegis.simulation.engines import engines_said

    if transport not in ("inprocess", "flower", "xmpp"):
        raise BadInput(f"{transport!r} is no transport", "there are inprocess, flower and xmpp")
    if resume is not None:
        if plan_file is not None or settings:
            raise BadInput(
                "--resume goes on with the run's own plan", way_out="Leave PLAN.yaml and --set out"
            )
        _follow(as_json, lambda **kept: local.resume(resume, **kept))
        return
    if plan_file is None:
        raise BadInput(
            "no plan was named", way_out="Try: aegis run examples/wisconsin.yaml, or aegis demo"
        )
    if sweep:
        if resume is not None or out is not None or leave_one_out:
            raise BadInput(
                "--sweep makes runs of its own", way_out="Leave --out and --leave-one-out out"
            )
        from aegis.cli.experiments import sweep as run_each

        run_each(plan_file, overrides(settings), sweep, as_json)
        return
    plan = read_plan(plan_file, overrides(settings)).plan
    if coordinator is not None:
        _elsewhere(plan, coordinator, as_json)
        return
    if transport != "inprocess":
        _over_a_road(plan, transport, as_json)
        return
    _follow(
        as_json,
        lambda **kept: local.run(
            plan,
            out=out,
            compare=not no_comparison,
            audit=not no_audit,
            leave_one_out=leave_one_out,
            engines=engines_said(engine) if engine else None,
            **kept,
        ),
    )


def simulate(
    task: str = typer.Argument("breast_cancer", help="What is learned."),
    hospitals: int | None = typer.Option(None, help="How many hospitals, 2 to 1000."),
    rounds: int | None = typer.Option(None, help="How many rounds."),
    seed: int | None = typer.Option(None, help="Seed of partition and training."),
    settings: Settings = None,
    leave_one_out: LeaveOneOut = False,
    engine: Engines = None,
    as_json: AsJson = False,
) -> None:
    """Short form of run, without a plan file."""
    from aegis.simulation import local
    from aegis.simulation.engines import engines_said

    chosen = {"task": task}
    for key, value in (
        ("federated.num_clients", hospitals),
        ("federated.num_rounds", rounds),
        ("seed", seed),
    ):
        if value is not None:
            chosen[key] = str(value)
    plan = read_plan(None, chosen | overrides(settings)).plan
    engines = engines_said(engine) if engine else None
    _follow(
        as_json,
        lambda **kept: local.run(plan, leave_one_out=leave_one_out, engines=engines, **kept),
    )


def _follow(as_json, start) -> None:  # type: ignore[no-untyped-def]
    from aegis.cli.following import Following
    from aegis.cli.showing import show_result
    from aegis.operations import logs
    from aegis.operations.mirroring import mirrored

    if objects := logs.as_objects():
        logs.start()
    with Following(quiet=as_json or objects) as follow, mirrored(follow.say):
        result = start(listeners=[follow, *logs.listeners()], told=follow.say)
    if as_json:
        answer(result.document)
    else:
        show_result(result.document)


def _over_a_road(plan: Plan, road: str, as_json: bool) -> None:
    """Courier, coordinator and one process per hospital, for this run."""
    import signal

    from aegis.cli.following import Following
    from aegis.cli.showing import show_result
    from aegis.console import require_web

    require_web()
    from aegis.console.together import together
    from aegis.operations import logs
    from aegis.operations.mirroring import mirrored

    def ended(*_: object) -> None:
        raise KeyboardInterrupt  # so that the processes that were started are stopped

    signal.signal(signal.SIGTERM, ended)

    with (
        Following(quiet=as_json or logs.as_objects()) as follow,
        mirrored(follow.say),
        together(plan, road, listeners=(follow, *logs.listeners()), told=follow.say) as federation,
    ):
        found = federation.run(plan)
    if as_json:
        answer(found)
    else:
        show_result(found)


def _elsewhere(plan: Plan, url: str, as_json: bool) -> None:
    from aegis.cli.showing import show_result
    from aegis.console.calling import Calling

    calling = Calling(url)
    run = calling.start(plan)
    typer.echo(f"started {run}", err=True)
    found = calling.follow(run, lambda text: typer.echo(text, err=True))
    if as_json:
        answer(found)
    else:
        show_result(found)
