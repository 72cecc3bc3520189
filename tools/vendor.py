"""The files of others that the consoles serve, fetched once and committed (``python -m
tools.vendor``).

``src/aegis/console/vendor.json`` names each package with the integrity that npm published, each
file in it, and the SHA-256 of what is committed. This fetches the packages (npm is needed, and the
registry; both only here), compares the integrity, takes the named files without the line that names
a source map, and writes licences and NOTICE. With ``--check`` nothing is written: it exits with 1
where what is committed is not what the packages hold. ``--update`` takes new hashes for files whose
package was changed in the manifest.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "src/aegis/console/vendor.json"
VENDOR = ROOT / "src/aegis/console/static/vendor"
NOTICE = ROOT / "NOTICE"
HEADING = "Served by the consoles from this repository, unchanged but for the source-map line:"
MOST_BYTES = 50_000_000
_MAP = re.compile(rb"^(//|/\*)[#@] sourceMappingURL=[^\n]*\n?", re.MULTILINE)


class Mismatch(Exception):
    """A package or a file is not what the manifest says."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Vendored files of the consoles.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare everything")
    parser.add_argument("--update", action="store_true", help="take the hashes that are found")
    asked = parser.parse_args(arguments)
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    try:
        found = [taken(package, packed(package)) for package in manifest["packages"]]
        if asked.update:
            for package, files in zip(manifest["packages"], found, strict=True):
                for file in package["files"]:
                    file["sha256"] = sha256(files[file["file"]])
        wanted = {name: data for files in found for name, data in files.items()}
        faults = faults_of(manifest, wanted)
        if asked.check:
            faults += committed_faults(wanted, manifest)
        if faults:
            raise Mismatch("\n".join(faults))
    except Mismatch as error:
        print(error, file=sys.stderr)
        return 1
    if not asked.check:
        written(manifest, wanted)
    print(f"{len(wanted)} files of {len(found)} packages are as the manifest says")
    return 0


def packed(package: dict[str, Any]) -> bytes:
    """The package as npm packs it. Raises ``Mismatch`` unless it has the published integrity."""
    name = f"{package['name']}@{package['version']}"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "npm",
            "pack",
            "--silent",
            "--ignore-scripts",
            "--pack-destination",
            folder,
            name,
        ]
        try:
            subprocess.run(command, check=True, timeout=300, cwd=folder, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            raise Mismatch(f"npm pack {name} failed: {error}") from error
        (file,) = Path(folder).glob("*.tgz")
        data = file.read_bytes()
    if len(data) > MOST_BYTES or integrity(data) != package["integrity"]:
        raise Mismatch(f"{name} has the integrity {integrity(data)}, not {package['integrity']}")
    return data


def taken(package: dict[str, Any], data: bytes) -> dict[str, bytes]:
    """The named files of a package, as they are committed, and its licence."""
    found = {}
    with tarfile.open(fileobj=BytesIO(data), mode="r:gz") as tar:
        for file in package["files"]:
            member = tar.extractfile(f"package/{file['source']}")
            if member is None:
                raise Mismatch(f"{package['name']} has no file {file['source']}")
            found[file["file"]] = stripped(member.read())
    return found


def stripped(data: bytes) -> bytes:
    """Without the line that names a source map: it would be asked for and is not there."""
    return _MAP.sub(b"", data)


def faults_of(manifest: dict[str, Any], found: dict[str, bytes]) -> list[str]:
    return [
        f"{file['file']} has the SHA-256 {sha256(found[file['file']])}, not {file['sha256']}"
        for package in manifest["packages"]
        for file in package["files"]
        if sha256(found[file["file"]]) != file["sha256"]
    ]


def committed_faults(wanted: dict[str, bytes], manifest: dict[str, Any]) -> list[str]:
    """How the folder differs from what the packages hold; NOTICE too."""
    there = {path.name: path.read_bytes() for path in VENDOR.iterdir() if path.is_file()}
    faults = [f"{name} is not committed" for name in sorted(wanted.keys() - there.keys())]
    faults += [f"{name} is of no package" for name in sorted(there.keys() - wanted.keys())]
    faults += [f"{name} was changed" for name in wanted if there.get(name, b"") != wanted[name]]
    if notice(manifest, NOTICE.read_text(encoding="utf-8")) != NOTICE.read_text(encoding="utf-8"):
        faults.append("NOTICE does not name what is vendored")
    return faults


def written(manifest: dict[str, Any], wanted: dict[str, bytes]) -> None:
    VENDOR.mkdir(parents=True, exist_ok=True)
    for path in VENDOR.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, data in wanted.items():
        (VENDOR / name).write_bytes(data)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    MANIFEST.write_text(text, encoding="utf-8")
    NOTICE.write_text(notice(manifest, NOTICE.read_text(encoding="utf-8")), encoding="utf-8")


def notice(manifest: dict[str, Any], text: str) -> str:
    """NOTICE with its paragraph about the vendored files as the manifest has it."""
    lines = [HEADING]
    for package in manifest["packages"]:
        lines.append(
            f"- {package['name']} {package['version']}, {package['copyright']}, "
            f"{package['licence']}: {package['homepage']}"
        )
    paragraph = "\n".join(lines)
    parts = [part for part in text.strip().split("\n\n") if not part.startswith(HEADING)]
    return "\n\n".join([*parts[:-1], paragraph, parts[-1]]) + "\n"


def integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode("ascii")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
