"""Radiographs of children at 4 and 8 hospitals, Dirichlet(.5), scored on the published test images.

    AEGIS_DATA_DIR=... make prove PART=pneumonia

Without noise the weights are those of one pooled fit, whoever holds which image. With noise every
run goes through masked sums and ledgers, each with noise of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.hospital.site import VolatileMemory
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import read_preparation
from aegis.tasks.task import below
from aegis.wiring import federate
from tests.federations import Done, data_directory, federated

pytestmark = [pytest.mark.prove, pytest.mark.data]
SEEDS = (16, 17, 18)
LEAST = {8.0: 0.955, 3.0: 0.945, 1.0: 0.920}


def pooled(done: Done) -> np.ndarray:
    """Newton's method on all training rows in one place, by itself."""
    plan = done.federation.study.plan
    rows = below([site.train for site in done.federation.sites.values()])
    design = read_preparation(done.final.progress.preparation).apply(rows)
    design = np.hstack([design, np.ones((len(design), 1))])
    ridge = np.full(design.shape[1], plan.training.l2)
    ridge[-1] = 0
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        chance = 0.5 + 0.5 * np.tanh(design @ weights / 2)
        gradient = design.T @ (chance - rows.labels) + ridge * weights
        steep = design * np.sqrt(chance * (1 - chance))[:, None]
        weights -= np.linalg.solve(steep.T @ steep + np.diag(ridge), gradient)
    return weights


@pytest.mark.parametrize("hospitals", [4, 8])
def test_without_noise_the_weights_are_those_of_the_pooled_fit(hospitals, measured):
    directory = data_directory()

    def run(seed: int) -> dict[str, Any]:
        done = federated(
            directory,
            task="pneumonia",
            trust="open",
            seed=seed,
            federated__num_clients=hospitals,
            evaluation__every=0,
        )
        return {
            **figures(done),
            "furthest": float(np.abs(done.weights - pooled(done)).max()),
            "rounds": done.final.progress.round,
        }

    found = [measured(f"{hospitals} hospitals, seed {s}", lambda s=s: run(s)) for s in SEEDS]
    print(f"\n{hospitals} hospitals: {found}")
    assert all(one["examples"] == 624 for one in found)
    assert min(one["auc"] for one in found) >= 0.965
    assert max(one["furthest"] for one in found) <= 1e-9


@pytest.mark.parametrize("hospitals", [4, 8])
@pytest.mark.parametrize("epsilon", LEAST)
def test_shared_noise_leaves_most_of_it(hospitals, epsilon, measured):
    directory = data_directory()

    def run(seed: int) -> dict[str, Any]:
        keys = {
            "task": "pneumonia",
            "seed": seed,
            "federated.num_clients": hospitals,
            "privacy.enabled": "true",
            "privacy.mechanism": "distributed",
            "privacy.epsilon_budget": epsilon,
            "privacy.delta": 1e-5,
            "evaluation.every": 0,
        }
        plan = load_plan(None, {key: str(value) for key, value in keys.items()}).plan
        federation = Federation.of(plan, directory)
        with tempfile.TemporaryDirectory() as folder:
            road = StackedHospitals(federation.nodes(VolatileMemory(), Path(folder)))
            study = federation.study
            final = federate(study, "run", road, Forgetful(), stages_last=False)
        done = Done(federation, final)
        return {**figures(done), "rounds": final.progress.round, "trust": plan.effective_trust}

    cases = {s: f"epsilon {epsilon:g}, {hospitals} hospitals, seed {s}" for s in SEEDS}
    found = [measured(case, lambda s=s: run(s)) for s, case in cases.items()]
    mean = float(np.mean([one["auc"] for one in found]))
    print(f"\nepsilon {epsilon:g}, {hospitals} hospitals: {mean:.4f} {found}")
    assert {one["trust"] for one in found} == {"masked"}
    assert mean >= LEAST[epsilon]


def figures(done: Done) -> dict[str, Any]:
    """Of the shared model on all test images together."""
    rows = below([site.test for site in done.federation.sites.values()])
    progress = done.final.progress
    model = done.federation.study.model(progress.preparation)
    design = read_preparation(progress.preparation).apply(rows)
    found = metrics(*score(model.logits(progress.weights, design), rows.labels))
    wanted = ("auc", "accuracy", "balanced_accuracy", "average_precision", "log_loss", "examples")
    return {name: found[name] for name in wanted}
