"""What others wrote and the consoles serve: as the manifest says, and asking nobody for more."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from tools import vendor

MANIFEST = json.loads(vendor.MANIFEST.read_text(encoding="utf-8"))
FILES = [file for package in MANIFEST["packages"] for file in package["files"]]


@pytest.mark.parametrize("file", FILES, ids=[file["file"] for file in FILES])
def test_a_committed_file_is_the_one_of_the_manifest(file):
    data = (vendor.VENDOR / file["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == file["sha256"]


def test_nothing_lies_there_that_no_package_brought():
    assert {path.name for path in vendor.VENDOR.iterdir()} == {file["file"] for file in FILES}
    for package in MANIFEST["packages"]:
        assert any(file["source"] == "LICENSE" for file in package["files"]), package["name"]
        assert package["licence"] in ("0BSD", "MIT", "ISC", "Apache-2.0")
        assert package["integrity"].startswith("sha512-")


@pytest.mark.parametrize("path", sorted(vendor.VENDOR.glob("*.min.*")), ids=lambda path: path.name)
def test_a_served_file_names_no_source_map_and_loads_from_nowhere(path: Path):
    text = path.read_text(encoding="utf-8")
    assert "sourceMappingURL" not in text
    assert not re.findall(
        r"(?:@import|url\(|import\s*\(|src\s*=|fetch\()\s*[\"'`(]*\s*(?:https?:)?//", text
    )
    code = re.sub(r"\A\s*/\*.*?\*/", "", text, flags=re.DOTALL)  # whose it is stands above it
    assert "://" not in code.replace("http://www.w3.org/", "")  # names of XML namespaces


def test_notice_names_every_package_and_stays_as_it_is_when_written_again():
    text = vendor.NOTICE.read_text(encoding="utf-8")
    assert vendor.notice(MANIFEST, text) == text
    for package in MANIFEST["packages"]:
        assert f"{package['name']} {package['version']}" in text


def test_a_package_is_taken_without_its_source_map_and_refused_with_another_hash():
    held = {"LICENSE": b"free", "dist/a.min.js": b"let a=1;\n//# sourceMappingURL=a.min.js.map\n"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in held.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    file = {"source": "dist/a.min.js", "file": "a-1.min.js", "sha256": ""}
    package = {"name": "a", "version": "1", "files": [file]}
    found = vendor.taken(package, packed.getvalue())
    assert found == {"a-1.min.js": b"let a=1;\n"}
    (fault,) = vendor.faults_of({"packages": [package]}, found)
    assert vendor.sha256(b"let a=1;\n") in fault
    file["sha256"] = vendor.sha256(b"let a=1;\n")
    assert vendor.faults_of({"packages": [package]}, found) == []
    assert vendor.integrity(b"") == (
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    )
