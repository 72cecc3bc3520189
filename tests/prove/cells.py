"""Kept cells of the robustness matrix.

They count for what rules, trainer and partition do, not for how they are written: these are named
by what they make of fixed inputs (to 1e-9), attacks and the matrix itself by their source. So a
faster kernel leaves the cells standing, and another result does not.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from aegis.aggregation.rules import Context, rule
from aegis.simulation.partition import partition
from aegis.tasks.heart import heart
from aegis.tasks.models import Perceptron
from aegis.tasks.task import DataOptions, Dataset, Rows
from aegis.training import trainer_for
from aegis.training.trainer import Job, Settings
from tests.federations import data_directory
from tests.prove import matrix
from tests.prove.matrix import HOSPITALS, LIARS, RULES, SEEDS
from tests.prove.robustness_pages import Found

ROOT = Path(__file__).parents[2]
WRITTEN = (
    *sorted((ROOT / "src" / "aegis" / "simulation" / "attacks").glob("*.py")),
    ROOT / "tests" / "prove" / "softmax.py",
    ROOT / "tests" / "prove" / "matrix.py",
)


@pytest.fixture(name="source_sha256", scope="session")
def source_of_the_cells() -> str:
    digest = hashlib.sha256()
    for path in WRITTEN:
        digest.update(path.read_bytes())
    for vector in (*_combined(), _descended(), *_dealt()):
        digest.update((np.round(vector, 9) + 0.0).tobytes())
    return digest.hexdigest()


def _combined() -> list[np.ndarray]:
    """What each rule makes of two rounds of near and of far updates."""
    found = []
    rng = np.random.default_rng(0)
    names = tuple(f"h{number:02d}" for number in range(HOSPITALS))
    for name in RULES:
        combine, memory = rule(name, f=0 if name == "fedavg" else LIARS, seed=0), {}
        for round, spread in ((1, 1.0), (2, 1e-3)):
            updates = 1 + spread * rng.normal(size=(HOSPITALS, 60))
            examples = rng.integers(1, 90, HOSPITALS).astype(float)
            made = combine(updates, examples, Context(names, round, memory))
            memory = made.memory
            found.append(made.vector)
    return found


def _descended() -> np.ndarray:
    rng = np.random.default_rng(0)
    model = Perceptron(4)
    design, labels = rng.normal(size=(50, 4)), rng.integers(0, 2, 50)
    job = Job("h", 0, 1, model, np.zeros(model.size), design, labels, 0.1, 50, Settings())
    return trainer_for(model).train(job).vector


def _dealt() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    rows = Rows({"x": rng.normal(size=90)}, rng.integers(0, 2, 90))
    found = []
    for by in ("iid", "dirichlet"):
        parts = partition(Dataset(rows, "made up"), 5, by, 0.3, 1)
        found += [part.inputs["x"] for one in parts.values() for part in (one.train, one.test)]
    return found


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
