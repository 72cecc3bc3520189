"""``aegis models promote`` and ``rollback``: which version is in use, and who said so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.events import ModelPromoted
    from aegis.store.home import Home
    from aegis.store.promotion import Act, Person, Telling
    from aegis.store.registry import Version

BY = typer.Option(..., "--by", metavar="NAME", help="Who does this; signs if the key is here.")
REASON = typer.Option("", "--reason", help="Why; it goes on record.")


def register(group: typer.Typer) -> None:
    group.command("promote", epilog="Example:  aegis models promote v3 --by ana")(promote)
    group.command(
        "rollback", epilog='Example:  aegis models rollback heart --by ana --reason "drift at B"'
    )(rollback)


def promote(
    name: str = typer.Argument(..., metavar="VERSION|RUN|HASH"),
    by: str = BY,
    reason: str = REASON,
    as_json: AsJson = False,
) -> None:
    """Propose a version for use, or promote what another person proposed. Its files, its audit log,
    the membership audit and the fairness check must hold; nothing overrides them."""
    from aegis.cli.models import opened
    from aegis.store.promotion import Promotions, gates

    with opened(writing=True) as registry:
        version = registry.find(name)
        checks = gates(registry, version, _log_faults(registry.home, version))
        person = _person(registry.home, by)
        promotions = Promotions(registry.journal, registry)
        act = promotions.promote(version, person, reason, checks, _telling(registry.home))
    told = [{"check": gate.name, "passed": gate.passed, "reason": gate.reason} for gate in checks]
    if as_json:
        answer({**act.as_json(), "checks": told})
        return
    if act.kind == "proposed":
        typer.echo(f"{version.name} is proposed for {version.task} by {act.who}.")
        typer.echo(f"A second person promotes it: aegis models promote {version.name} --by NAME")
    else:
        typer.echo(f"{version.name} is in use for {version.task}, promoted by {act.who}.")


def rollback(
    task: str = typer.Argument(..., help="The task whose version is to be changed."),
    by: str = BY,
    reason: str = REASON,
    as_json: AsJson = False,
) -> None:
    """Use again the version that was in use before; one person and a reason are enough."""
    from aegis.cli.models import opened
    from aegis.store.promotion import Promotions

    with opened(writing=True) as registry:
        person = _person(registry.home, by)
        promotions = Promotions(registry.journal, registry)
        act: Act = promotions.roll_back(task, person, reason, _telling(registry.home))
    if as_json:
        answer(act.as_json())
    else:
        typer.echo(f"v{act.version} is in use for {task} again, by {act.who}: {act.reason}")


def _log_faults(home: Home, version: Version) -> list[str]:
    from aegis.errors import BadInput
    from aegis.simulation.evidence import verify_home

    try:
        (verified,) = verify_home(home, version.run)
    except BadInput as error:
        return [str(error)]
    if not verified.faults and not verified.complete:
        return ["the run's log is not complete"]
    return [str(fault) for fault in verified.faults]


def _person(home: Home, name: str) -> Person:
    from aegis.identity.identity import checked_name
    from aegis.identity.keyfile import Keys
    from aegis.store.promotion import Person

    keys = Keys(home.keys)
    if not keys.path(checked_name(name)).exists():
        return Person(name)
    return Person(name, keys.read(name, os.environ.get("AEGIS_KEY_PASSPHRASE") or None).signing)


def _telling(home: Home) -> Telling:
    from aegis.store.audit_log import AuditLog
    from aegis.store.handing_over import coordinator_key
    from aegis.store.outcome import enter_own

    def tell(event: ModelPromoted) -> None:
        log = AuditLog(home.audit_log)
        try:
            enter_own(log, coordinator_key(home), event)
        finally:
            log.close()

    return tell
