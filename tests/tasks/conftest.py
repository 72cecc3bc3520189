from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_directory() -> Path:
    directory = os.environ.get("AEGIS_DATA_DIR")
    if not directory or not Path(directory, "heart").is_dir():
        pytest.skip("AEGIS_DATA_DIR names no folder with the UCI heart files")
    return Path(directory)
