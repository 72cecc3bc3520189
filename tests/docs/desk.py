"""A newcomer's folder: the examples, nothing else, and nothing set."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AEGIS_DATA_DIR", "AEGIS_PLUGINS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "aegis-data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path
