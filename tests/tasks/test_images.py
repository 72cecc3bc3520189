import io
import zipfile

import numpy as np
import pytest

from aegis.errors import DataError
from aegis.tasks.images import read_npz
from aegis.tasks.task import Picture

PICTURE = Picture(6, 5)


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def images(count=4):
    return np.arange(count * 30, dtype=np.uint8).reshape(count, 6, 5)


def labels(count=4):
    return (np.arange(count)[:, None] % 2).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images.npz"


def test_an_archive_as_medmnist_writes_it_is_read(path):
    archive(path, train_images=images(), train_labels=labels(), test_images=images(2),
            test_labels=labels(2)[:, 0])  # fmt: skip
    (pixels, ill), (few, _) = read_npz(path, ["train", "test"], PICTURE)
    assert np.array_equal(pixels, images())
    assert ill.tolist() == [0, 1, 0, 1]
    assert ill.dtype == np.int64
    assert len(few) == 2


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"train_images": images()}, "no array called train_labels"),
        ({"train_images": images()[0], "train_labels": labels()}, r"an array \(6, 5\) of uint8"),
        ({"train_images": images()[:, :5], "train_labels": labels()}, r"\(4, 5, 5\) of uint8"),
        ({"train_images": images() / 255, "train_labels": labels()}, "of float64"),
        ({"train_images": images(), "train_labels": labels(3)}, "not one 0 or 1"),
        ({"train_images": images(), "train_labels": labels() * 2}, "not one 0 or 1"),
        ({"train_images": images(), "train_labels": labels() / 2}, "not one 0 or 1"),
        (
            {"train_images": np.array([None] * 4), "train_labels": labels()},
            "cannot be read as an archive",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_said(path, arrays, sentence):
    archive(path, **arrays)
    with pytest.raises(DataError, match=sentence):
        read_npz(path, ["train"], PICTURE)


@pytest.mark.parametrize("damage", ["text", "short", "empty", "absent", "folder"])
def test_a_file_that_is_no_archive_is_refused(path, damage):
    archive(path, train_images=images(), train_labels=labels())
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "absent":
        path.write_bytes({"text": b"age,sex\n1,2\n", "short": whole[:-60], "empty": b""}[damage])
    with pytest.raises(DataError, match="cannot be read as an archive"):
        read_npz(path, ["train"], PICTURE)


def test_a_bomb_is_not_unpacked(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 6, 5)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train_images.npy", header.getvalue() + bytes(30 * 10**6))
        file.writestr("train_labels.npy", b"")
    assert path.stat().st_size < 10**5
    with pytest.raises(DataError, match="would unpack to 30,000,128 bytes; at most 1,000,000"):
        read_npz(path, ["train"], PICTURE, most=10**6)


def test_an_array_that_claims_more_than_its_file_holds_is_refused(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 6, 5)}
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train_images.npy", header.getvalue())
        file.writestr("train_labels.npy", header.getvalue())
    with pytest.raises(DataError, match="cannot be read as an archive"):
        read_npz(path, ["train"], PICTURE)
