"""A bill of materials (CycloneDX 1.6, JSON) of what is installed for Aegis here.

    python -m tools.sbom --extra serve --extra flower --out dist/sbom.cdx.json

Read from the metadata of the installed packages, without a network: the core and what it needs,
the extras that were named (marked optional), and the scripts of others that the consoles serve.
The same packages give the same bytes; only what is installed counts.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = "aegis-fl"
VENDORED = Path(__file__).parents[1] / "src" / "aegis" / "console" / "vendor.json"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def purl(name: str, version: str, kind: str = "pypi") -> str:
    return f"pkg:{kind}/{name}@{version}"


@cache
def requirements(name: str) -> tuple[Any, ...]:
    from packaging.requirements import Requirement

    return tuple(Requirement(text) for text in metadata.requires(name) or ())


def needs(name: str, extras: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a package needs on this machine with these extras: names, and their own extras."""
    for wanted in requirements(name):
        markers = [{"extra": extra} for extra in ("", *extras)]
        if wanted.marker is None or any(wanted.marker.evaluate(one) for one in markers):
            yield normal(wanted.name), tuple(sorted(wanted.extras))


def closure(extras: Iterable[str]) -> dict[str, set[str]]:
    """Every package that is needed and installed, with what it needs itself."""
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(PACKAGE, tuple(sorted(extras)))]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        below = {(one, more) for one, more in needs(name, wanted) if installed(one)}
        found.setdefault(name, set()).update(one for one, _ in below)
        waiting += below
    return found


@cache
def installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def licences(name: str) -> list[dict[str, Any]]:
    said = metadata.metadata(name)
    if expression := said.get("License-Expression"):
        return [{"expression": expression}]
    named = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    if not named and (text := said.get("License")):
        named = [text.strip().split("\n")[0][:80]]
    return [{"license": {"name": one}} for one in named]


def component(name: str, scope: str) -> dict[str, Any]:
    version = metadata.version(name)
    summary = metadata.metadata(name).get("Summary")
    found = {
        "type": "library",
        "bom-ref": purl(name, version),
        "name": name,
        "version": version,
        "scope": scope,
        "purl": purl(name, version),
        "licenses": licences(name),
    }
    return found | ({"description": summary} if summary else {})


def vendored() -> list[dict[str, Any]]:
    """Scripts of others that come with the consoles."""
    if not VENDORED.exists():
        return []
    return [
        {
            "type": "library",
            "bom-ref": purl(one["name"], one["version"], "npm"),
            "name": one["name"],
            "version": one["version"],
            "scope": "required",
            "purl": purl(one["name"], one["version"], "npm"),
            "licenses": [{"license": {"id": one["licence"]}}],
            "components": [
                {
                    "type": "file",
                    "name": file["file"],
                    "hashes": [{"alg": "SHA-256", "content": file["sha256"]}],
                }
                for file in one["files"]
            ],
        }
        for one in json.loads(VENDORED.read_text(encoding="utf-8"))["packages"]
    ]


def bill(extras: Iterable[str] = ()) -> dict[str, Any]:
    """The whole document. Raises ``PackageNotFoundError`` where Aegis itself is not installed."""
    core, everything = closure(()), closure(extras)
    scripts = vendored()
    root = component(PACKAGE, "required") | {"type": "application"}
    parts = [
        component(name, "required" if name in core else "optional")
        for name in sorted(everything)
        if name != PACKAGE
    ]
    references = {name: purl(name, metadata.version(name)) for name in everything}
    needed = [
        {
            "ref": references[name],
            "dependsOn": sorted(
                [references[one] for one in below]
                + ([one["bom-ref"] for one in scripts] if name == PACKAGE else [])
            ),
        }
        for name, below in sorted(everything.items())
    ]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [*parts, *scripts],
        "dependencies": needed,
    }
    name = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
    return document


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Write a bill of materials.")
    reader.add_argument("--extra", action="append", default=[], help="an extra of aegis-fl")
    reader.add_argument("--out", type=Path, help="the file to write (default: standard output)")
    said = reader.parse_args(argv)
    document = bill(said.extra)
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if said.out is None:
        print(text, end="")
    else:
        said.out.parent.mkdir(parents=True, exist_ok=True)
        said.out.write_text(text, encoding="utf-8")
        print(f"{said.out}: {len(document['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
