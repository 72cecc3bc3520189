"""``aegis keys``: the keys of this installation and, at the coordinator, who belongs to its
federation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli.options import AsJson, answer, passphrase, typed

if TYPE_CHECKING:
    from aegis.identity.identity import PublicIdentity, Rotation
    from aegis.identity.keyfile import Keys
    from aegis.identity.registrar import Registrar

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file whose first line locks the key (or set AEGIS_KEY_PASSPHRASE).",
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Make, change, revoke and list signing keys.")
    group.command("generate", epilog="Example:  aegis keys generate mercy")(generate)
    group.command(
        "rotate",
        epilog="Example:  aegis keys rotate mercy  |  aegis keys rotate --accept mercy.public.json",
    )(rotate)
    group.command(
        "admit", epilog='Example:  aegis keys admit mercy.public.json --fingerprint "3f2a ..."'
    )(admit)
    group.command("revoke", epilog="Example:  aegis keys revoke mercy --reason 'laptop stolen'")(
        revoke
    )
    group.command("list", epilog="Example:  aegis keys list --json")(list_keys)
    app.add_typer(group, name="keys")


def generate(
    name: Annotated[str, typer.Argument(help="The hospital or coordinator.")] = "hospital",
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Seal with ML-KEM-768 and X25519 together.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Give up the old key, if there is one.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """New keys to sign with and to seal to, in a file that only its owner can read."""
    from aegis.identity.identity import Identity

    registrar = _registrar(passphrase_file)
    path = registrar.keys.write(Identity.generate(name, hybrid), registrar.passphrase, force=force)
    _tell({"status": "generated", **_described(registrar, name)}, path, as_json)


def rotate(
    name: Annotated[str | None, typer.Argument(help="Whose keys are changed here.")] = None,
    accept: Annotated[
        Path | None,
        typer.Option(help="At the coordinator: take over a hospital's change (.public.json)."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Though a run still needs the coordinator's key.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """New keys, announced in the name of the old ones; the old ones are gone afterwards."""
    from aegis.errors import BadInput
    from aegis.identity.registrar import AUTHORITY
    from aegis.simulation.key_records import check_nothing_runs, record_members
    from aegis.store.handing_over import COORDINATOR, hand_over
    from aegis.store.home import Home

    if (name is None) == (accept is None):
        raise BadInput("say whose keys change", "a NAME, or --accept FILE")
    registrar, home = _registrar(passphrase_file), Home.from_environment()
    if accept is not None:
        _accept(registrar, accept, as_json)
        return
    assert name is not None
    if name == AUTHORITY:
        raise BadInput(
            "the authority's key cannot be rotated", "every hospital has pinned it at enrolment"
        )
    _check_here(name, registrar.keys)
    old = registrar.keys.read(name, registrar.passphrase)
    if not force:
        check_nothing_runs(home, name)
    new = old.rotated(int(time.time()))
    path = registrar.keys.write(new, registrar.passphrase, force=True)
    if name == COORDINATOR:
        hand_over(home.audit_log, new)
    at = registrar.membership.standing(name) if registrar.there else None
    if at is not None and at.identity == old.public and not at.revoked:
        before = registrar.membership
        record_members(home, before, registrar.accept(*new.rotations))
    document = {"status": "rotated", **_described(registrar, name)}
    document["fingerprint_before"] = old.public.fingerprint
    _tell(document, path, as_json)
    if not as_json and (home.root / "policy.toml").exists():
        again = f"aegis hospital policy sign --hospital {name} --home {home.root}"
        typer.echo(f"The policy was signed by the old key; sign it again: {again}")


def _check_here(name: str, keys: Keys) -> None:
    """Raises ``BadInput`` where the keys of this name are in a hospital's own folder."""
    from aegis.errors import BadInput
    from aegis.store.home import Home

    own = Home.from_environment().root / "hospitals" / name
    if not keys.path(name).exists() and (own / "keys" / f"{name}.key").exists():
        raise BadInput(
            f"the keys of {name} are in {own / 'keys'}",
            "a hospital's keys change in its own folder",
            f"Run: AEGIS_HOME={own} aegis keys rotate {name}",
        )


def _accept(registrar: Registrar, file: Path, as_json: bool) -> None:
    from aegis.errors import BadInput
    from aegis.simulation.key_records import record_members
    from aegis.store.home import Home

    identity, rotations = _handed_in(file)
    before = registrar.membership
    after = registrar.accept(*rotations)
    record_members(Home.from_environment(), before, after)
    was, now = before.standing(identity.name), after.standing(identity.name)
    if now is None or now.identity != identity:
        raise BadInput(
            f"the rotations in {file} do not lead to the keys in it",
            way_out="Ask the hospital for the file again",
        )
    changed = was is not None and was.identity != identity
    _member("rotated" if changed else "unchanged", identity, as_json)


def admit(
    file: Annotated[Path, typer.Argument(help="What the hospital sent: NAME.public.json.")],
    fingerprint: Annotated[
        str | None,
        typer.Option(help="What the hospital read out to you; without it you are asked."),
    ] = None,
    coordinator: Annotated[
        bool, typer.Option("--coordinator", help="It is the coordinator's, not a hospital's.")
    ] = False,
    federation: Annotated[
        str, typer.Option(help="The federation's name, when this is its first member.")
    ] = "federation",
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """At the coordinator: a new member, once its fingerprint was compared."""
    from aegis.identity.enrolment import Candidate
    from aegis.simulation.key_records import record_members
    from aegis.store.home import Home

    registrar = _registrar(passphrase_file)
    identity, _ = _handed_in(file)
    if fingerprint is None:
        typer.echo(f"Call {identity.name} and let it read out its fingerprint.", err=True)
        again = f'Repeat it with: aegis keys admit {file} --fingerprint "1f3a ..."'
        fingerprint = typed("The fingerprint you hear", again)
    Candidate(identity).confirmed(fingerprint)
    before = registrar.membership if registrar.there else registrar.begin(federation)
    after = registrar.admit(identity, "coordinator" if coordinator else "hospital")
    record_members(Home.from_environment(), before, after)
    _member("admitted", identity, as_json)


def revoke(
    name: Annotated[str, typer.Argument(help="Whose keys count no longer.")],
    reason: Annotated[str, typer.Option(help="For everybody to read.")] = "",
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """At the coordinator: refuse a member's keys, from the next message on."""
    from aegis.simulation.key_records import record_members
    from aegis.store.home import Home

    registrar = _registrar(passphrase_file)
    before = registrar.membership
    after = registrar.revoke(name, reason)
    record_members(Home.from_environment(), before, after)
    standing = after.standing(name)
    assert standing is not None
    if as_json:
        answer(
            {
                "status": "revoked",
                "name": name,
                "fingerprint": standing.identity.fingerprint,
                "reason": standing.revoked,
            }
        )
        return
    typer.echo(f"{name} is revoked: {standing.revoked}")
    typer.echo("Its next message is refused. With new keys it can enrol again.")


def list_keys(as_json: AsJson = False) -> None:
    """The keys that lie here, and the members of the federation that is led from here."""
    from aegis.errors import AegisError

    registrar = _registrar(None)
    found: list[dict[str, Any]] = []
    for name in registrar.keys.names():
        try:
            found.append(registrar.keys.described(name))
        except AegisError as error:
            found.append({"name": name, "error": str(error)})
    members = _members(registrar) if registrar.there else []
    if as_json:
        answer({"folder": str(registrar.folder), "keys": found, "members": members})
        return
    if not found:
        typer.echo(f"No keys in {registrar.folder} yet. Make them: aegis keys generate NAME")
    for key in found:
        typer.echo(f"{key['name']:<16} {key.get('fingerprint') or key['error']}")
        if "log_key" in key:
            typer.echo(f"{'':<16} signs logs as {key['log_key']}")
    if members:
        typer.echo("")
        typer.echo(f"Members of {registrar.membership.federation}:")
    for member in members:
        state = f"REVOKED: {member['revoked']}" if member["revoked"] else member["role"]
        typer.echo(f"{member['name']:<16} {member['fingerprint']}  {state}")
        typer.echo(f"{'':<16} signs logs as {member['log_key']}")


def _members(registrar: Registrar) -> list[dict[str, Any]]:
    return [
        {
            "name": member.identity.name,
            "role": member.role,
            "fingerprint": member.identity.fingerprint,
            "log_key": member.identity.log_key,
            "sealing": member.identity.sealing.kind,
            "revoked": member.revoked,
        }
        for member in registrar.membership.members
    ]


def _registrar(passphrase_file: Path | None) -> Registrar:
    from aegis.identity.registrar import Registrar
    from aegis.store.home import Home

    return Registrar(Home.from_environment().keys, passphrase(passphrase_file))


def _handed_in(path: Path) -> tuple[PublicIdentity, tuple[Rotation, ...]]:
    """What NAME.public.json holds."""
    import json

    from aegis.errors import DataError
    from aegis.identity.identity import PublicIdentity, Rotation

    try:
        with path.open("rb") as file:
            document = json.loads(file.read(2**20))
        rotations = tuple(Rotation.from_json(one) for one in document.pop("rotations", []))
        document.pop("fingerprint", None)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} is no public identity ({error})", "a file NAME.public.json", "Ask for it again"
        ) from error
    return PublicIdentity.from_json(document), rotations


def _described(registrar: Registrar, name: str) -> dict[str, Any]:
    public = registrar.folder / f"{name}.public.json"
    return {**registrar.keys.described(name), "public_file": str(public)}


def _tell(document: dict[str, Any], path: Path, as_json: bool) -> None:
    if as_json:
        answer(document)
        return
    typer.echo(f"name          {document['name']}")
    if "fingerprint_before" in document:
        typer.echo(f"was           {document['fingerprint_before']}")
    typer.echo(f"fingerprint   {document['fingerprint']}")
    typer.echo(f"signs logs as {document['log_key']}")
    typer.echo(f"private keys  {path}{' (locked)' if document['locked'] else ''}")
    typer.echo(f"to hand out   {document['public_file']}")


def _member(status: str, identity: PublicIdentity, as_json: bool) -> None:
    if as_json:
        answer({"status": status, "name": identity.name, "fingerprint": identity.fingerprint})
        return
    typer.echo(f"{identity.name} is {status}; its fingerprint is {identity.fingerprint}")
