"""What `aegis data check` says of a folder of pictures, and that the plan it suggests is sound."""

import pytest
import yaml

from aegis.errors import DataError
from aegis.plan import load_plan
from aegis.tasks.folders.checking import examine_images, pictures_in
from aegis.tasks.task import DataOptions, find_task
from tests.tasks.pictures import bomb, classes, dicom, jpeg, png, striped, written


def said(found, which="remarks"):
    return " | ".join(f"{name}: {what}" for name, what in getattr(found, which))


def test_classes_sizes_kinds_and_a_plan_that_runs(tmp_path):
    classes(tmp_path / "chest", "STRIPED", count=8)
    written(tmp_path / "chest" / "NORMAL" / "w.jpg", jpeg(striped(70, False, 90, height=60)))
    written(tmp_path / "chest" / "NORMAL" / "notes.txt", b"x")
    found = examine_images(tmp_path / "chest")
    assert found.files == 9
    assert [(row["class"], row["files"]) for row in found.classes] == [
        ("NORMAL", 5),
        ("STRIPED", 4),
    ]
    assert found.sizes == {"40 x 40": 8, "90 x 60": 1}
    assert found.kinds == {"PNG of 8 bits": 8, "JPEG of 8 bits": 1}
    assert found.patients is None
    assert (found.positive, found.guessed) == ("STRIPED", True)
    remarks = said(found)
    assert "sizes differ: the middle square" in remarks
    assert "left aside: 1 with an ending that is not read" in remarks
    assert "no patient is named" in remarks
    assert "9 pictures are smaller than 64" in remarks
    plan = tmp_path / "plan.yaml"
    plan.write_text(found.plan)
    loaded = load_plan(plan).plan
    assert (loaded.task, loaded.federated.partition.by) == ("images", "iid")
    assert loaded.federated.num_clients == 3
    data = loaded.data
    from pathlib import Path

    rows = find_task("images").load(DataOptions(path=Path(data.path), positive=data.positive)).rows
    assert rows.labels.sum() == 4
    assert found.as_json()["usable"]
    assert "A plan that runs (positive guessed)" in "\n".join(found.lines())


def test_one_hospital_for_each_folder_is_suggested(tmp_path):
    for number, hospital in enumerate(("north", "south", "west")):
        classes(tmp_path / hospital, "GLAUCOMA", "HEALTHY", seed=10 * number)
    found = examine_images(tmp_path)
    plan = yaml.safe_load(found.plan)
    assert plan["federated"] == {"num_clients": 3, "partition": {"by": "site"}}
    assert plan["task"] == "glaucoma"
    assert "positive" not in plan["data"]
    assert "north GLAUCOMA" in "\n".join(found.lines())
    turned = yaml.safe_load(examine_images(tmp_path, positive="HEALTHY").plan)
    assert (turned["task"], turned["data"]["positive"]) == ("images", "HEALTHY")


def test_every_fault_is_counted_and_named_and_there_is_no_plan(tmp_path):
    classes(tmp_path)
    for number in range(25):
        written(tmp_path / "NORMAL" / f"cut{number:02d}.png", png(striped(1, True))[:99])
    written(tmp_path / "NORMAL" / "bomb.png", bomb())
    written(tmp_path / "NORMAL" / "turned.png", (tmp_path / "PNEUMONIA" / "2.png").read_bytes())
    found = examine_images(tmp_path)
    assert len(found.faults) == 27
    assert {"file": "NORMAL/bomb.png", "what": "it has too many pixels; at most 67,108,864"} in (
        found.as_json()["faults"]
    )
    assert "the same picture as NORMAL/turned.png, of another class" in said(found, "faults")
    assert found.plan == ""
    lines = "\n".join(found.lines())
    assert "Must be mended (27):" in lines
    assert "and 7 more; --json lists them all" in lines
    with pytest.raises(DataError, match="has 26 problems"):
        find_task("images").load(DataOptions(path=tmp_path, positive="PNEUMONIA"))


def test_what_lies_on_both_sides_is_told(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "test", seed=20, count=4)
    twin = (tmp_path / "train" / "NORMAL" / "1.png").read_bytes()
    written(tmp_path / "test" / "NORMAL" / "twin.png", twin)
    remarks = said(examine_images(tmp_path))
    assert (
        "test/NORMAL/twin.png, train/NORMAL/1.png: the same picture (the same bytes), in test and "
        "train; kept on one side" in remarks
    )
    (tmp_path / "labels.csv").write_text(
        "image,label,patient_id,split\n"
        + "".join(
            f"{part}/{label}/{number}.png,{label},P{number},{part}\n"
            for part, count in (("train", 6), ("test", 4))
            for number, label in zip(range(count), ("PNEUMONIA", "NORMAL") * 3, strict=False)
        )
    )
    found = examine_images(tmp_path)
    assert found.patients == 6
    assert "the patient's pictures, in test and train; kept on one side" in said(found)
    assert "left aside: 1 with no row in labels.csv" in said(found)
    dataset = find_task("images").load(DataOptions(path=tmp_path, positive="PNEUMONIA"))
    assert len(set(dataset.groups.tolist())) == 6


def test_names_in_files_are_counted_and_not_shown(tmp_path):
    pytest.importorskip("pydicom")
    for number in range(4):
        data = dicom(
            striped(number, number % 2), PatientID=f"K{number}", PatientName="Erika^M",
            BurnedInAnnotation="YES",
        )  # fmt: skip
        written(tmp_path / ("no", "yes")[number % 2] / f"{number}.dcm", data)
    found = examine_images(tmp_path)
    assert "4 of 4 files carry a patient name, which is neither shown nor kept" in said(found)
    assert "4 of 4 files say that text is burnt into the picture" in said(found)
    assert found.patients == 4
    assert found.positive == "yes"
    everything = "\n".join(found.lines()) + str(found.as_json()) + repr(found)
    assert "Erika" not in everything
    assert "K1" not in everything


def test_one_class_is_a_fault(tmp_path):
    found = examine_images(classes(tmp_path, "ill", "ill"))
    assert "a model learns to tell two groups apart" in said(found, "faults")
    assert found.plan == ""


def test_a_folder_of_tables_is_no_folder_of_pictures(tmp_path):
    written(tmp_path / "tables" / "a.csv", b"a,b\n1,2\n")
    assert not pictures_in(tmp_path / "tables")
    assert pictures_in(classes(tmp_path / "deep" / "er") and tmp_path / "deep")


def test_names_of_files_tell_patients_where_the_data_set_is_known_for_it(tmp_path):
    for number in range(4):
        ill = number % 2 == 0
        name = f"person{number // 2}_virus_{number}.jpeg" if ill else f"IM-0{number}-0001.jpeg"
        written(tmp_path / ("NORMAL", "PNEUMONIA")[ill] / name, jpeg(striped(number, ill)))
    found = examine_images(tmp_path)
    assert (found.task, found.positive, found.patients) == ("pneumonia", None, 4)
    assert (
        load_plan(written(tmp_path / "plan.yaml", found.plan.encode())).plan.data.positive is None
    )
