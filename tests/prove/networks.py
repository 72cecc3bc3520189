"""Whole federations of networks, and what their figures count for."""

from __future__ import annotations

import hashlib
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.hospital.site import VolatileMemory
from aegis.plan import load_plan
from aegis.report.spending import privacy_of
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import read_preparation
from aegis.tasks.networks import Network
from aegis.tasks.task import Dataset, below
from aegis.training import trainer_for
from aegis.training.trainer import Job, Settings
from aegis.wiring import federate


def of_networks() -> str:
    """The figures count for what training makes of fixed rows, not for how it is written; noise,
    which is never the same, by what it is charged."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    rng = np.random.default_rng(0)
    for network in (
        Network("simple_cnn", (1, 12, 12)),
        Network("simple_cnn", (1, 12, 12), activation="tanh"),
        Network("cnn1d", (1, 16), dropout=(0.5,), beside=2),
    ):
        rows = rng.normal(size=(40, network.inputs)).astype(np.float32)
        labels = rng.integers(0, 2, 40)
        settings = Settings(optimizer="adam", batch_size=16, weight_decay=0.01, local_odds=True)
        job = Job("h", 0, 1, network, network.initial(0), rows, labels, 0.01, 40, settings)
        digest.update((np.round(trainer_for(network).train(job).vector, 3) + 0.0).tobytes())
    return digest.hexdigest()


def run(keys: dict[str, Any], directory: Path, dataset: Dataset | None = None) -> dict[str, Any]:
    """The figures of one federation, on all test rows together, and what it cost."""
    asked = {"evaluation.every": 0, **keys}
    plan = load_plan(None, {key: str(value) for key, value in asked.items()}).plan
    federation = (
        Federation.of(plan, directory) if dataset is None else Federation.dealt(plan, dataset)
    )
    wall, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        nodes = federation.nodes(VolatileMemory(), Path(folder))
        road = StackedHospitals(nodes)
        final = federate(federation.study, "run", road, Forgetful(), stages_last=False)
        accounts = {name: n.account for name, n in nodes.items() if n.account is not None}
        releases = {name: account.ledger.events("run") for name, account in accounts.items()}
        for account in accounts.values():
            account.ledger.close()
    privacy = privacy_of(plan, releases)
    progress = final.progress
    rows = below([site.test for site in federation.sites.values()])
    design = read_preparation(progress.preparation).apply(rows)
    model = federation.study.model(progress.preparation)
    logits = model.logits(progress.weights, design).astype(np.float64)
    found = metrics(*score(logits, rows.labels))
    wanted = ("auc", "accuracy", "balanced_accuracy", "average_precision", "log_loss", "examples")
    trained = np.concatenate([site.train.labels for site in federation.sites.values()])
    return {
        **{name: found[name] for name in wanted},
        "brier": float(np.mean((1 / (1 + np.exp(-logits)) - rows.labels) ** 2)),
        "ill_in_training": float(trained.mean()),
        "ill_in_test": float(rows.labels.mean()),
        "rounds": progress.round,
        "parameters": model.size,
        "moved": float(np.abs(progress.weights - model.initial(plan.seed)).max()),
        "trust": plan.effective_trust,
        "epsilon": privacy["epsilon"],
        "unit": privacy["unit"],
        "uncovered": privacy.get("not_covered"),
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
