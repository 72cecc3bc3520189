"""Folders of pictures: which layout it is, who belongs together, and what keeps it from use."""

import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.simulation.partition import partition
from aegis.tasks.breast_cancer import breast_cancer
from aegis.tasks.folders import gathering
from aegis.tasks.folders.checking import examine_images
from aegis.tasks.folders.images import images
from aegis.tasks.folders.listing import Wanted, listed
from aegis.tasks.folders.looking import contents
from aegis.tasks.glaucoma import glaucoma
from aegis.tasks.pneumonia import pneumonia
from aegis.tasks.task import DataOptions, Picture, canonical, find_task
from tests.tasks.pictures import bomb, classes, dicom, jpeg, png, striped, written


def load(folder, task=images, **options):
    return task.load(DataOptions(path=folder, pixels=40, **options))


def labels_csv(folder, text):
    return written(folder / "labels.csv", text.encode())


def test_a_folder_for_each_class(tmp_path):
    found = load(classes(tmp_path))
    assert found.rows.inputs.shape == (6, 40, 40)
    assert found.rows.inputs.dtype == np.uint8
    assert found.schema.image == Picture(40, 40)
    assert found.rows.labels.sum() == 3
    assert found.held_out is None
    assert found.sites is None
    assert found.groups is None
    assert not found.synthetic
    assert "PNEUMONIA is positive, NORMAL negative" in found.source
    turned = load(tmp_path, positive="NORMAL")
    assert np.array_equal(turned.rows.labels, 1 - found.rows.labels)
    assert np.array_equal(load(tmp_path, positive="!= normal").rows.labels, found.rows.labels)


def test_deeper_folders_belong_to_their_class(tmp_path):
    for number, kind in enumerate(("bacteria", "virus")):
        written(tmp_path / "pneumonia" / kind / f"{number}.png", png(striped(number, True)))
    written(tmp_path / "normal" / "a.JPG", jpeg(striped(5, False)))
    found = load(tmp_path, pneumonia)
    assert found.rows.labels.sum() == 2
    assert len(found.rows) == 3
    for number, kind in enumerate(("2019", "2020")):
        written(tmp_path / "normal" / kind / "b.png", png(striped(20 + number, False)))
    assert load(tmp_path, pneumonia).rows.labels.tolist() == [0, 0, 0, 1, 1]


def test_the_publishers_split_is_kept(tmp_path):
    for number, part in enumerate(("train", "test", "val")):
        classes(tmp_path / part, seed=10 * number, count=2 + 2 * number)
    found = load(tmp_path, pneumonia)
    assert len(found.rows) == 2 + 4
    assert found.held_out.sum() == 4
    assert found.fixed_split
    assert "6 of the validation folder left out" in found.source
    every = load(tmp_path, pneumonia, rows="all")
    assert (len(every.rows), every.held_out.sum()) == (12, 4)
    parts = partition(found, 2, "iid", seed=1)
    assert sum(len(part.test) for part in parts.values()) == 4


def test_a_table_of_labels_names_files_patients_and_parts(tmp_path):
    for number in range(6):
        written(tmp_path / "images" / f"{number}.png", png(striped(number, number % 2 == 0)))
    written(tmp_path / "masks" / "m.png", png(striped(99, False)))
    rows = "".join(
        f"{number}{'.png' if number < 5 else ''};{'GON+' if number % 2 == 0 else 'GON-'};"
        f"P{number // 2};{40 + number};{'Fm'[number > 2]};{'test' if number > 3 else ''}\n"
        for number in range(6)
    )
    labels_csv(tmp_path, "Image Name;Diagnosis;Patient;Age;Gender;Split\n" + rows)
    found = load(tmp_path, glaucoma)
    assert found.rows.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert found.groups.tolist() == ["0", "0", "2", "2", "4", "4"] or len(set(found.groups)) == 3
    assert found.rows.attributes["age"].tolist() == [40, 41, 42, 43, 44, 45]
    assert found.rows.attributes["sex"].tolist() == ["female"] * 3 + ["male"] * 3
    assert found.held_out.tolist() == [False] * 4 + [True] * 2


def test_the_plan_may_name_the_columns(tmp_path):
    classes(tmp_path / "all")
    lines = [
        f"all/{'PNEUMONIA' if n % 2 == 0 else 'NORMAL'}/{n}.png,{n % 2},{n % 3},x" for n in range(6)
    ]
    labels_csv(tmp_path, "file,severe,who,label\n" + "\n".join(lines) + "\n")
    found = load(tmp_path, label="severe", positive="1", group="who")
    assert found.rows.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert len(set(found.groups.tolist())) == 3
    with pytest.raises(DataError, match=r"no column ward; there are file, .*Correct data.group"):
        load(tmp_path, group="ward")
    with pytest.raises(DataError, match=r"every file in .* is x"):
        load(tmp_path)


def test_a_folder_for_each_hospital_in_any_layout(tmp_path):
    classes(tmp_path / "north" / "train", seed=0)
    classes(tmp_path / "north" / "test", seed=10, count=2)
    classes(tmp_path / "south", seed=20, count=4)
    for number in range(2):
        written(tmp_path / "west" / f"{number}.png", png(striped(40 + number, not number)))
    labels_csv(tmp_path / "west", "image,label\n0.png,PNEUMONIA\n1,NORMAL\n")
    found = load(tmp_path, pneumonia)
    names, counts = np.unique(found.sites, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "north": 8,
        "south": 4,
        "west": 2,
    }
    assert found.held_out.sum() == 2
    some = load(tmp_path, pneumonia, sites=("south", "west"))
    assert len(some.rows) == 6
    with pytest.raises(DataError, match="no hospital east; its folders are north, south, west"):
        load(tmp_path, pneumonia, sites=("east",))


@pytest.mark.parametrize("named", ["positive", "sites", "nothing"])
def test_hospitals_are_told_from_classes(tmp_path, named):
    """Both levels could be either; a word that somebody knows decides, else that they repeat."""
    for hospital in ("a", "b"):
        classes(tmp_path / hospital, "ill", "well", seed=ord(hospital))
    options = {"positive": {"positive": "ill"}, "sites": {"sites": ("a", "b"), "positive": "ill"}}
    if named == "nothing":
        with pytest.raises(DataError, match=r"Name it with data\.positive"):
            load(tmp_path)
        assert {one.hospital for one in listed(tmp_path, Wanted((".png",))).filed} == {"a", "b"}
        with pytest.raises(DataError, match="no class x"):
            load(tmp_path, positive="x")
        assert load(tmp_path, positive="a").rows.labels.sum() == 6  # a is a class, of ill and well
    else:
        assert set(load(tmp_path, **options[named]).sites.tolist()) == {"a", "b"}


def test_a_patient_is_never_on_both_sides(tmp_path):
    for number in range(40):
        name = f"person{number // 4}_{'bacteria' if number % 2 else 'virus'}_{number}.png"
        written(tmp_path / "PNEUMONIA" / name, png(striped(number, True)))
    for number in range(40):
        name = f"NORMAL2-IM-{number // 2:04d}-0001-{number}.png"
        written(tmp_path / "NORMAL" / name, png(striped(100 + number, False)))
    found = load(tmp_path, pneumonia)
    assert len(set(found.groups.tolist())) == 10 + 20
    of = {x.tobytes(): g for x, g in zip(found.rows.inputs, found.groups, strict=True)}
    for seed in range(5):
        parts = partition(found, 3, "iid", seed=seed, test_fraction=0.3)
        sides = [rows for part in parts.values() for rows in (part.train, part.test)]
        people = [{of[x.tobytes()] for x in rows.inputs} for rows in sides]
        assert sum(map(len, people)) == len(set().union(*people)) == 30


def test_the_same_picture_twice_stays_on_one_side(tmp_path):
    classes(tmp_path)
    written(tmp_path / "NORMAL" / "again.jpg", (tmp_path / "NORMAL" / "1.png").read_bytes())
    groups = load(tmp_path).groups
    assert len(set(groups.tolist())) == 6
    names = [one.name for one in listed(tmp_path, Wanted((".png", ".jpg"))).filed]
    assert groups[names.index("NORMAL/again.jpg")] == groups[names.index("NORMAL/1.png")]


def test_one_picture_with_two_labels_is_refused(tmp_path):
    classes(tmp_path)
    written(tmp_path / "NORMAL" / "2.png", (tmp_path / "PNEUMONIA" / "2.png").read_bytes())
    with pytest.raises(DataError, match=r"PNEUMONIA/2.png: it is the same picture as NORMAL/2.png"):
        load(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_groups_are_the_connected_ones(pairs):
    """Pictures are joined by a person or by being the same, and by nothing else."""
    keys = [(picture, person or "") for person, picture in pairs]
    found = gathering.together(keys, ["north"] * len(keys))
    groups = found.tolist() if found is not None else list(range(len(pairs)))
    reached = [{at} for at in range(len(pairs))]
    for _ in pairs:
        for at, (person, picture) in enumerate(pairs):
            for other, (their, image) in enumerate(pairs):
                if picture == image or (person and person == their):
                    reached[at] |= reached[other]
    apart = gathering.together(keys, [str(at) for at in range(len(keys))])
    assert apart is None  # nobody is in two hospitals
    for at in range(len(pairs)):
        assert {other for other, g in enumerate(groups) if g == groups[at]} == reached[at]


def test_dicom_keeps_a_patient_together_and_says_that_there_are_names(tmp_path, caplog):
    pytest.importorskip("pydicom")
    for number in range(8):
        name = f"{number}.dcm" if number % 2 else f"IM{number}"
        ill = number % 4 < 2
        data = dicom(striped(number, ill), PatientID=f"K{number // 2}", PatientName="Erika^M")
        written(tmp_path / ("NORMAL", "PNEUMONIA")[ill] / name, data)
    caplog.set_level(logging.WARNING)
    found = load(tmp_path, pneumonia)
    assert len(found.rows) == 8
    assert len(set(found.groups.tolist())) == 4
    assert "8 of 8 files carry a patient name" in caplog.text
    assert "Erika" not in caplog.text + repr(found)
    assert "K1" not in repr(found)
    as_png = tmp_path / "as_png"
    for number in range(8):
        ill = number % 4 < 2
        written(as_png / ("NORMAL", "PNEUMONIA")[ill] / f"{number}.png", png(striped(number, ill)))
    again = load(as_png, pneumonia).rows
    assert sorted(map(bytes, again.inputs)) == sorted(map(bytes, found.rows.inputs))


def test_every_file_that_cannot_be_used_is_named_with_its_reason(tmp_path):
    classes(tmp_path)
    whole = png(striped(1, True, 200))
    written(tmp_path / "NORMAL" / "cut.png", whole[:400])
    written(tmp_path / "NORMAL" / "program.png", b"\x7fELF" + bytes(200))
    written(tmp_path / "NORMAL" / "empty.png", b"")
    written(tmp_path / "NORMAL" / "bomb.png", bomb())
    written(tmp_path / "NORMAL" / "bad\nname\udce4.png", b"x")
    written(tmp_path / "loose.png", whole)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert "has one problem" in str(caught.value)
    assert "loose.png: it lies in no folder of a class" in str(caught.value)
    (tmp_path / "loose.png").unlink()
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    said = str(caught.value)
    assert "has 5 problems" in said
    assert "NORMAL/cut.png: it is truncated or damaged" in said
    assert "NORMAL/program.png: by its first bytes it is neither PNG, JPEG nor DICOM" in said
    assert "NORMAL/empty.png: it is empty" in said
    assert "NORMAL/bomb.png: it has too many pixels; at most 67,108,864" in said
    assert "NORMAL/bad\\x0aname\\udce4.png" in said


def test_links_and_special_files_are_not_followed(tmp_path):
    classes(tmp_path / "data")
    outside = written(tmp_path / "secret.png", png(striped(7, True)))
    here = tmp_path / "data" / "NORMAL"
    (here / "out.png").symlink_to(outside)
    (here / "up").symlink_to(tmp_path)
    (here / "round").symlink_to(here)
    (here / "gone.png").symlink_to(here / "nowhere.png")
    os.mkfifo(here / "pipe.png")
    with pytest.raises(DataError) as caught:
        load(tmp_path / "data")
    said = str(caught.value)
    assert "has 5 problems" in said
    assert said.count("a link that leaves the folder, and is not followed") == 2
    assert "NORMAL/round: it is a link to a folder" in said
    assert "NORMAL/gone.png: it cannot be read" in said
    assert "NORMAL/pipe.png: it is neither a file nor a folder" in said
    for path in here.iterdir():
        if path.is_symlink() or path.is_fifo():
            path.unlink()
    (here / "within.png").symlink_to(here / "1.png")
    assert len(load(tmp_path / "data").rows) == 7


def test_rows_of_a_table_that_lead_nowhere_are_named(tmp_path):
    classes(tmp_path / "data" / "x")
    classes(tmp_path / "data" / "y")
    written(tmp_path / "secret.png", png(striped(7, True)))
    labels_csv(
        tmp_path / "data",
        "image,label\n../secret.png,ill\nx/NORMAL/1.png,well\nx/NORMAL/1,well\n3.png,well\n"
        "x/NORMAL/5.png,?\n,well\ny/PNEUMONIA/2.png,ill\n",
    )
    with pytest.raises(DataError) as caught:
        load(tmp_path / "data", positive="ill")
    said = str(caught.value)
    assert "labels.csv, row 2: ../secret.png is not there" in said
    assert "labels.csv, row 4: x/NORMAL/1.png has a row already" in said
    assert "labels.csv, row 5: 2 files are called 3.png" in said
    assert "labels.csv, row 6: column label: no label" in said
    assert "labels.csv, row 7: column image: no file" in said
    labels_csv(tmp_path / "data", "picture,label\na,b\n")
    with pytest.raises(DataError, match="no column of files; there are picture, label"):
        load(tmp_path / "data")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: None, "is not there; a folder is wanted"),
        (lambda p: written(p, b"x"), "is a file; a folder is wanted"),
        (lambda p: p.mkdir(), "holds no file to learn from"),
        (lambda p: (p / "NORMAL").mkdir(parents=True), "holds no file to learn from"),
        (lambda p: written(p / "NORMAL" / "a.txt", b"x"), "holds no file to learn from"),
        (lambda p: classes(p, "NORMAL", "NORMAL"), r"every file in data is NORMAL \(6\)"),
        (lambda p: classes(p, "ill", "ill"), r"every file in data is ill \(6\)"),
        (lambda p: classes(p, "a", "b"), r"nobody said which.*data\.positive"),
    ],
)
def test_a_folder_that_cannot_be_learned_from_says_why(tmp_path, make, sentence):
    make(tmp_path / "data")
    with pytest.raises(DataError, match=sentence):
        load(tmp_path / "data")


def test_several_classes_are_told_apart_or_one_from_the_rest(tmp_path):
    classes(classes(tmp_path, "B_dense", "a_mild"), "Z", "Normal", seed=50)
    found = load(tmp_path)
    assert found.schema.classes == ("Normal", "a_mild", "B_dense", "Z")
    assert np.bincount(found.rows.labels).tolist() == [3, 3, 3, 3]
    assert "classes Normal, a_mild, B_dense, Z" in found.source
    one = load(tmp_path, positive="Z")
    assert one.schema.classes == ()
    assert one.rows.labels.sum() == 3
    with pytest.raises(DataError, match=r"several diagnoses, of which one is told from the rest"):
        load(tmp_path, pneumonia)
    assert "4 classes: data.positive tells one" in str(examine_images(tmp_path).remarks)


def test_limits_come_before_memory(tmp_path, monkeypatch):
    classes(tmp_path)
    monkeypatch.setattr(gathering, "MOST_BYTES", 6 * 1600 - 1)
    monkeypatch.setattr(gathering, "looked_at", lambda *_: pytest.fail("a file was opened"))
    with pytest.raises(DataError, match="holds 6 pictures of 40 x 40"):
        load(tmp_path)
    with pytest.raises(DataError, match="it has 7 bytes; at most 6 are read"):
        contents(written(tmp_path / "long", b"1234567"), most=6)


def test_tasks_know_the_words_of_their_classes(tmp_path):
    glaucomas = classes(tmp_path / "g", "Glaucoma", "Non_Glaucoma")
    assert load(glaucomas, glaucoma).rows.labels.sum() == 3
    cancers = classes(tmp_path / "b", "malignant", "benign")
    found = load(cancers, breast_cancer)
    assert found.rows.labels.sum() == 3
    assert found.schema.image == Picture(40, 40)
    with pytest.raises(DataError, match=r"for images set data\.pixels: 64"):
        breast_cancer.load(DataOptions(path=cancers))
    assert len(breast_cancer.load(DataOptions()).rows) == 569
    with pytest.raises(DataError, match=r"classes benign \(3\), malignant \(3\)"):
        load(cancers, glaucoma)
    with pytest.raises(DataError, match=r"data\.synthetic: true for SYNTHETIC"):
        glaucoma.load(DataOptions())
    with pytest.raises(DataError, match="no synthetic look-alike"):
        images.load(DataOptions(synthetic=True))


def test_a_size_is_the_tasks_own_unless_the_plan_says_another(tmp_path):
    classes(tmp_path, side=90)
    for task, side in ((images, 64), (glaucoma, 32), (pneumonia, 28)):
        options = DataOptions(path=tmp_path, positive="PNEUMONIA")
        assert task.load(options).rows.inputs.shape == (6, side, side)
        assert task.schema.image == Picture(side, side)
        assert task.load(replace(options, pixels=48)).rows.inputs.shape == (6, 48, 48)


def test_tasks_are_found_by_the_names_of_the_mission():
    assert find_task("glaucoma") is glaucoma
    assert find_task("images") is images
    assert canonical("symptom") == "symptoms"
    assert [canonical(name) for name in ("breast_cancer", "ecg", "pneumonia")] == [
        "breast_cancer",
        "ecg",
        "pneumonia",
    ]
