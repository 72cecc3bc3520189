"""``aegis doctor``: does this installation have what it needs, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.operations.hospital.folder import HospitalFolder

Check = tuple[str, bool, str, str]
FREE_MIB = 200
PORTS = {8081: "console", 8443: "Flower road", 5222: "XMPP road", 5281: "its files"}


def register(app: typer.Typer) -> None:
    app.command("doctor", epilog="Example:  aegis doctor --hospital north")(doctor)


def doctor(
    hospital: Annotated[
        str, typer.Option(help="Also this hospital: data, policy, federation, its connection.")
    ] = "",
    coordinator: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Also the way to a coordinator: proxy, DNS, port, TLS, clock."
        ),
    ] = "",
    home: Annotated[
        Path | None,
        typer.Option(help="The hospital's folder (default: AEGIS_HOME/hospitals/NAME)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the installation, the data root and the data sets, and what else is named; exits 1
    where something must be mended, and says how."""
    checks = [check() for check in _CHECKS]
    checks += _of_hospital(hospital, home) if hospital else []
    checks += _of_coordinator(coordinator, hospital, home) if coordinator else []
    broken = [check for check in checks if not check[1]]
    if as_json:
        answer(
            {
                "healthy": not broken,
                "checks": [
                    {"name": name, "ok": ok, "found": found, "way_out": way_out}
                    for name, ok, found, way_out in checks
                ],
            }
        )
    else:
        for name, ok, found, way_out in checks:
            typer.echo(f"{'ok  ' if ok else 'FAIL'}  {name:<14} {found}")
            if way_out:
                typer.echo(f"      {'':<14} {way_out}")
        typer.echo("Everything needed is here." if not broken else f"{len(broken)} to mend.")
    if broken:
        raise typer.Exit(1)


def _python() -> Check:
    fine = sys.version_info >= (3, 11)
    return (
        "Python",
        fine,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if fine else "Aegis needs Python 3.11 or newer",
    )


def _database() -> Check:
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "check.db")
        (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
        db.close()
    fine = mode == "wal"
    return (
        "SQLite",
        fine,
        f"{sqlite3.sqlite_version}, write-ahead log {'works' if fine else 'refused'}",
        "" if fine else "Put the data root on a local disk",
    )


def _home() -> Check:
    from aegis.store.home import Home

    root = Home.from_environment().root
    place = root if root.exists() else root.absolute().parent
    free = shutil.disk_usage(place).free // 2**20 if place.exists() else 0
    fine = os.access(place, os.W_OK) and free > FREE_MIB
    return (
        "Data root",
        fine,
        f"{root} ({'there' if root.exists() else 'made on first use'}, {free:,} MiB free)",
        "" if fine else "Set AEGIS_HOME to a folder of yours with room",
    )


def _data() -> Check:
    value = os.environ.get("AEGIS_DATA_DIR")
    if not value:
        hint = "Bundled and synthetic data work without; else: aegis data fetch heart --into data"
        return "Data sets", True, "AEGIS_DATA_DIR is not set", hint
    fine = Path(value).is_dir()
    return "Data sets", fine, value, "" if fine else "AEGIS_DATA_DIR names no folder"


def _extras() -> Check:
    wanted = ("torch", "flwr", "ray", "pyspark", "pyarrow", "psycopg", "spade", "mlflow", "boto3")
    found = [name for name in wanted if find_spec(name)]
    missing = [name for name in wanted if name not in found]
    hint = f"Absent, needed by some plans only: {', '.join(missing)}" if missing else ""
    return "Extras", True, ", ".join(found) or "none", hint


def _tasks() -> Check:
    from aegis.tasks.task import task_names

    names = task_names()
    fine = "breast_cancer" in names
    return (
        "Tasks",
        fine,
        ", ".join(names) or "none",
        "" if fine else "Install the package: pip install -e . (tasks are entry points)",
    )


def _keys() -> Check:
    from aegis.identity.keyfile import Keys
    from aegis.store.home import Home

    keys = Keys(Home.from_environment().keys)
    names, faults = keys.names(), keys.faults()
    found = f"{len(names)} private, for their owner alone" if names else "none here"
    return "Keys", not faults, "; ".join(faults) or found, ""


def _ports() -> Check:
    import socket

    taken = []
    for port, use in PORTS.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(f"{port} ({use})")
    hint = "By a coordinator that runs here, or choose others: --port, --road-port"
    found = f"in use: {', '.join(taken)}" if taken else "free for a coordinator"
    return "Ports", True, found, hint if taken else ""


def _of_hospital(name: str, home: Path | None) -> list[Check]:
    from aegis.operations.hospital.checks import checks

    return list(checks(_folder(name, home)))


def _of_coordinator(url: str, hospital: str, home: Path | None) -> list[Check]:
    """Held against the root that the hospital took home, or that of this data root."""
    from aegis.operations.connection import Place, connection
    from aegis.store.home import Home

    folder = _folder(hospital, home).federation if hospital else Home.from_environment().root
    root = folder / "root.pem" if hospital else folder / "tls" / "root.pem"
    return list(connection(Place.of(url, root)))


def _folder(name: str, home: Path | None) -> HospitalFolder:
    from aegis.identity.identity import checked_name
    from aegis.operations.hospital.folder import HospitalFolder
    from aegis.store.home import Home

    checked_name(name)
    return HospitalFolder(home or Home.from_environment().root / "hospitals" / name, name)


_CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _database,
    _home,
    _keys,
    _data,
    _extras,
    _tasks,
    _ports,
)
