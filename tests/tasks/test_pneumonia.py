import os
from pathlib import Path

import numpy as np
import pytest

from aegis.errors import DataError
from aegis.simulation.partition import partition
from aegis.tasks import pneumonia as module
from aegis.tasks.pneumonia import FILE, NAME, pneumonia
from aegis.tasks.task import DataOptions, Dataset, Picture, Rows, find_task

COUNTS = {"train": (40, 30), "val": (6, 4), "test": (20, 12)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small file of the same make."""
    monkeypatch.setattr(module, "COUNTS", COUNTS)
    rng = np.random.default_rng(3)
    arrays = {}
    for part, (count, ill) in COUNTS.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) < ill).astype(np.uint8)[:, None]
    (tmp_path / NAME).mkdir()
    np.savez(tmp_path / NAME / FILE, **arrays)
    return tmp_path


def test_the_task_is_found_by_name_and_is_of_images():
    found = find_task("pneumonia")
    assert found is pneumonia
    assert found.schema.image == Picture(28, 28)
    assert found.schema.columns == ()
    assert found.preset["training"]["solver"] == "newton"


def test_training_images_come_first_and_the_published_test_is_held_out(folder):
    found = pneumonia.load(DataOptions(directory=folder))
    assert len(found.rows) == 60
    assert found.rows.inputs.shape == (60, 28, 28)
    assert found.rows.inputs.dtype == np.uint8
    assert found.rows.labels.sum() == 42
    assert found.held_out.tolist() == [False] * 40 + [True] * 20
    assert found.fixed_split
    assert "other bytes than the original" in found.source
    every = pneumonia.load(DataOptions(directory=folder, rows="all"))
    assert len(every.rows) == 66
    assert every.held_out.sum() == 20
    named = pneumonia.load(DataOptions(path=folder / NAME / FILE))
    assert np.array_equal(named.rows.inputs, found.rows.inputs)


def test_every_hospital_keeps_its_share_of_the_published_test(folder):
    dataset = pneumonia.load(DataOptions(directory=folder))
    for by in ("dirichlet", "iid"):
        parts = partition(dataset, 3, by, 0.5, seed=5)
        assert sum(len(part.test) for part in parts.values()) == 20
        tested = np.concatenate([part.test.inputs for part in parts.values()])
        published = dataset.rows.inputs[dataset.held_out]
        assert sorted(x.tobytes() for x in tested) == sorted(x.tobytes() for x in published)
    free = Dataset(dataset.rows, "", held_out=dataset.held_out)
    parts = partition(free, 3, "iid", seed=5)
    assert sum(len(part.test) for part in parts.values()) == 12  # a fifth of all, drawn anew


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (DataOptions(synthetic=True, path=Path("x")), "exclude each other"),
        (DataOptions(sites=("a",)), "has no sites"),
        (DataOptions(), "no data directory is set"),
        (DataOptions(directory=Path("nowhere")), "zenodo.org"),
    ],
)
def test_what_it_cannot_load_is_said(options, sentence):
    with pytest.raises(DataError, match=sentence):
        pneumonia.load(options)


def test_another_number_of_images_is_refused(folder, monkeypatch):
    monkeypatch.setattr(module, "COUNTS", {**COUNTS, "test": (20, 13)})
    with pytest.raises(DataError, match=r"\(20, 12\)\] images and ill ones"):
        pneumonia.load(DataOptions(directory=folder))


def test_the_ledger_of_images_knows_them_in_any_order(folder):
    from aegis.hospital.release import rows_sha256, site_sha256

    rows = pneumonia.load(DataOptions(directory=folder)).rows
    order = np.random.default_rng(1).permutation(60)
    one = site_sha256([rows.take(np.arange(10)), rows.take(np.arange(10, 60))])
    other = site_sha256([rows.take(order[:33]), rows.take(order[33:])])
    assert one == other
    assert rows_sha256(rows) != rows_sha256(rows.take(order))
    changed = rows.inputs.copy()
    changed[7, 3, 3] ^= 1
    assert site_sha256([Rows(changed, rows.labels)]) != one
    turned = rows.labels.copy()
    turned[0] ^= 1
    assert site_sha256([Rows(rows.inputs, turned)]) != one


@pytest.mark.data
def test_the_published_images_are_all_there():
    directory = os.environ.get("AEGIS_DATA_DIR")
    if not directory or not Path(directory, NAME, FILE).is_file():
        pytest.skip(f"AEGIS_DATA_DIR names no folder with {FILE}")
    found = pneumonia.load(DataOptions(directory=Path(directory)))
    assert len(found.rows) == 5332
    assert found.rows.labels[found.held_out].mean() == pytest.approx(0.625)
    train = found.rows.inputs[~found.held_out] / 255
    assert train.mean() == pytest.approx(0.5719, abs=1e-4)
    assert train.std() == pytest.approx(0.1684, abs=1e-4)
    test = {image.tobytes() for image in found.rows.inputs[found.held_out]}
    assert not test & {image.tobytes() for image in found.rows.inputs[~found.held_out]}
