"""``aegis ca``: the federation's own certificates for TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from cryptography import x509

    from aegis.identity.certificates import Authority

ROOT = "root"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The federation's own certificates for TLS.")
    group.command("create", epilog="Example:  aegis ca create hearts")(create)
    group.command(
        "issue",
        epilog="Example:  aegis ca issue desk --host aegis.example   |   aegis ca issue mercy",
    )(issue)
    group.command("renew", epilog="Example:  aegis ca renew")(renew)
    group.command("list", epilog="Example:  aegis ca list --json")(list_certificates)
    app.add_typer(group, name="ca")


def create(
    federation: Annotated[str, typer.Argument(help="Named in every certificate.")] = "federation",
    force: Annotated[
        bool, typer.Option("--force", help="Give up the old root and all beneath it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A root of ten years; hospitals trust it, and nothing else."""
    from aegis.identity.certificates import Authority, pem
    from aegis.store.home import write_whole

    authority = Authority.create(federation)
    authority.root.save(_path(ROOT), force=force)
    write_whole(_folder() / "root.pem", pem(authority.root.certificate))
    _tell("created", ROOT, authority.root.certificate, as_json)


def issue(
    name: Annotated[str, typer.Argument(help="A server's name, or a hospital's.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="By which a server is called; repeat. Without: a hospital's client."),
    ] = None,
    request: Annotated[
        Path | None, typer.Option(help="A request (CSR); the private key then stays elsewhere.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the one that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """A certificate of 90 days, with a new key or for a request."""
    from aegis.errors import BadInput
    from aegis.identity.certificates import pem, requested
    from aegis.store.home import write_whole

    if name == ROOT:
        raise BadInput("root is the name of the authority's own certificate")
    authority, usage = _authority(), "server" if host else "client"
    if request is None:
        issued = authority.issue(name, usage, host or ())  # type: ignore[arg-type]
        issued.save(_path(name), force=force)
        _tell("issued", name, issued.certificate, as_json)
        return
    try:
        key = requested(request.read_bytes())
    except OSError as error:
        raise BadInput(f"{request} cannot be read ({error.strerror})") from error
    certificate = authority.certify(name, usage, key, host or ())  # type: ignore[arg-type]
    path = _folder() / f"{name}.pem"
    write_whole(path, pem(certificate))
    _tell("issued", name, certificate, as_json, path)


def renew(as_json: AsJson = False) -> None:
    """New keys and certificates for all that are past two thirds of their time."""
    from datetime import UTC, datetime

    from aegis.identity.certificates import Certified, due, hosts_of, usage_of

    authority, renewed = _authority(), []
    for path in _all():
        old = Certified.load(path).certificate
        if due(old, datetime.now(UTC)):
            authority.issue(path.stem, usage_of(old), hosts_of(old)).save(path, force=True)
            renewed.append(path.stem)
    if as_json:
        answer({"renewed": renewed})
    else:
        typer.echo(f"Renewed: {', '.join(renewed)}" if renewed else "None is due.")


def list_certificates(as_json: AsJson = False) -> None:
    """What was issued here, until when, and what is due."""
    from aegis.identity.certificates import Certified

    rows = [_described("root", _authority().root.certificate)]
    rows += [_described(path.stem, Certified.load(path).certificate) for path in _all()]
    if as_json:
        answer({"folder": str(_folder()), "certificates": rows})
        return
    for row in rows:
        state = "DUE: aegis ca renew" if row["due"] else f"until {row['until'][:10]}"
        typer.echo(f"{row['name']:<16} {row['usage']:<7} {state:<20} {row['fingerprint']}")


def _folder() -> Path:
    from aegis.store.home import Home

    return Home.from_environment().root / "tls"


def _path(name: str) -> Path:
    from aegis.identity.identity import checked_name

    return _folder() / f"{checked_name(name)}.tls"


def _all() -> list[Path]:
    return sorted(path for path in _folder().glob("*.tls") if path.stem != ROOT)


def _authority() -> Authority:
    from aegis.errors import BadInput
    from aegis.identity.certificates import Authority, Certified

    if not _path(ROOT).exists():
        raise BadInput(
            f"{_folder()} holds no root yet",
            "certificates are issued and renewed at the coordinator",
            "Make it there: aegis ca create NAME; a hospital renews its own by joining again",
        )
    return Authority(Certified.load(_path(ROOT)))


def _described(name: str, certificate: x509.Certificate) -> dict[str, Any]:
    from datetime import UTC, datetime

    from aegis.identity.certificates import due, fingerprint, hosts_of, usage_of

    root = name == ROOT
    return {
        "name": name,
        "usage": "root" if root else usage_of(certificate),
        "hosts": [] if root else list(hosts_of(certificate)),
        "until": certificate.not_valid_after_utc.isoformat(),
        "due": due(certificate, datetime.now(UTC)),
        "fingerprint": fingerprint(certificate),
    }


def _tell(
    status: str, name: str, certificate: x509.Certificate, as_json: bool, path: Path | None = None
) -> None:
    row = _described(name, certificate)
    where = path or _path(name)
    if as_json:
        answer({"status": status, "file": str(where), **row})
        return
    typer.echo(f"{status:<13} {name} ({row['usage']}{': ' if row['hosts'] else ''}", nl=False)
    typer.echo(f"{', '.join(row['hosts'])}), until {row['until'][:10]}")
    typer.echo(f"fingerprint   {row['fingerprint']}")
    typer.echo(f"file          {where}")
