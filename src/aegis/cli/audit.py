"""``aegis audit``: can the model be made to tell who trained it?"""

from __future__ import annotations

import typer

from aegis.cli.options import AsJson, answer


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Attack a stored model, as an auditor would.")
    group.callback()(_group)
    group.command("membership", epilog="Example:  aegis audit membership latest")(membership)
    app.add_typer(group, name="audit")


def _group() -> None:
    """Attack a stored model, as an auditor would."""


def membership(
    name: str = typer.Argument("latest", metavar="MODEL|RUN", help="A version, a run, or latest."),
    as_json: AsJson = False,
) -> None:
    """Membership-inference audit with a positive control; exits 1 unless the verdict is safe."""
    import sys

    from aegis.assurance.report import as_json as plain
    from aegis.assurance.report import report
    from aegis.errors import BadInput
    from aegis.simulation.auditing import audit_run, why_not
    from aegis.simulation.local import stored

    def told(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\rtraining reference models: {done} of {total}", end="", file=sys.stderr)

    run, sha256, federation, fitted, result = stored(name)
    if (reason := why_not(fitted.study.plan, len(federation.sites))) is not None:
        raise BadInput(f"the model of {run} cannot be audited", reason)
    found = audit_run(federation.sites, fitted, result.get("privacy", {}), told)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if as_json:
        answer({"run": run, "model_sha256": sha256, **plain(found)})
    else:
        typer.echo(f"model {sha256} of run {run}")
        typer.echo(report(found), nl=False)
    if not found.verdict.passed:
        raise typer.Exit(1)
