"""A new data root is its owner's."""

from __future__ import annotations

import os

import pytest

from aegis.store.home import Home


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_others_on_this_machine_do_not_enter_a_new_data_root(tmp_path):
    before = os.umask(0o022)
    try:
        root = Home(tmp_path / "deep" / "data").prepare().root
        assert root.stat().st_mode & 0o077 == 0
        shared = tmp_path / "shared"
        shared.mkdir(mode=0o755)  # who made it decides
        assert Home(shared).prepare().root.stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)
