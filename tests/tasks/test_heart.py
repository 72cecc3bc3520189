from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, DataError
from aegis.tasks.centres import AT, CENTRES, SOURCES, published_split, table_of
from aegis.tasks.heart import fed_heart_disease, heart
from aegis.tasks.lookalike import SHAPES, heart_table
from aegis.tasks.preparation import Preparation, tally
from aegis.tasks.task import DataOptions, Dataset, Task

KAGGLE_COPY = (
    "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,target\n"
    "63,1,3,145,233,1,0,150,0,2.3,0,0,1,1\n"
    "37,1,2,130,250,0,1,187,0,3.5,0,0,2,1\n"
)


def of(data: Dataset, site: str) -> np.ndarray:
    assert data.sites is not None
    return data.sites == site


@pytest.mark.data
def test_cleveland_has_303_patients_of_whom_139_are_ill(data_directory: Path) -> None:
    data = heart.load(DataOptions(data_directory, sites=("cleveland",)))
    assert np.bincount(data.rows.labels).tolist() == [164, 139]
    assert len(data.rows.inputs) == 13


@pytest.mark.data
def test_the_complete_rows_and_the_published_split_are_flambys(data_directory: Path) -> None:
    for task in (heart, fed_heart_disease):
        data = task.load(DataOptions(data_directory))
        assert len(data.rows) == 740
        assert data.held_out is not None
        train = [int((of(data, site) & ~data.held_out).sum()) for site in CENTRES]
        test = [int((of(data, site) & data.held_out).sum()) for site in CENTRES]
        assert train == [199, 172, 30, 85]
        assert test == [104, 89, 16, 45]


@pytest.mark.data
def test_the_majority_of_the_test_rows_is_the_published_one(data_directory: Path) -> None:
    data = heart.load(DataOptions(data_directory))
    assert data.held_out is not None
    majority = []
    for site in CENTRES:
        ill = data.rows.labels[of(data, site) & data.held_out].mean()
        majority.append(max(ill, 1 - ill))
    assert np.round(majority, 3).tolist() == [0.538, 0.629, 0.938, 0.778]


@pytest.mark.data
def test_the_split_of_every_centre_is_scikit_learns(data_directory: Path) -> None:
    from sklearn.model_selection import train_test_split

    data = heart.load(DataOptions(data_directory))
    assert data.held_out is not None
    for site in CENTRES:
        labels = data.rows.labels[of(data, site)]
        _, test = train_test_split(
            np.arange(len(labels)),
            test_size=1 - 0.66,
            train_size=0.66,
            random_state=43,
            stratify=labels if np.bincount(labels).min() > 2 else None,
        )
        expected = np.isin(np.arange(len(labels)), test)
        np.testing.assert_array_equal(data.held_out[of(data, site)], expected)


@given(healthy=st.integers(3, 300), ill=st.integers(3, 300), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_the_split_is_scikit_learns_for_any_centre(healthy: int, ill: int, seed: int) -> None:
    from sklearn.model_selection import train_test_split

    rows = healthy + ill
    share = healthy * int(0.66 * rows) / rows
    assume(abs(share % 1 - 0.5) > 1e-9)  # scikit-learn breaks a tie by chance
    labels = np.random.default_rng(seed).permutation(np.repeat([0, 1], [healthy, ill]))
    _, test = train_test_split(
        np.arange(rows), test_size=1 - 0.66, train_size=0.66, random_state=43, stratify=labels
    )
    assert np.flatnonzero(published_split(labels)).tolist() == sorted(test)


@pytest.mark.data
def test_all_rows_are_920_and_have_no_split(data_directory: Path) -> None:
    data = heart.load(DataOptions(data_directory, rows="all"))
    assert [int(of(data, site).sum()) for site in CENTRES] == [303, 294, 123, 200]
    ill = [int(data.rows.labels[of(data, site)].sum()) for site in CENTRES]
    assert ill == [139, 106, 115, 149]
    assert data.held_out is None


@pytest.mark.data
def test_question_marks_and_impossible_zeros_are_missing(data_directory: Path) -> None:
    data = heart.load(DataOptions(data_directory, rows="all"))
    assert isinstance(data.rows.inputs, dict)

    def missing(name: str) -> list[int]:
        values = data.rows.inputs[name]
        gone = values == "" if values.dtype.kind == "U" else np.isnan(values)
        return [int(gone[of(data, site)].sum()) for site in CENTRES]

    assert missing("chol") == [0, 23, 123, 7 + 49]
    assert missing("trestbps") == [0, 1, 2, 56 + 1]
    assert missing("ca") == [4, 291, 118, 198]
    assert missing("thal") == [2, 266, 52, 166]
    assert missing("slope") == [0, 190, 17, 102]
    assert missing("restecg") == [0, 1, 1, 0]
    assert missing("age") == [0, 0, 0, 0]


@pytest.mark.data
def test_the_first_cleveland_patient_reads_as_written(data_directory: Path) -> None:
    """63, male, typical angina, ..., and healthy: the re-coded copy calls this man ill."""
    data = heart.load(DataOptions(data_directory, sites=("cleveland",)))
    first = data.rows.take(np.array([0]))
    assert isinstance(first.inputs, dict)
    assert {name: values[0] for name, values in first.inputs.items()} == {
        "age": 63,
        "sex": 1,
        "cp": "typical angina",
        "trestbps": 145,
        "chol": 233,
        "fbs": 1,
        "restecg": "left ventricular hypertrophy",
        "thalach": 150,
        "exang": 0,
        "oldpeak": 2.3,
        "slope": "downsloping",
        "ca": 0,
        "thal": "fixed defect",
    }
    assert first.labels[0] == 0
    assert first.attributes["sex"][0] == "male"
    assert first.attributes["age"][0] == 63


@pytest.mark.data
def test_angina_in_exercise_and_coloured_vessels_go_with_disease(data_directory: Path) -> None:
    """In the re-coded copy they go with health: .14 against .55, .36 against 1.17."""
    rows = heart.load(DataOptions(data_directory, sites=("cleveland",))).rows
    assert isinstance(rows.inputs, dict)
    ill = rows.labels == 1
    for name, healthy, diseased in (("exang", 0.14, 0.55), ("ca", 0.27, 1.13)):
        assert np.nanmean(rows.inputs[name][~ill]) == pytest.approx(healthy, abs=0.02)
        assert np.nanmean(rows.inputs[name][ill]) == pytest.approx(diseased, abs=0.02)


@pytest.mark.data
def test_the_demographics_are_the_published_ones(data_directory: Path) -> None:
    data = heart.load(DataOptions(data_directory, rows="all"))
    people = data.rows.attributes
    ages = [float(people["age"][of(data, site)].mean()) for site in CENTRES]
    men = [float((people["sex"][of(data, site)] == "male").mean()) for site in CENTRES]
    assert np.round(ages, 1).tolist() == [54.4, 47.8, 55.3, 59.4]
    assert np.round(men, 2).tolist() == [0.68, 0.72, 0.92, 0.97]


@pytest.mark.data
def test_the_benchmark_keeps_a_cholesterol_of_zero(data_directory: Path) -> None:
    data = fed_heart_disease.load(DataOptions(data_directory))
    assert isinstance(data.rows.inputs, dict)
    assert len(data.rows.inputs) == 13
    assert (data.rows.inputs["chol"][of(data, "switzerland")] == 0).all()
    for values in data.rows.inputs.values():
        assert not np.isnan(values).any()
    for name in ("cp", "restecg"):
        codes = [v for key, v in data.rows.inputs.items() if key.startswith(f"{name}_")]
        assert set(np.sum(codes, axis=0)) == {0, 1}


@pytest.mark.data
def test_one_altered_byte_is_refused(data_directory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "heart"
    folder.mkdir()
    for source in SOURCES.values():
        shutil.copyfile(data_directory / "heart" / source.name, folder / source.name)
    path = folder / SOURCES["va"].name
    path.write_bytes(path.read_bytes().replace(b"63,1,4,140", b"64,1,4,140", 1))
    with pytest.raises(DataError, match=SOURCES["va"].sha256):
        heart.load(DataOptions(tmp_path))


def test_the_recoded_copy_with_its_label_turned_round_is_refused(tmp_path: Path) -> None:
    (tmp_path / SOURCES["cleveland"].name).write_text(KAGGLE_COPY)
    with pytest.raises(DataError) as caught:
        heart.load(DataOptions(tmp_path, sites=("cleveland",)))
    assert hashlib.sha256(KAGGLE_COPY.encode()).hexdigest() in str(caught.value)
    assert SOURCES["cleveland"].sha256 in str(caught.value)


@pytest.mark.parametrize("directory", [None, Path("nowhere")])
def test_missing_files_name_every_way_out(directory: Path | None) -> None:
    with pytest.raises(DataError) as caught:
        heart.load(DataOptions(directory))
    for needed in ("processed.cleveland.data", "AEGIS_DATA_DIR", "aegis data fetch heart"):
        assert needed in str(caught.value)
    assert "data.synthetic: true" in caught.value.way_out


@pytest.mark.parametrize("sites", [("clevland",), ()])
def test_a_centre_that_is_not_there_is_named(sites: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="cleveland, hungarian, switzerland, va"):
        heart.load(DataOptions(sites=sites, synthetic=True))


def test_a_table_of_another_shape_is_no_heart_file() -> None:
    with pytest.raises(DataError, match="14 columns"):
        table_of("1,2,3\n4,5,6\n")


def test_the_benchmark_takes_its_own_rows_only() -> None:
    with pytest.raises(DataError, match="740"):
        fed_heart_disease.load(DataOptions(rows="all", synthetic=True))


def test_a_file_of_ones_own_belongs_to_another_task(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="task: table"):
        heart.load(DataOptions(path=tmp_path / "mine.csv"))


def test_both_are_tasks() -> None:
    assert isinstance(heart, Task)
    assert isinstance(fed_heart_disease, Task)
    for name in ("Janosi", "Steinbrunn", "Pfisterer", "Detrano"):
        assert name in heart.credits
        assert name in fed_heart_disease.credits
    assert heart.schema.sha256 != fed_heart_disease.schema.sha256


def test_a_look_alike_is_labelled_wherever_it_shows() -> None:
    for task in (heart, fed_heart_disease):
        data = task.load(DataOptions(synthetic=True))
        assert data.synthetic
        assert data.source.startswith("SYNTHETIC")


def test_a_look_alike_has_the_shape_of_the_real_centres() -> None:
    data = heart.load(DataOptions(synthetic=True, rows="all", seed=4))
    assert [int(of(data, site).sum()) for site in CENTRES] == [303, 294, 123, 200]
    ill = [float(data.rows.labels[of(data, site)].mean()) for site in CENTRES]
    assert np.round(ill, 2).tolist() == [0.46, 0.36, 0.93, 0.74]
    assert isinstance(data.rows.inputs, dict)
    assert np.isnan(data.rows.inputs["chol"][of(data, "switzerland")]).all()
    assert set(SHAPES) == set(CENTRES)


def test_a_look_alike_holds_only_what_a_file_can_hold() -> None:
    for centre in CENTRES:
        table = heart_table(centre, 7)
        for name, codes in (("cp", {1, 2, 3, 4}), ("restecg", {0, 1, 2}), ("thal", {3, 6, 7})):
            values = table[:, AT[name]]
            assert set(values[~np.isnan(values)]) <= codes
        assert not np.isnan(table[:, [AT["age"], AT["sex"], AT["num"]]]).any()


def test_a_look_alike_follows_its_seed() -> None:
    first, again, other = (heart_table("va", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(np.nan_to_num(first), np.nan_to_num(other))


def test_a_look_alike_has_one_preparation_for_all_its_centres() -> None:
    data = heart.load(DataOptions(synthetic=True, rows="all"))
    whole = tally(heart.schema, data.rows)
    parts = sum(tally(heart.schema, data.rows.take(of(data, site))) for site in CENTRES)
    np.testing.assert_allclose(whole, parts, rtol=1e-12)
    names = Preparation.from_tally(heart.schema, whole).names
    assert "cp=asymptomatic" in names
    assert "cp=typical angina" not in names
    assert "ca missing" in names
