"""``aegis hospital``: what this hospital allows, signed by itself, and the plans that wait for it.

A hospital keeps its files in one folder, AEGIS_HOME/hospitals/NAME unless ``--home`` says
otherwise: ``policy.toml`` with its signature, and ``decisions.db``. Its key is in ``keys/`` there,
or in AEGIS_HOME/keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegis.cli import hospital_process, replica
from aegis.cli.options import AsJson, answer, passphrase

if TYPE_CHECKING:
    from aegis.hospital.decisions import Decisions, Proposal
    from aegis.identity.keyfile import Keys

Name = Annotated[str, typer.Option("--hospital", metavar="NAME", help="Which hospital this is.")]
Folder = Annotated[
    Path | None,
    typer.Option("--home", help="Its folder (default: AEGIS_HOME/hospitals/NAME)."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="A hospital: make it, join, serve; its policy and its approvals."
    )
    policy = typer.Typer(
        no_args_is_help=True, help="What the hospital allows: show it, check it, sign it."
    )
    policy.command("show", epilog="Example:  aegis hospital policy show --hospital north")(show)
    policy.command("check", epilog="Example:  aegis hospital policy check --hospital north")(check)
    policy.command("sign", epilog="Example:  aegis hospital policy sign --hospital north")(sign)
    group.add_typer(policy, name="policy")
    group.command(
        "approve",
        epilog='Example:  aegis hospital approve 3fa9c1d2 --hospital north --by "Dr Ada"',
    )(approve)
    hospital_process.register(group)
    replica.register(group)
    app.add_typer(group, name="hospital")


def show(hospital: Name, home: Folder = None, as_json: AsJson = False) -> None:
    """The policy that counts now, or why none does (exit 1)."""
    from aegis.errors import CheckFailed, DataError
    from aegis.hospital.policy_file import read_policy

    folder = _folder(hospital, home)
    try:
        with _decisions(folder) as decisions:
            key = _keys(folder).public(hospital).signing
            policy = read_policy(_policy(folder), hospital, key, decisions)
    except DataError as error:
        raise CheckFailed(error.value, error.need, error.way_out) from error
    _tell(hospital, policy.sha256, policy.to_json(), as_json, "counts")


def check(hospital: Name, home: Folder = None, as_json: AsJson = False) -> None:
    """Whether the file is sound, signed or not; says every fault at once."""
    from aegis.hospital.policy_file import parse_policy, policy_bytes

    path = _policy(_folder(hospital, home))
    policy = parse_policy(policy_bytes(path, hospital), path.name, hospital)
    _tell(hospital, policy.sha256, policy.to_json(), as_json, "is sound")


def sign(
    hospital: Name,
    home: Folder = None,
    passphrase_file: Path | None = typer.Option(
        None, help="A file whose first line opens the key (or set AEGIS_KEY_PASSPHRASE)."
    ),
    as_json: AsJson = False,
) -> None:
    """Sign the file as it is, with the hospital's own key; from then on it counts."""
    from aegis.hospital.policy_file import sign_policy

    folder = _there(_folder(hospital, home))
    key = _keys(folder).read(hospital, passphrase(passphrase_file)).signing
    policy = sign_policy(_policy(folder), hospital, key)
    _tell(hospital, policy.sha256, policy.to_json(), as_json, "is signed")


def approve(
    hospital: Name,
    plan: str = typer.Argument("", metavar="[PLAN]", help="The plan's hash, 8 digits or more."),
    by: str = typer.Option("", help="Who decides, by name."),
    runs: int = typer.Option(1, help="How many runs the plan is approved for."),
    refuse: str = typer.Option("", metavar="REASON", help="Refuse the plan, for this reason."),
    home: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Approve a plan, or refuse it; without a plan, list those that were proposed."""
    with _decisions(_folder(hospital, home)) as decisions:
        if not plan:
            found = decisions.proposals()
        elif refuse:
            found = [decisions.refuse(plan, by, refuse)]
        else:
            found = [decisions.approve(plan, by, runs)]
        rows = [_row(proposal) for proposal in found]
    if as_json:
        answer({"hospital": hospital, "plans": rows})
        return
    if not rows:
        typer.echo(f"No plan was proposed to {hospital} yet")
    for row in rows:
        who = f"{row['by']}, {str(row['decided'])[:16]}" if row["by"] else "nobody yet"
        said = f": {row['reason']}" if row["reason"] else ""
        typer.echo(
            f"{str(row['plan_sha256'])[:12]}  {row['status']:<8}  {row['task']:<16} "
            f"{row['privacy']:<24} {who}{said}"
        )


def _row(proposal: Proposal) -> dict[str, object]:
    plan = proposal.plan
    privacy = plan.privacy
    noise = f"epsilon {privacy.epsilon_budget:g}" if privacy.enabled else "without noise"
    return {
        "plan_sha256": proposal.plan_sha256,
        "status": proposal.status,
        "task": plan.task,
        "trust": plan.trust,
        "privacy": f"{plan.trust}, {noise}",
        "asked": proposal.asked,
        "by": proposal.by,
        "decided": proposal.decided,
        "reason": proposal.reason,
        "runs": proposal.runs,
        "begun": list(proposal.begun),
    }


def _tell(hospital: str, sha256: str, text: str, as_json: bool, what: str) -> None:
    import json

    values = json.loads(text)
    if as_json:
        answer({"hospital": hospital, "status": what, "policy_sha256": sha256, "policy": values})
        return
    typer.echo(f"The policy {sha256[:12]} of {hospital} {what}:")
    for name, value in values.items():
        shown = ", ".join(value) or "none" if isinstance(value, list) else value
        typer.echo(f"  {name:<26} {shown}")


def _folder(hospital: str, home: Path | None) -> Path:
    from aegis.identity.identity import checked_name
    from aegis.store.home import Home

    checked_name(hospital)
    return home or Home.from_environment().root / "hospitals" / hospital


def _policy(folder: Path) -> Path:
    return folder / "policy.toml"


def _keys(folder: Path) -> Keys:
    """The hospital's own folder of keys, or that of this installation."""
    from aegis.identity.keyfile import Keys as KeyFolder
    from aegis.store.home import Home

    own = folder / "keys"
    return KeyFolder(own if own.is_dir() else Home.from_environment().root / "keys")


def _there(folder: Path) -> Path:
    from aegis.errors import BadInput

    if not folder.is_dir():
        raise BadInput(
            f"there is no hospital in {folder}",
            way_out="Give its folder with --home, or make one: aegis hospital init",
        )
    return folder


@contextmanager
def _decisions(folder: Path) -> Iterator[Decisions]:
    from aegis.hospital.decisions import Decisions

    opened = Decisions(_there(folder) / "decisions.db")
    try:
        yield opened
    finally:
        opened.close()
