"""A federation in a few words, without files: for tests that look at models, not at reports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis.evaluation.metrics import metrics
from aegis.hospital.site import VolatileMemory
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.states import StartingPoint, Terminated
from aegis.store.journal import Forgetful
from aegis.tasks.preparation import Feature, Preparation
from aegis.tasks.task import Dataset
from aegis.wiring import federate


def data_directory() -> Path:
    """Where public data sets lie; skips the test, with the reason, where they do not."""
    value = os.environ.get("AEGIS_DATA_DIR")
    if not value:
        pytest.skip("AEGIS_DATA_DIR is not set: this test needs the public data sets")
    return Path(value)


@dataclass(frozen=True)
class Done:
    federation: Federation
    final: Terminated

    @property
    def weights(self) -> np.ndarray:
        return self.final.progress.weights

    @property
    def together(self) -> dict[str, Any]:
        """Metrics of all hospitals' test rows together."""
        total = np.add.reduce(list(self.final.histograms.values()))
        return metrics(total, sum(self.final.losses.values()))

    @property
    def by_hospital(self) -> dict[str, dict[str, Any]]:
        return {name: metrics(h, None) for name, h in self.final.histograms.items()}

    @property
    def mean_accuracy(self) -> float:
        """Over the hospitals that have test rows."""
        found = [one["accuracy"] for one in self.by_hospital.values()]
        return float(np.mean([accuracy for accuracy in found if accuracy is not None]))


def federated(
    directory: Path | None = None,
    dataset: Dataset | None = None,
    start: np.ndarray | None = None,
    **keys: Any,
) -> Done:
    """Run the plan with these keys (dots written as two underscores: ``server__optimizer``), on
    the task's own data or on ``dataset``, from the weights in ``start`` or as planned. Columns
    that go with ``start`` are numbers, scaled by each hospital itself or not at all."""
    plan = load_plan(None, {key.replace("__", "."): str(v) for key, v in keys.items()}).plan
    if dataset is None:
        federation = Federation.of(plan, directory)
    else:
        federation = Federation.dealt(plan, dataset)
    road = StackedHospitals(federation.nodes(VolatileMemory()))
    begin = None
    if start is not None:
        columns = [Feature(name, name) for name in federation.study.schema.names]
        begin = StartingPoint("", Preparation(tuple(columns)).to_json(), start)
    return Done(federation, federate(federation.study, "run", road, Forgetful(), start=begin))
