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

import typer

from aegis.cli.options import AsJson, answer

Check = tuple[str, bool, str, str]
FREE_MIB = 200


def register(app: typer.Typer) -> None:
    app.command("doctor", epilog="Example:  aegis doctor --json")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Check the installation, the data root and the data sets; exits 1 where something must be
    mended."""
    checks = [check() for check in _CHECKS]
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
    wanted = ("torch", "flwr", "ray", "pyspark", "pyarrow", "psycopg")
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


_CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _database,
    _home,
    _keys,
    _data,
    _extras,
    _tasks,
)
