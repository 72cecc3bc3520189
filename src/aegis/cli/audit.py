"""``aegis audit``: does the log hold, and can the model be made to tell who trained it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aegis.cli.options import AsJson, answer
from aegis.cli.terminal import tame

if TYPE_CHECKING:
    from aegis.store.home import Home
    from aegis.store.verification import Verified

_SHOWN = 20  # signers


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Verify what happened; attack a stored model.")
    group.callback()(_group)
    group.command("verify", epilog="Example:  aegis audit verify latest")(verify)
    group.command("export", epilog="Example:  aegis audit export latest --out audit.json")(export)
    group.command("membership", epilog="Example:  aegis audit membership latest")(membership)
    app.add_typer(group, name="audit")


def _group() -> None:
    """Verify what happened; attack a stored model."""


def verify(
    name: str | None = typer.Argument(
        None, metavar="[RUN|FILE]", help="A run, latest, or an exported file [all runs]."
    ),
    key: list[str] | None = typer.Option(
        None,
        "--key",
        metavar="NAME=FINGERPRINT",
        help="A key you know: coordinator=... or HOSPITAL=...; may be repeated.",
    ),
    as_json: AsJson = False,
) -> None:
    """Check, offline, that nothing of a run was changed afterwards; names the first bad entry.

    Entries, Merkle tree, checkpoints and witnesses' cosignatures, privacy ledgers, the line of
    models, and what result and database say of them. Needs no private key. Exits 1 where something
    does not hold.
    """
    from aegis.simulation.evidence import verify_home
    from aegis.simulation.evidence_file import imported
    from aegis.store.home import Home
    from aegis.store.verification import verify as verified

    known = _known(key or [])
    if name is not None and (path := Path(name)).is_file():
        found = [verified(imported(path.read_bytes()), known)]
    else:
        home = Home.from_environment()
        found = verify_home(home, _run(home, name), known)
    holds = all(one.holds for one in found)
    if as_json:
        answer({"verified": holds, "logs": [one.as_json() for one in found]})
    else:
        for one in found:
            _show(one)
    if not holds:
        raise typer.Exit(1)


def export(
    run: str = typer.Argument("latest", help="A run's name, or latest."),
    out: Path = typer.Option(..., help="The file to write."),
    as_json: AsJson = False,
) -> None:
    """Write all evidence of a run into one file that an auditor can verify without this machine."""
    import hashlib

    from aegis.events import Exported
    from aegis.simulation.evidence import gathered
    from aegis.simulation.evidence_file import exported
    from aegis.store.audit_log import AuditLog
    from aegis.store.handing_over import coordinator_key
    from aegis.store.home import Home, write_whole
    from aegis.store.outcome import enter_own

    home = Home.from_environment()
    name = _run(home, run)
    assert name is not None
    data = exported(gathered(home, name))
    sha256 = hashlib.sha256(data).hexdigest()
    write_whole(out, data)
    log = AuditLog(home.audit_log)
    try:
        enter_own(log, coordinator_key(home), Exported(name, "audit evidence", sha256))
    finally:
        log.close()
    if as_json:
        answer({"run": name, "file": str(out), "sha256": sha256, "bytes": len(data)})
    else:
        typer.echo(f"The evidence of {name} is in {out}, SHA-256 {sha256}")
        typer.echo(f"Verify it anywhere: aegis audit verify {out}")


def _run(home: Home, name: str | None) -> str | None:
    """The run's full name, None for all of them. Raises ``BadInput`` where there is none."""
    from aegis.errors import BadInput
    from aegis.store.journal import Journal

    if name is None:
        return None
    if not home.database.exists():
        raise BadInput(f"{home.root} holds no run yet", way_out="Start with: aegis demo")
    journal = Journal(home.database)
    try:
        names = journal.runs()
    finally:
        journal.close()
    if name == "latest" and names:
        return names[0]
    if name not in names:
        raise BadInput(f"{name} is neither a run nor a file", way_out="See: aegis report --list")
    return name


def _known(keys: list[str]) -> dict[str, str]:
    from aegis.errors import BadInput

    found = {}
    for text in keys:
        name, equals, fingerprint = text.partition("=")
        if not equals or not name or not fingerprint:
            raise BadInput(
                f"--key {text} names no fingerprint", way_out='Write --key coordinator="ab12 ..."'
            )
        found[name] = fingerprint
    return found


def _show(found: Verified) -> None:
    typer.echo(f"log          {found.run or 'of the coordinator itself'}")
    typer.echo(f"entries      {found.size}, root {found.root}")
    cosigned = ""
    if found.run and found.checkpoints:
        cosigned = f", the last cosigned by {len(found.witnesses)} hospitals"
    typer.echo(f"checkpoints  {found.checkpoints}{cosigned}")
    if found.aborted:
        typer.echo(f"state        the run was aborted: {tame(found.aborted)}")
    elif found.run and not found.complete:
        typer.echo("state        the run has not ended, or its log is not closed yet")
    if "coordinator" in found.keys:
        typer.echo(f"signed by    {found.keys['coordinator']} (coordinator)")
    others = {name: key for name, key in found.keys.items() if name != "coordinator"}
    for name, key in list(others.items())[:_SHOWN]:
        typer.echo(f"             {key} ({name})")
    if len(others) > _SHOWN:
        typer.echo(f"             and {len(others) - _SHOWN} more hospitals: --json")
    for fault in found.faults:
        typer.echo(f"BAD          {fault}")
    typer.echo("verified     " + ("yes, everything holds" if found.holds else "NO"))
    typer.echo("")


def membership(
    name: str = typer.Argument("latest", metavar="MODEL|RUN", help="A version, a run, or latest."),
    as_json: AsJson = False,
) -> None:
    """Membership-inference audit with a positive control; exits 1 unless the verdict is safe."""
    import sys

    from aegis.assurance.report import as_json as plain
    from aegis.assurance.report import report
    from aegis.errors import BadInput
    from aegis.simulation.auditing import audit_run, latest_audited, why_not
    from aegis.simulation.local import stored
    from aegis.store.home import Home

    def told(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\rtraining reference models: {done} of {total}", end="", file=sys.stderr)

    if name == "latest":  # of those that can be audited
        name = latest_audited(Home.from_environment()) or name
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
