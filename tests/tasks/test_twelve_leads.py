"""Twelve-lead recordings in folders: what is read off them, and what is refused."""

import io

import numpy as np
import pytest

from aegis.errors import DataError
from aegis.tasks.drawn_beats import BEST_ACCURACY, KINDS, draw_recording
from aegis.tasks.ecg import ecg
from aegis.tasks.task import DataOptions
from aegis.tasks.twelve_leads import SCHEMA, beats_in, measured
from tests.federations import federated
from tests.tasks.pictures import written


def drawn(kind, seed=0):
    return draw_recording(kind, np.random.default_rng(seed))


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture(scope="module")
def six():
    return {kind: [drawn(kind, n) for n in range(2)] for kind in KINDS}


@pytest.fixture
def folder(tmp_path, six):
    for kind, waves in six.items():
        for number, wave in enumerate(waves):
            written(tmp_path / "own" / kind / f"{number}.npy", npy(wave.astype(np.float32)))
    return tmp_path / "own"


def named(values):
    return dict(zip(SCHEMA.names, values.tolist(), strict=True))


def test_six_classes_become_normal_against_the_rest(folder):
    found = ecg.load(DataOptions(path=folder))
    assert len(found.rows) == 12
    assert found.rows.labels.sum() == 10
    assert found.schema == SCHEMA
    assert len(SCHEMA.columns) == 12 * 14 + 3
    assert found.unit == "recording of ten seconds"
    assert not found.synthetic
    assert "normal negative" in found.source
    for column in SCHEMA.columns:
        values = found.rows.inputs[column.name]
        assert np.all((values >= column.low) & (values <= column.high))


def test_whole_numbers_are_microvolts_and_either_side_may_come_first(six):
    wave = six["normal"][0]
    want = measured(wave)
    micro = np.round(wave * 1000).astype(np.int16)
    from aegis.tasks.folders.listing import Filed
    from aegis.tasks.twelve_leads import recording

    def read(array, path):
        return measured(recording(Filed(written(path, npy(array)), "x", "normal")))

    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x.npy")
        assert np.allclose(read(wave, path), want)
        assert np.allclose(read(wave.T, path), want)
        assert np.abs(read(micro, path) - want).max() < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_beats_are_found_where_they_were_drawn(seed):
    wave = np.zeros((12, 5000))
    rng = np.random.default_rng(seed)
    beats = np.cumsum(rng.uniform(300, 500, 11)).astype(int)
    time = np.arange(5000)
    for beat in beats:
        wave += np.exp(-0.5 * ((time - beat) / 5) ** 2)
    wave += rng.normal(0, 0.02, wave.shape)
    found = beats_in(wave)
    assert len(found) == len(beats[beats < 5000])
    assert np.abs(found - beats[: len(found)]).max() <= 12


def test_each_disease_moves_the_number_it_is_known_by(six):
    normal = named(measured(six["normal"][0]))
    assert abs(np.exp(normal["rr"]) - 0.85) < 0.2
    assert normal["rr_spread"] < 0.08 < named(measured(six["arrhythmia"][0]))["rr_spread"]
    assert named(measured(six["mi"][0]))["V2_08"] > normal["V2_08"] + 0.1
    assert named(measured(six["abnormal"][0]))["II_11"] < normal["II_11"] - 0.2


def test_a_folder_for_each_hospital_and_a_table_of_patients(folder, tmp_path, six):
    for number, hospital in enumerate(("north", "south")):
        place = tmp_path / "two" / hospital
        for at, kind in enumerate(("normal", "mi")):
            for wave in range(2):
                written(place / f"{at}{wave}.npy", npy(six[kind][wave] * (1 + 0.1 * number)))
        (place / "labels.csv").write_text(
            "record,diagnosis,patient\n00,normal,a\n01,normal,a\n10,mi,b\n11,mi,b\n"
        )
    found = ecg.load(DataOptions(path=tmp_path / "two"))
    assert found.sites.tolist() == ["north"] * 4 + ["south"] * 4
    assert len(set(found.groups.tolist())) == 4


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (npy(np.zeros((12, 4000))), r"an array \(12, 4000\) of float64; \(12, 5000\)"),
        (npy(np.zeros((12, 5000))), "0 heartbeats are found in it; 3 are needed"),
        (npy(np.full((12, 5000), np.nan)), "are no numbers"),
        (npy(np.zeros((12, 5000), "U1")), "of <U1|no array of numbers"),
        (npy(np.zeros((12, 5000)))[:-9], "no array of numbers, or cut short"),
        (b"\x7fELF", "no array of numbers"),
        (b"", "no array of numbers"),
        (bytes(2 << 20), "at most 1,048,576 are read"),
    ],
)
def test_a_file_that_is_no_recording_is_named(folder, data, sentence):
    written(folder / "normal" / "bad.npy", data)
    with pytest.raises(DataError, match=f"normal/bad.npy: .*({sentence})"):
        ecg.load(DataOptions(path=folder))


def test_no_object_is_unpickled(folder):
    written(folder / "normal" / "bad.npy", npy(np.array([{}] * 3, dtype=object)))
    with pytest.raises(DataError, match=r"normal/bad.npy: it is no array of numbers"):
        ecg.load(DataOptions(path=folder))


def test_invented_recordings_are_learned_about_as_well_as_can_be():
    done = federated(None, task="ecg", trust="open", data__synthetic=True)
    dataset = done.federation.dataset
    assert dataset.synthetic
    assert "SYNTHETIC" in dataset.source
    assert len(dataset.rows) == 240
    assert 0.75 < done.together["accuracy"] <= BEST_ACCURACY + 0.08
    with pytest.raises(DataError, match="exclude each other"):
        ecg.load(DataOptions(synthetic=True, path="x"))
