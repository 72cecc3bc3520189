"""A data root with two finished runs, made once by the real simulation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from aegis.plan import load_plan
from aegis.simulation import local
from aegis.store.home import Home

PRIVATE = {
    "task": "breast_cancer",
    "trust": "masked",
    "federated.num_clients": "4",
    "privacy.enabled": "true",
    "privacy.mechanism": "distributed",
    "training.solver": "gradient",
    "federated.num_rounds": "null",
    "training.learning_rate": "null",
}
OPEN = {
    "task": "breast_cancer",
    "trust": "open",
    "federated.num_clients": "4",
    "federated.num_rounds": "4",
    "privacy.enabled": "false",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
}


@dataclass(frozen=True)
class Finished:
    """``private`` is a masked run with noise, ``open`` a later one that is compared; names of
    runs."""

    home: Home
    private: str
    open: str


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Read it only; ``own_home`` is a copy to change."""
    root = tmp_path_factory.mktemp("finished") / "data"
    private = local.run(load_plan(None, PRIVATE).plan, home=root, compare=False, audit=False)
    opened = local.run(load_plan(None, OPEN).plan, home=root, compare=True, audit=False)
    return Finished(Home(root), private.document["run"], opened.document["run"])


@pytest.fixture
def own_home(finished_home: Finished, tmp_path: Path) -> Callable[[], Finished]:
    def copied() -> Finished:
        root = tmp_path / "data"
        shutil.copytree(finished_home.home.root, root)
        return Finished(Home(root), finished_home.private, finished_home.open)

    return copied
