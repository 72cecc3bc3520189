"""Ten thousand records, each alone in its batch: none adds more to a step than the clip.

make prove PART=dpsgd
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aegis.tasks.models import Perceptron
from aegis.training.private import PrivateTrainer
from aegis.training.trainer import Settings
from tests.training.jobs import jobs
from tests.training.test_private import Silent, privately

pytestmark = pytest.mark.prove
CASES, CLIP = 10_000, 0.3
MODELS = {"linear": Perceptron(7), "network": Perceptron(7, (16, 8, 4))}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_record_weighs_more_than_the_clip(kind, dtype, measured):
    def longest() -> dict[str, float]:
        model, rng = MODELS[kind], np.random.default_rng(16)
        first = jobs(model, Settings(), (1,), learning_rate=1.0)[0]
        asked = []
        for number in range(CASES):
            weights = rng.normal(0, 10 ** rng.uniform(-2, 1.5), model.size)
            job = replace(
                first,
                hospital=f"record {number}",
                weights=weights.astype(model.dtype),
                design=rng.normal(0, 10 ** rng.uniform(-2, 2), (1, model.inputs)),
                labels=rng.integers(0, 2, 1),
            )
            asked.append(privately(job, clip=CLIP))
        found = PrivateTrainer(Silent(), dtype).train_many(asked)
        lengths = np.array([np.linalg.norm(one.vector.astype(np.float64)) for one in found])
        clipped = float((lengths > 0.99 * CLIP).mean())
        return {"longest": float(lengths.max()), "clipped": clipped}

    found = measured(f"{kind}, {np.dtype(dtype)}", longest)
    print(f"\n{kind}, {np.dtype(dtype)}: {found}")
    assert found["longest"] <= CLIP
    assert 0.1 < found["clipped"] < 0.9
