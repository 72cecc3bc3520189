"""The window behind its guard, on a copy of the finished runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from aegis.console.coordinator.opening import CoordinatorWindow, coordinator_window
from aegis.console.people.passwords import Passwords
from aegis.store.home import Home
from tests.console.conftest import Finished

MACHINE = "machine-token-machine-token-machine-token-0"


@pytest.fixture(scope="session")
def window(
    finished_home: Finished, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CoordinatorWindow]:
    """Nobody waits at it, and passwords are cheap."""
    root = tmp_path_factory.mktemp("window") / "data"
    shutil.copytree(finished_home.home.root, root)
    with coordinator_window(Home(root), token=MACHINE) as found:
        many = 10**9
        found.door.rates = replace(
            found.door.rates, looking=many, asking=many, strangers=many, machine=many, proving=many
        )
        found.door.accounts.passwords = Passwords((1, 8, 1))
        yield found
