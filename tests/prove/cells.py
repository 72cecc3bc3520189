"""Kept cells of the robustness matrix. They count for the rules, attacks, training and tasks that
they were measured with, so a change elsewhere in the house leaves them standing."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pytest

from aegis.tasks.heart import heart
from aegis.tasks.task import DataOptions, Dataset
from tests.federations import data_directory
from tests.prove import matrix
from tests.prove.matrix import SEEDS
from tests.prove.robustness_pages import Found

ROOT = Path(__file__).parents[2]
MEASURED_WITH = (
    "src/aegis/aggregation/*.py",
    "src/aegis/simulation/attacks/*.py",
    "src/aegis/simulation/partition.py",
    "src/aegis/training/*.py",
    "src/aegis/tasks/heart.py",
    "src/aegis/tasks/preparation.py",
    "tests/prove/softmax.py",
    "tests/prove/matrix.py",
)


@pytest.fixture(name="source_sha256", scope="session")
def source_of_the_cells() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for pattern in MEASURED_WITH for path in ROOT.glob(pattern)):
        if path.name != "anomaly.py":  # flags hospitals, changes no model
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def hearts() -> Dataset:
    return heart.load(DataOptions(directory=data_directory()))


@pytest.fixture(name="found")
def kept_cells(measured) -> Found:
    """The cells of (data set, partition, rule, adaptive), one list for each seed: kept, or
    measured now."""

    def ask(dataset: str, partition: str, rule_name: str, adaptive: bool):
        def cell(seed: int):
            if dataset == "heart":
                return matrix.heart_cell(hearts(), partition, rule_name, seed, adaptive)
            return matrix.digits_cell(partition, rule_name, seed, adaptive)

        searched = " adaptive" if adaptive else ""
        name = f"{dataset} {partition} {rule_name}{searched} seed"
        return [measured(f"{name} {seed}", lambda s=seed: cell(s)) for seed in range(SEEDS)]

    return ask
