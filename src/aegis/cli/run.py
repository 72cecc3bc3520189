"""``aegis run`` and ``aegis simulate``: one federation from a plan, or from a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aegis.cli.options import AsJson, Settings, answer, overrides, read_plan
from aegis.errors import BadInput

LeaveOneOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-out", help="Train again without each hospital in turn, and score it there."
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
    transport: str = typer.Option("inprocess", help="inprocess (flower and xmpp: not yet)."),
    out: Path | None = typer.Option(None, help="Where the result goes [results/RUN]."),
    resume: str | None = typer.Option(
        None, metavar="RUN", help="Go on with an interrupted run instead of starting one."
    ),
    no_comparison: bool = typer.Option(
        False, "--no-comparison", help="Leave out each hospital alone and the pooled reference."
    ),
    no_audit: bool = typer.Option(
        False, "--no-audit", help="Leave out the membership attack on the model."
    ),
    leave_one_out: LeaveOneOut = False,
    as_json: AsJson = False,
) -> None:
    """Run one federation from a plan, from its first round to its report."""
    from aegis.simulation import local

    if transport != "inprocess":
        raise BadInput(
            f"the transport {transport} is not in this version yet",
            way_out="Leave --transport out: the hospitals then run in this process",
        )
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
    plan = read_plan(plan_file, overrides(settings)).plan
    _follow(
        as_json,
        lambda **kept: local.run(
            plan,
            out=out,
            compare=not no_comparison,
            audit=not no_audit,
            leave_one_out=leave_one_out,
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
    as_json: AsJson = False,
) -> None:
    """Short form of run, without a plan file."""
    from aegis.simulation import local

    chosen = {"task": task}
    for key, value in (
        ("federated.num_clients", hospitals),
        ("federated.num_rounds", rounds),
        ("seed", seed),
    ):
        if value is not None:
            chosen[key] = str(value)
    plan = read_plan(None, chosen | overrides(settings)).plan
    _follow(as_json, lambda **kept: local.run(plan, leave_one_out=leave_one_out, **kept))


def _follow(as_json, start) -> None:  # type: ignore[no-untyped-def]
    from aegis.cli.following import Following
    from aegis.cli.showing import show_result

    with Following(quiet=as_json) as follow:
        result = start(listeners=[follow], told=follow.say)
    if as_json:
        answer(result.document)
    else:
        show_result(result.document)
