"""What a release is made of, the quick part; tests/prove/test_release.py installs one."""

import zipfile
from importlib import metadata

import pytest

pytest.importorskip("packaging", reason="packaging is not installed")

from tools import release, sbom


@pytest.fixture(scope="module")
def bill():
    return sbom.bill(("onnx",))


def test_the_bill_names_the_core_and_all_below_it_with_versions(bill):
    parts = {one["name"]: one for one in bill["components"]}
    for name in ("numpy", "pydantic", "pydantic-core", "cryptography"):
        assert parts[name]["scope"] == "required"
        assert parts[name]["purl"] == f"pkg:pypi/{name}@{metadata.version(name)}"
        assert parts[name]["licenses"]
    assert "torch" not in parts
    assert "pytest" not in parts


def test_the_bill_is_whole_and_in_order(bill):
    references = {one["bom-ref"] for one in bill["components"]}
    references.add(bill["metadata"]["component"]["bom-ref"])
    assert len(references) == len(bill["components"]) + 1
    assert {one["ref"] for one in bill["dependencies"]} <= references
    for one in bill["dependencies"]:
        assert set(one["dependsOn"]) <= references
        assert one["dependsOn"] == sorted(one["dependsOn"])
    names = [one["name"] for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
    assert names == sorted(names)


def test_scripts_of_others_are_in_the_bill(bill):
    scripts = [one for one in bill["components"] if one["purl"].startswith("pkg:npm/")]
    for one in scripts:
        for file in one["components"]:
            assert (release.SOURCE / "console" / "static" / "vendor" / file["name"]).exists()
    assert scripts or not sbom.VENDORED.exists()


def test_a_wheel_that_lacks_a_template_or_the_licence_is_refused(tmp_path):
    wheel = tmp_path / "aegis_fl-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in release.SOURCE.rglob("*"):
            if path.is_file() and path.suffix == ".py":
                archive.write(path, path.relative_to(release.SOURCE.parent).as_posix())
        archive.writestr("aegis_fl-0.dist-info/licenses/NOTICE", "")
        archive.writestr("tests/test_x.py", "")
    found = release.missing(wheel)
    assert "LICENSE" in found
    assert "NOTICE" not in found
    assert any(name.startswith("aegis/report/templates/") for name in found)
    assert "unexpected: tests/test_x.py" in found


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, "no known weakness"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}',
            1,
            "a 1: CVE-1",
        ),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', 3, "not checked: 1 of 1"),
        ('{"dependencies": []}', 3, ""),
        ("", 3, "not checked: the advisory service gave no answer"),
    ],
)
def test_what_was_not_looked_up_is_not_called_clean(said, code, words, capsys):
    assert release.judged(said, "") == code
    assert words in capsys.readouterr().out
