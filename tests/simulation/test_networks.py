"""Hospitals with images and a network of convolutions: the same federation as for tables."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from aegis.errors import RunAborted
from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.hospital.inspection import fault_of_preparation
from aegis.hospital.site import VolatileMemory
from aegis.messages import Invite, Refusal, Statistics, Tally
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import read_preparation
from aegis.tasks.networks import Network
from aegis.tasks.pixels import Pixels
from aegis.tasks.task import Column, Dataset, Picture, Rows, Schema, below
from aegis.wiring import federate
from tests.federations import Done

pytest.importorskip("torch")
pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def stripes():
    """Ill images have stripes across, others along."""
    rng = np.random.default_rng(3)
    labels = (np.arange(90) % 3 > 0).astype(np.int64)
    wave = 60 * np.sin(0.5 * np.arange(28))
    images = rng.normal(128, 20, (90, 28, 28))
    images += np.where(labels[:, None, None] == 1, wave[:, None], wave)
    return Dataset(Rows(np.clip(images, 0, 255).astype(np.uint8), labels), "made up")


def trained(dataset, **keys):
    asked = {
        "task": "pneumonia",
        "model.name": "simple_cnn",
        "federated.num_clients": 3,
        "federated.num_rounds": 2,
        "training.batch_size": 16,
        "evaluation.every": 0,
        **keys,
    }
    plan = load_plan(None, {key: str(value) for key, value in asked.items()}).plan
    federation = Federation.dealt(plan, dataset)
    with tempfile.TemporaryDirectory() as folder:
        nodes = federation.nodes(VolatileMemory(), Path(folder))
        try:
            road = StackedHospitals(nodes)
            final = federate(federation.study, "run", road, Forgetful(), stages_last=False)
        finally:
            for node in nodes.values():
                if node.account is not None:
                    node.account.ledger.close()
    return Done(federation, final)


def test_the_network_learns_and_the_sum_alone_gives_the_same_model(stripes):
    keys = {"training.optimizer": "sgd", "training.learning_rate": 0.1, "federated.num_rounds": 4}
    opened, again = (trained(stripes, trust="open", **keys) for _ in range(2))
    masked = trained(stripes, trust="masked", **keys)
    assert opened.together["auc"] > 0.9
    assert isinstance(opened.federation.study.model(opened.final.progress.preparation), Network)
    assert np.array_equal(again.weights, opened.weights)
    assert np.abs(masked.weights - opened.weights).max() < 1e-4  # a grid of 2^-24, four rounds


@pytest.mark.parametrize("trust", ["open", "masked"])
def test_all_hospitals_together_tell_how_many_are_ill_and_nothing_else(stripes, trust):
    done = trained(stripes, trust=trust)
    rows = below([site.train for site in done.federation.sites.values()])
    odds = np.log((rows.labels.sum() + 1) / (len(rows) - rows.labels.sum() + 1))
    document = json.loads(done.final.progress.preparation)
    assert document == {"pixels": [28, 28], "odds": pytest.approx(odds, abs=1e-6)}
    quiet = trained(stripes, trust=trust, **{"training.local_odds": "false"})
    assert json.loads(quiet.final.progress.preparation)["odds"] is None
    assert not np.array_equal(quiet.weights, done.weights)


@pytest.mark.parametrize("optimizer", ["scaffold", "fedadam", "fedavgm"])
def test_every_server_optimizer_takes_a_network(stripes, optimizer):
    keys = {"training.optimizer": "sgd", "training.learning_rate": 0.05}
    done = trained(stripes, **{"server.optimizer": optimizer, "server.learning_rate": 0.1, **keys})
    assert np.isfinite(done.weights).all()


@pytest.mark.parametrize("mechanism", ["dp_sgd", "local_update"])
@pytest.mark.parametrize("trust", ["open", "masked"])
def test_private_networks_are_charged_for_what_they_do(stripes, mechanism, trust):
    done = trained(
        stripes,
        trust=trust,
        **{
            "privacy.enabled": "true",
            "privacy.mechanism": mechanism,
            "privacy.epsilon_budget": 8,
            "privacy.delta": 1e-5,
        },
    )
    assert np.isfinite(done.weights).all()
    started = done.federation.study.model(done.final.progress.preparation).initial(16)
    assert np.abs(done.weights - started).max() > 0
    assert json.loads(done.final.progress.preparation)["odds"] is None


def test_a_frozen_backbone_stays_where_it_began(stripes):
    done = trained(stripes, **{"model.freeze_backbone": "true", "trust": "open"})
    model = done.federation.study.model(done.final.progress.preparation)
    before, after = (model.tensors(w) for w in (model.initial(16), done.weights))
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"head.weight", "head.bias"}


def test_scores_are_those_of_the_model_itself(stripes):
    done = trained(stripes, trust="open")
    progress = done.final.progress
    rows = below([site.test for site in done.federation.sites.values()])
    design = read_preparation(progress.preparation).apply(rows)
    model = done.federation.study.model(progress.preparation)
    found = metrics(*score(model.logits(progress.weights, design), rows.labels))
    assert found["auc"] == pytest.approx(done.together["auc"], abs=0.02)


def test_a_hospital_without_torch_says_what_it_lacks(stripes, monkeypatch):
    from aegis.tasks.networks import modules

    modules._runner.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Exception, match=r'pip install -e "\.\[torch\]"') as caught:
        trained(stripes, trust="open")
    assert not isinstance(caught.value, RunAborted) or "torch" in str(caught.value)


def test_a_hospital_takes_pixels_of_its_own_size_only():
    schema = Schema(image=Picture(28, 28))
    assert fault_of_preparation(schema, Pixels(Picture(28, 28), 0.5).to_json()) is None
    other = fault_of_preparation(schema, Pixels(Picture(28, 29)).to_json())
    assert other == "the preparation is not that of this hospital's images"
    table = Schema((Column("age", "number", "", low=0.0, high=100.0),))
    assert fault_of_preparation(table, Pixels(Picture(28, 28)).to_json()) is not None


def test_a_hospital_counts_its_ill_for_a_plan_that_says_so_only(stripes):
    for odds, answer in (("true", Tally), ("false", Refusal)):
        asked = {"task": "pneumonia", "model.name": "simple_cnn", "training.local_odds": odds}
        plan = load_plan(None, {**asked, "trust": "open", "federated.num_clients": "3"}).plan
        node = next(iter(Federation.dealt(plan, stripes).nodes(VolatileMemory()).values()))
        node.answer(Invite("run", plan.sha256, plan.to_json()))
        found = node.answer(Statistics("run", plan.sha256, {}, 90, 3))
        assert isinstance(found, answer), found
