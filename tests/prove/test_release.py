"""The wheel, in a clean environment, away from the source: make prove PART=release

Needs the package index, for what the wheel depends on and for the build; skips without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import release

pytestmark = pytest.mark.prove
CLEAN = {
    name: os.environ[name]
    for name in ("PATH", "HOME", "LANG", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE",
                 "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
                 "http_proxy", "https_proxy", "no_proxy", "NO_PROXY")
    if name in os.environ
}  # fmt: skip


def call(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=CLEAN, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Both archives, built by a tool in an environment of its own."""
    folder = tmp_path_factory.mktemp("release")
    call(sys.executable, "-m", "venv", "tools", cwd=folder)
    pip = subprocess.run(
        [folder / "tools" / "bin" / "pip", "install", "-q", "build"], env=CLEAN, capture_output=True
    )
    if pip.returncode:
        pytest.skip("the package index cannot be reached")
    python = folder / "tools" / "bin" / "python"
    call(python, "-m", "build", "--outdir", folder / "dist", release.ROOT, cwd=folder)
    return folder


def test_the_archives_are_whole(made):
    wheel, source = sorted((made / "dist").iterdir(), key=lambda path: path.suffix != ".whl")
    assert release.missing(wheel) == []
    held = subprocess.run(["tar", "tzf", source], capture_output=True, text=True).stdout
    for name in ("LICENSE", "NOTICE", "README.md", "mkdocs.yml", "examples/wisconsin.yaml"):
        assert f"/{name}\n" in held
    assert ".venv" not in held


def test_the_wheel_runs_the_demo_in_a_clean_environment(made, tmp_path):
    call(sys.executable, "-m", "venv", "clean", cwd=tmp_path)
    scripts = tmp_path / "clean" / "bin"
    wheel = next((made / "dist").glob("*.whl"))
    call(scripts / "pip", "install", "-q", f"{wheel}[serve]", cwd=tmp_path)
    where = call(scripts / "python", "-c", "import aegis; print(aegis.__file__)", cwd=tmp_path)
    assert str(tmp_path) in where
    found = json.loads(call(scripts / "aegis", "demo", "--json", cwd=tmp_path))
    assert found["status"] == "completed"
    assert found["global"]["accuracy"] > 0.85
    assert found["audit_log"]["verified"]
    report = Path(found["files"]["report"])
    assert "</html>" in (tmp_path / report).read_text(encoding="utf-8")
    call(scripts / "aegis", "audit", "verify", "latest", cwd=tmp_path)
    code = "import aegis.console.coordinator.app, aegis.console.hospital.app"
    call(scripts / "python", "-c", code, cwd=tmp_path)
    loaded = call(scripts / "pip", "list", "--format=freeze", cwd=tmp_path)
    assert "torch==" not in loaded
    assert "flwr==" not in loaded
