"""Federations on folders of pictures: the same run as with an archive, hospital by hospital."""

import json

import numpy as np
import pytest

from aegis.cli.app import run_command
from aegis.errors import BadInput, PlanError
from aegis.hospital.site import MOST_KEPT, Designs, Site
from aegis.plan import load_plan
from aegis.plan.own_data import of_images, positive
from aegis.plan.schedule import schedule
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks import image_features, whitening
from aegis.tasks import pneumonia as module
from aegis.tasks.folders import lookalikes
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.pneumonia import FILE
from aegis.tasks.task import Picture, Rows, Schema
from tests.federations import federated
from tests.tasks.pictures import classes, png, striped, written

PRIVATE = {
    "privacy.enabled": "true",
    "privacy.mechanism": "distributed",
    "privacy.epsilon_budget": "8",
    "privacy.delta": "1e-5",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch, cache):
    """The map has few components, and is made once for each size."""
    monkeypatch.setenv("AEGIS_CACHE_DIR", str(cache))
    monkeypatch.setattr(lookalikes, "PATIENTS", 14)
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(whitening, "IMAGES", 60)
    monkeypatch.setattr(image_features, "COMPONENTS", 30)
    whitening.whitening.cache_clear()
    image_features._KNOWN.clear()
    yield
    whitening.whitening.cache_clear()
    image_features._KNOWN.clear()


@pytest.fixture
def aegis(capsys):
    def call(*words):
        code = run_command([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


def test_pictures_in_folders_make_the_model_that_the_archive_makes(tmp_path, monkeypatch):
    counts = {"train": (60, 30), "val": (2, 1), "test": (30, 15)}
    monkeypatch.setattr(module, "COUNTS", counts)
    arrays, seed = {}, 0
    for part, (count, ill) in counts.items():
        labels = np.arange(count) < ill
        pixels = np.stack([striped(seed + n, labels[n], 28) for n in range(count)])
        arrays |= {f"{part}_images": pixels, f"{part}_labels": labels.astype(np.uint8)[:, None]}
        for number in range(count):
            word = ("NORMAL", "PNEUMONIA")[int(labels[number])]
            written(tmp_path / "chest" / part / word / f"{number}.png", png(pixels[number]))
        seed += count
    np.savez(tmp_path / FILE, **arrays)
    found = [
        federated(tmp_path, task="pneumonia", trust="open", federated__num_clients=3, **own)
        for own in ({}, {"data__path": str(tmp_path / "chest")})
    ]
    assert np.abs(found[0].weights - found[1].weights).max() < 1e-9
    assert found[0].together == pytest.approx(found[1].together, abs=1e-9)
    assert found[0].together["examples"] == 30


def test_one_folder_per_hospital_becomes_one_hospital_each(tmp_path):
    for number, name in enumerate(("north", "south", "west")):
        classes(tmp_path / "own" / name, "ill", "well", count=12, seed=20 * number)
    said = {
        "task": "images",
        "data.path": str(tmp_path / "own"),
        "data.positive": "ill",
        "data.pixels": "28",
        "federated.num_clients": "3",
        "federated.partition.by": "site",
    }
    plan = load_plan(None, said).plan
    assert positive(plan) == "class ill"
    federation = Federation.of(plan, None)
    assert list(federation.sites) == ["north", "south", "west"]
    assert [len(site.train) + len(site.test) for site in federation.sites.values()] == [12] * 3
    result = run(plan, compare=False, audit=False, files=False)
    assert result.document["data"]["row"] == "picture"
    assert "ill is positive, well negative" in result.document["data"]["source"]
    assert not result.document["data"]["synthetic"]


def test_features_are_kept_from_one_run_to_the_next(tmp_path, monkeypatch):
    folder = classes(tmp_path / "own", "ill", "well", count=24)
    said = {"data.path": str(folder), "data.positive": "ill", "data.pixels": "28", "trust": "open"}
    plan = load_plan(None, {"task": "images", **said}).plan
    first = run(plan, audit=False, files=False)
    kept = {path.name for path in (tmp_path / "home" / "features").iterdir()}
    assert kept == {f"hospital_0{number}" for number in (1, 2, 3, 4)}
    image_features._KNOWN.clear()

    def never(_, images):
        return np.empty((0, 30)) if not len(images) else pytest.fail("computed again")

    monkeypatch.setattr(ImageFeatures, "compute", never)
    again = run(plan, audit=False, files=False)
    assert again.model_sha256 == first.model_sha256
    assert again.document["comparison"] == first.document["comparison"]


def test_features_are_not_kept_for_ever(tmp_path):
    pixels = np.stack([striped(n, n % 2, 28) for n in range(20)])
    text = ImageFeatures.of(Picture(28, 28)).to_json()
    for at in range(15):
        rows = Rows(pixels[at : at + 2], np.array([0, 1]))
        site = Site("north", Schema(image=Picture(28, 28)), rows, rows, rows)
        Designs(site, tmp_path / "kept").of("train", text, np.dtype(np.float64))
    assert len(list((tmp_path / "kept").iterdir())) == MOST_KEPT


def test_invented_photographs_are_labelled_so_to_the_last_page(tmp_path, aegis):
    code, out, err = aegis("data", "sample", "glaucoma", "--rows", 8, "--hospitals", 3)
    assert code == 0, err
    assert "SYNTHETIC fundus photographs" in out
    assert "best possible AUC about 0.94" in out
    assert "best possible AUC" not in (tmp_path / "data" / "glaucoma" / "README.txt").read_text()
    words = next(line for line in out.splitlines() if line.startswith("Use it with: "))
    command = words.removeprefix("Use it with: aegis ").split()
    code, out, err = aegis(*command, "--set", "data.pixels=28", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["data"]["synthetic"] is True
    assert document["data"]["source"].startswith("SYNTHETIC fundus photographs, drawn by rule")
    assert document["data"]["positive"] == "glaucoma"
    with open(document["files"]["report"], encoding="utf-8") as file:
        assert "SYNTHETIC DATA" in file.read()


@pytest.mark.parametrize("task", ["glaucoma", "pneumonia"])
def test_look_alikes_run_without_a_file_and_privately(tmp_path, task):
    private = PRIVATE if task == "glaucoma" else {}
    said = {**private, "task": task, "data.synthetic": "true", "data.pixels": "28"}
    plan = load_plan(None, said).plan
    document = run(plan, compare=False, audit=False, files=False).document
    assert document["data"]["synthetic"] is True
    assert "SYNTHETIC" in document["data"]["source"]
    epsilon = document["privacy"].get("epsilon")
    assert epsilon is None if not private else epsilon <= 8.001


def test_images_travel_as_far_whichever_task_they_belong_to():
    said = {**PRIVATE, "data.pixels": "28"}
    plans = [
        load_plan(None, {"task": task, "training.solver": "gradient", **said}).plan
        for task in ("pneumonia", "breast_cancer")
    ]
    assert all(map(of_images, plans))
    found = [schedule(plan, 4000, 3, 1000) for plan in plans]
    assert found[0].learning_rate == found[1].learning_rate
    assert not found[1].statistics


def test_a_size_in_pixels_is_for_images_only():
    with pytest.raises(PlanError, match=r"data\.pixels: 64 is for images, and heart has none"):
        load_plan(None, {"task": "heart", "data.pixels": "64"})
    assert load_plan(None, {"task": "breast_cancer", "data.pixels": "64"}).plan.data.pixels == 64
    with pytest.raises(PlanError, match=r"data\.pixels"):
        load_plan(None, {"task": "images", "data.pixels": "8"})


def test_a_folder_of_histology_is_a_breast_cancer_too(tmp_path):
    folder = classes(tmp_path / "own", "malignant", "benign", count=24)
    done = federated(
        None, task="breast_cancer", trust="open", data__path=str(folder), data__pixels=28
    )
    assert done.together["examples"] >= 4
    assert done.weights.shape == (31,)


def test_own_images_are_checked_and_what_is_missing_is_said(tmp_path, aegis):
    folder = classes(tmp_path / "own", "ill", "well", count=24)
    code, out, _ = aegis("data", "check", folder)
    assert code == 0
    assert "task: images" in out
    (tmp_path / "plan.yaml").write_text(out[out.index("task: images") :])
    small = ("--set", "data.pixels=28")
    code, out, err = aegis("run", "plan.yaml", *small, "--no-comparison", "--no-audit", "--json")
    assert code == 0, err
    written(folder / "ill" / "bad.png", b"x")
    code, out, _ = aegis("data", "check", folder, "--json")
    assert code == 2
    assert json.loads(out)["faults"][0]["file"] == "ill/bad.png"
    code, _, err = aegis("run", "plan.yaml")
    assert code == 2
    assert "ill/bad.png: by its first bytes" in err
    for task in ("images", "glaucoma"):
        code, _, err = aegis("simulate", task)
        assert code == 2
        assert "needs a folder of images" in err
        assert "Traceback" not in err


def test_where_data_come_from_is_said_for_every_task(tmp_path, aegis, monkeypatch):
    monkeypatch.delenv("AEGIS_DATA_DIR", raising=False)
    code, _, err = aegis("data", "fetch", "ecg", "--into", tmp_path)
    assert code == 2
    assert "physionet.org" in err
    code, _, err = aegis("data", "fetch", "pneumonia", "--into", tmp_path)
    assert "zenodo.org" in err
    listed = json.loads(aegis("data", "list", "--json")[1])["tasks"]
    where = {row["task"]: row["available"] for row in listed}
    assert where["breast_cancer"] == "bundled"
    assert where["ecg"].startswith("not here: no data directory")
    assert where["pneumonia"].startswith("not here: no data directory")
    assert {where[task] for task in ("images", "glaucoma", "table", "vitals")} == {"your own files"}
    for task in ("images", "breast_cancer"):
        assert "nothing to fetch" in aegis("data", "fetch", task)[2]
    assert "There is one for vitals, glaucoma" in aegis("data", "sample", "heart")[2]


def test_more_than_two_classes_of_pictures_are_learned_together(tmp_path, monkeypatch):
    for number, word in enumerate(("normal", "mild", "severe")):
        for at in range(20):
            pixels = striped(100 * number + at, number == 1)
            if number == 2:
                pixels = np.random.default_rng(at).integers(0, 256, (40, 40), dtype=np.uint8)
            written(tmp_path / "own" / word / f"{at}.png", png(pixels))
    said = {"task": "images", "data.path": str(tmp_path / "own"), "data.pixels": "28"}
    with pytest.raises(BadInput, match=r"Set model\.num_classes: 3"):
        Federation.of(load_plan(None, said).plan, None)
    said |= {"model.num_classes": "3", "trust": "open"}
    with monkeypatch.context() as patched:
        patched.setattr(image_features, "COMPONENTS", 1000)
        with pytest.raises(PlanError, match=r"newton sends .* numbers for the 3,003 weights"):
            load_plan(None, said)
    sgd = {"training.solver": "sgd", "training.learning_rate": "2", "federated.num_rounds": "8"}
    document = run(load_plan(None, said | sgd).plan, compare=False, audit=False, files=False)
    assert document.document["data"]["classes"] == ["normal", "mild", "severe"]
    assert document.accuracy > 0.6
