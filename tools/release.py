"""Wheel, source archive, bill of materials and checksums in dist/: python -m tools.release

Stale pages stop it, and so does a wheel that lacks a file of the package. ``--audit`` asks an
advisory service about every package of the bill; where the service does not know or cannot be
reached, that is said, and is not taken for an answer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tools import architecture, evidence, reference, sbom

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "aegis"
EXTRAS = ("serve", "flower")
BESIDE = ("LICENSE", "NOTICE")


@contextmanager
def with_tool(package: str, module: str) -> Iterator[Path]:
    """A Python that has this tool: this one, or one of a passing environment. Raises ``SystemExit``
    where the package index cannot be reached."""
    if find_spec(module) is not None:
        yield Path(sys.executable)
        return
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        bin_ = "Scripts" if sys.platform == "win32" else "bin"
        python = Path(folder) / bin_ / "python"
        command = [str(python), "-m", "pip", "install", "-q", package]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            raise SystemExit(f"{package} is not installed, and the package index does not give it")
        yield python


def build(folder: Path) -> list[Path]:
    """The archives, made in an environment of their own."""
    with with_tool("build", "build") as python:
        subprocess.run(
            [str(python), "-m", "build", "--outdir", str(folder), str(ROOT)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return sorted(folder.glob("aegis_fl-*"))


def missing(wheel: Path) -> list[str]:
    """Files of the package, and licences, that the wheel lacks; and what it has beyond them."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    wanted = {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    lacking = sorted(wanted - held)
    lacking += [name for name in BESIDE if not any(h.endswith(f"/licenses/{name}") for h in held)]
    strange = [h for h in held - wanted if ".dist-info/" not in h]
    return lacking + [f"unexpected: {name}" for name in strange]


def checksums(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="ascii")


def audit() -> int:
    """0 where every package was looked up and none has a known weakness, 1 where one has, 3 where
    it could not be found out."""
    parts = [one for one in sbom.bill(EXTRAS)["components"] if one["purl"].startswith("pkg:pypi/")]
    with tempfile.TemporaryDirectory() as folder, with_tool("pip-audit", "pip_audit") as python:
        pinned = Path(folder) / "pinned.txt"
        pinned.write_text("".join(f"{p['name']}=={p['version']}\n" for p in parts))
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        done = subprocess.run(
            [str(python), "-m", "pip_audit", "-r", str(pinned), *options],
            capture_output=True,
            text=True,
        )
    return judged(done.stdout, done.stderr)


def judged(said: str, complained: str) -> int:
    """The exit code for what pip-audit answered."""
    try:
        found = json.loads(said)["dependencies"]
    except (ValueError, KeyError):
        print(f"not checked: the advisory service gave no answer\n{complained.strip()[-400:]}")
        return 3
    weak = [one for one in found if one.get("vulns")]
    unknown = [one["name"] for one in found if "skip_reason" in one]
    for one in weak:
        names = ", ".join(vuln["id"] for vuln in one["vulns"])
        print(f"{one['name']} {one['version']}: {names}")
    if unknown:
        print(f"not checked: {len(unknown)} of {len(found)} packages are unknown to the service")
    if weak:
        return 1
    if unknown or not found:
        return 3
    print(f"{len(found)} packages, no known weakness")
    return 0


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Make a release in dist/.")
    reader.add_argument("--audit", action="store_true", help="look the packages up instead")
    reader.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder")
    said = reader.parse_args(argv)
    if said.audit:
        return audit()
    stale = [page.main(["--check"]) for page in (reference, evidence, architecture)]
    if any(stale):
        print("stale pages: make reference evidence architecture", file=sys.stderr)
        return 1
    folder: Path = said.out
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("aegis_fl-*"):
        old.unlink()
    archives = build(folder)
    for wheel in (path for path in archives if path.suffix == ".whl"):
        if lacking := missing(wheel):
            print(f"{wheel.name} is not whole: {', '.join(lacking)}", file=sys.stderr)
            return 1
    sbom.main(
        [*(word for e in EXTRAS for word in ("--extra", e)), "--out", f"{folder}/sbom.cdx.json"]
    )
    checksums(folder)
    print((folder / "SHA256SUMS").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
