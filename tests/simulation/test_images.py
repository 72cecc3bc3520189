"""Hospitals with images, in one process: the same seams as tables, with features that are fixed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from aegis.hospital.inspection import fault_of_preparation
from aegis.hospital.site import Designs
from aegis.plan import load_plan
from aegis.plan.schedule import schedule
from aegis.privacy.dpgd import CLIP, plan_rounds
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks import image_features, whitening
from aegis.tasks import pneumonia as module
from aegis.tasks.bounded import Bounded, read_preparation
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.pneumonia import FILE, SCHEMA
from aegis.tasks.preparation import Preparation
from aegis.tasks.task import Column, Picture, Schema, below
from tests.federations import federated

COUNTS = {"train": (90, 50), "val": (2, 1), "test": (45, 25)}
PRIVATE = {
    "privacy.enabled": "true",
    "privacy.mechanism": "distributed",
    "privacy.epsilon_budget": "8",
    "privacy.delta": "1e-5",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Ill images have stripes across, others along; the map has few components."""
    monkeypatch.setenv("AEGIS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(whitening, "IMAGES", 60)
    monkeypatch.setattr(image_features, "COMPONENTS", 30)
    monkeypatch.setattr(module, "COUNTS", COUNTS)
    whitening.whitening.cache_clear()
    rng = np.random.default_rng(3)
    arrays = {}
    for part, (count, ill) in COUNTS.items():
        labels = np.arange(count) < ill
        stripes = 60 * np.sin(0.5 * np.arange(28))
        images = rng.normal(128, 20, (count, 28, 28))
        images += np.where(labels[:, None, None], stripes[:, None], stripes)
        arrays[f"{part}_images"] = np.clip(images, 0, 255).astype(np.uint8)
        arrays[f"{part}_labels"] = labels.astype(np.uint8)[:, None]
    np.savez(tmp_path / FILE, **arrays)
    yield tmp_path
    whitening.whitening.cache_clear()
    image_features._KNOWN.clear()


def plan(**keys):
    asked = {"task": "pneumonia", "federated.num_clients": "3", **keys}
    return load_plan(None, asked).plan


def test_the_weights_are_those_of_one_fit_however_images_are_dealt(folder):
    found = [
        federated(folder, task="pneumonia", trust="open", seed=seed, federated__num_clients=count)
        for seed, count in ((1, 3), (2, 5))
    ]
    weights = found[0].weights
    assert weights.shape == (31,)
    assert np.abs(weights - found[1].weights).max() < 1e-9
    done = found[0]
    rows = below([site.train for site in done.federation.sites.values()])
    design = read_preparation(done.final.progress.preparation).apply(rows)
    logits = design @ weights[:-1] + weights[-1]
    wrong = 1 / (1 + np.exp(-logits)) - rows.labels
    gradient = design.T @ wrong + done.federation.study.plan.training.l2 * weights[:-1]
    assert np.abs(gradient).max() < 1e-9
    assert abs(wrong.sum()) < 1e-9
    assert done.together["examples"] == 45
    assert done.together["auc"] > 0.8


def test_a_private_run_of_images_goes_through_masked_sums_and_ledgers(folder):
    result = run(plan(**PRIVATE), home=folder / "home", data_directory=folder, files=False)
    found = result.document
    assert found["global"]["examples"] == 45
    assert found["privacy"]["epsilon"] == pytest.approx(8, rel=0.01)
    assert found["table_one"] is None
    assert "no statistics round" in found["table_one_reason"]
    assert found["odds_ratios"] is None
    assert "minutes" in found["membership_audit_reason"]
    assert "statistics" not in json.dumps(found["privacy"].get("releases", []))


def test_an_open_run_of_images_has_a_comparison_and_no_odds_ratios(folder):
    result = run(plan(trust="open"), home=folder / "home", data_directory=folder)
    found = result.document
    assert found["odds_ratios_reason"] == "what images become has no meaning alone"
    assert {row["personal"]["method"] for row in found["comparison"]["hospitals"]} == {
        "site effects"
    }


def test_the_noise_rule_lets_images_travel_farther_and_asks_for_no_statistics():
    private = plan(**PRIVATE, **{"data.standardize": "federated"})
    found = schedule(private, 4000, 3, 1000)
    tables = plan_rounds(4000, 1000, found.multiplicity, 8.0, 1e-5, False)
    assert not found.statistics
    assert found.rounds == tables.rounds
    assert found.noise_sd == tables.noise_sd
    assert found.learning_rate * CLIP * found.rounds == pytest.approx(50 * found.snr)
    assert tables.learning_rate * CLIP * tables.rounds == pytest.approx(min(1500, 10 * tables.snr))
    everyone = schedule(private, 10**7, 3, 1000)
    assert everyone.learning_rate * CLIP * everyone.rounds == pytest.approx(15000)


def test_a_hospital_takes_no_preparation_but_that_of_its_images():
    ours = ImageFeatures.of(SCHEMA.image).to_json()
    assert fault_of_preparation(SCHEMA, ours) is None
    other = ImageFeatures.of(Picture(28, 32)).to_json()
    table = Schema((Column("age", "number", "age", "years", 0, 100),))
    for schema, text in (
        (SCHEMA, other),
        (SCHEMA, Preparation(()).to_json()),
        (SCHEMA, Bounded.of(table).to_json()),
        (table, ours),
    ):
        assert "not that of this hospital's images" in fault_of_preparation(schema, text)
    assert "cannot be read" in fault_of_preparation(SCHEMA, '{"image": 3}')


def test_features_outlive_the_process_in_the_hospitals_own_folder(folder, monkeypatch):
    federation = Federation.of(plan(), folder)
    site = next(iter(federation.sites.values()))
    text, kind = ImageFeatures.of(SCHEMA.image).to_json(), np.dtype(np.float64)
    fresh = Designs(site).of("train", text, kind)
    kept = folder / "kept"
    assert np.array_equal(Designs(site, kept).of("train", text, kind), fresh)
    (path,) = kept.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patched:
        patched.setattr(ImageFeatures, "apply", lambda *_: pytest.fail("computed again"))
        assert np.array_equal(Designs(site, kept).of("train", text, kind), fresh)
    whole = path.read_bytes()
    for damage in (b"", whole[:90], whole[:-8], b"\x93NUMPY"):
        path.write_bytes(damage)
        assert np.array_equal(Designs(site, kept).of("train", text, kind), fresh)
    darker = site.train.inputs.copy()
    darker[0] //= 2
    other = replace(site, train=replace(site.train, inputs=darker))
    changed = Designs(other, kept).of("train", text, kind)
    assert (changed != fresh).any(axis=1).tolist() == [True] + [False] * (len(fresh) - 1)
    assert len(list(kept.iterdir())) == 2
