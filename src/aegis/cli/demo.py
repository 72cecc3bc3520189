"""``aegis demo``: the main job, offline, from nothing to a report."""

from __future__ import annotations

import typer

from aegis.cli.options import AsJson, answer, read_plan

DEMO = {
    "task": "breast_cancer",
    "privacy.mechanism": "distributed",
    "privacy.epsilon_budget": "1.0",
    "privacy.delta": "1e-5",
}


def register(app: typer.Typer) -> None:
    app.command("demo", epilog="Example:  aegis demo --json")(demo)


def demo(
    seed: int = typer.Option(16, help="Seed of partition and training."),
    serve: bool = typer.Option(False, "--serve", help="Then open the console on the finished run."),
    port: int = typer.Option(8081, help="The console's port, with --serve."),
    as_json: AsJson = False,
) -> None:
    """Five hospitals train one private breast-cancer model together, on real public data.

    Wisconsin breast cancer (569 patients, bundled), dealt unevenly to five hospitals; logistic
    regression at a total epsilon of 1, everything charged; the shared model beside each hospital
    alone and all rows pooled, both with the same budget; and a membership attack on the result.
    """
    from aegis.cli.following import Following
    from aegis.cli.showing import show_result
    from aegis.operations.mirroring import mirrored
    from aegis.simulation.local import run

    if serve:
        from aegis.console import require_web

        require_web()  # said before anything is computed
    plan = read_plan(None, DEMO | {"seed": str(seed)}).plan
    with Following(quiet=as_json) as follow, mirrored(follow.say):
        result = run(plan, listeners=[follow], told=follow.say)
    if as_json:
        answer(result.document)
    else:
        show_result(result.document)
    if serve:
        from aegis.console.looking import run_console

        run_console(host="127.0.0.1", port=port, as_json=as_json)
