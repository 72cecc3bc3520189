"""Normal heartbeats against the rest, MIT-BIH: 22 patients to learn from, 22 others to test on.

    AEGIS_DATA_DIR=... make prove PART=ecg

With 22 test patients an AUC is known to about .03 either way.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aegis.plan import load_plan
from aegis.simulation.local import run as run_plan
from tests.federations import data_directory
from tests.prove.networks import of_networks, run

pytestmark = [pytest.mark.prove, pytest.mark.data]

SEEDS = (16, 17, 18)
NETWORK = {
    "task": "ecg",
    "model.name": "cnn1d",
    "federated.num_rounds": 8,
    "training.optimizer": "adam",
    "training.batch_size": 64,
    "training.learning_rate": 0.003,
    "training.learning_rate_decay": 0.85,
    "training.weight_decay": 0.001,
}


@pytest.fixture(name="source_sha256", scope="session")
def source_of_networks() -> str:
    return of_networks()


def pooled(seed: int) -> dict:
    """All records at two hospitals of which one only scores: training in one place."""
    from dataclasses import replace

    from aegis.tasks.ecg import ecg
    from aegis.tasks.task import DataOptions

    whole = ecg.load(DataOptions(directory=data_directory()))
    sites = np.where(whole.held_out, "scoring", "pooled")
    held = np.asarray(whole.held_out)
    dataset = replace(whole, sites=sites, held_out=held, fixed_split=True)
    keys = {**NETWORK, "seed": seed, "trust": "open", "federated.num_clients": 2}
    return run({**keys, "federated.evaluate_only": '["scoring"]'}, data_directory(), dataset)


def test_the_network_knows_patients_that_it_has_not_seen(measured):
    together = [measured(f"pooled, seed {s}", lambda s=s: pooled(s)) for s in SEEDS]
    apart = [
        measured(
            f"4 hospitals, seed {s}",
            lambda s=s: run({**NETWORK, "seed": s, "trust": "masked"}, data_directory()),
        )
        for s in SEEDS
    ]
    means = [float(np.mean([one["auc"] for one in found])) for found in (together, apart)]
    print(f"\ncnn1d pooled {means[0]:.4f}, 4 hospitals {means[1]:.4f}\n{together}\n{apart}")
    assert {one["examples"] for one in (*together, *apart)} == {together[0]["examples"]}
    assert means[0] >= 0.93
    assert means[1] >= 0.915


def test_result_and_report_say_that_a_beat_is_protected_and_why_that_matters(tmp_path):
    keys = {
        **NETWORK,
        "federated.num_rounds": 1,
        "training.local_steps": 1,
        "privacy.enabled": "true",
        "privacy.mechanism": "dp_sgd",
        "privacy.epsilon_budget": 3,
        "privacy.delta": 1e-6,
    }
    plan = load_plan(None, {key: str(value) for key, value in keys.items()}).plan
    done = run_plan(plan, home=tmp_path, data_directory=data_directory(), compare=False)
    result = json.loads(Path(done.files["result"]).read_text())
    privacy = result["privacy"]
    assert privacy["unit"] == "heartbeat (a patient has hundreds) at one hospital"
    assert "a patient as a whole" in privacy["not_covered"][0]
    report = Path(done.files["report"]).read_text(encoding="utf-8")
    assert "a patient has hundreds" in report
    assert "a patient as a whole" in report
