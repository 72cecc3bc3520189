"""What an image becomes: fixed, bounded, the same for everybody, and remembered."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.tasks import image_features, whitening
from aegis.tasks.bounded import public_preparation, read_preparation
from aegis.tasks.image_features import ImageFeatures, brightness
from aegis.tasks.models import Perceptron, network
from aegis.tasks.scattering import Scattering
from aegis.tasks.task import Column, Picture, Rows, Schema
from aegis.tasks.whitening import invented, learnt

SMALL = ImageFeatures(Picture(8, 8), components=10)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(whitening, "IMAGES", 60)
    whitening.whitening.cache_clear()
    image_features._KNOWN.clear()
    yield tmp_path
    whitening.whitening.cache_clear()
    image_features._KNOWN.clear()


def images(count, seed=0, size=8):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


def rows(pixels):
    return Rows(pixels, np.zeros(len(pixels), np.int64))


@given(st.integers(0, 2**32), st.sampled_from(["noise", "black", "white", "dot"]))
@settings(max_examples=50, deadline=None)
def test_no_row_is_longer_than_one(seed, kind):
    pixels = images(3, seed)
    if kind in ("black", "white"):
        pixels[:] = 0 if kind == "black" else 255
    if kind == "dot":
        pixels[:] = 0
        pixels[:, 3, 4] = 1
    design = SMALL.apply(rows(pixels))
    assert design.shape == (3, 10)
    lengths = np.linalg.norm(design, axis=1)
    assert np.all(lengths <= 1)
    assert lengths == pytest.approx(1, abs=1e-5)


def test_an_image_becomes_the_same_whoever_is_beside_it():
    pixels = images(40)
    together = SMALL.compute(pixels)
    alone = np.concatenate([SMALL.compute(one[None]) for one in pixels])
    assert np.abs(together - alone).max() < 1e-6
    assert np.array_equal(SMALL.apply(rows(pixels[5:9])), SMALL.apply(rows(pixels))[5:9])


def test_images_seen_before_are_not_computed_again(monkeypatch):
    asked = []
    compute = ImageFeatures.compute

    def counted(self, pixels):
        asked.append(len(pixels))
        return compute(self, pixels)

    monkeypatch.setattr(ImageFeatures, "compute", counted)
    monkeypatch.setattr(image_features, "_REMEMBERED", 6)
    pixels = images(6)
    first = SMALL.apply(rows(pixels))
    again = SMALL.apply(rows(np.concatenate([pixels[::-1], images(1, 9), pixels[:1]])))
    assert asked == [6, 1]
    assert np.array_equal(again[:6][::-1], first)
    assert np.array_equal(again[7], first[0])
    SMALL.apply(rows(pixels))  # one had been forgotten for the new one
    assert asked == [6, 1, 1]
    assert len(image_features._KNOWN[SMALL]._rows) == 6


def test_pixels_of_another_kind_are_another_image():
    pixels = images(2)
    as_numbers = SMALL.apply(rows(brightness(pixels)))
    assert np.array_equal(as_numbers, SMALL.apply(rows(pixels)))
    assert len(image_features._KNOWN[SMALL]._rows) == 4


def test_two_equal_images_have_equal_rows():
    pixels = images(1).repeat(3, axis=0)
    design = SMALL.apply(rows(pixels))
    assert np.array_equal(design[0], design[1])
    assert SMALL.apply(rows(pixels[:0])).shape == (0, 10)


def test_the_preparation_survives_its_journey_and_no_other_is_taken():
    ours = ImageFeatures.of(Picture(28, 28))
    assert ours.components == 1000
    assert len(ours.features) == len(set(ours.names)) == 1000
    text = ours.to_json()
    assert read_preparation(text) == ours
    assert read_preparation(text).sha256 == ours.sha256
    document = json.loads(text)
    for wrong in (
        text.replace("[2,8]", "[3,8]"),
        text.replace("1000", "10000000"),
        text.replace("[28,28]", "[28,100000000]"),
        text.replace("[28,28]", '[28,"28"]'),
        text.replace("[28,28]", "[2,2]"),
        text.replace("[28,28]", "28"),
        json.dumps({**document, "more": 1}),
        '{"image"',
    ):
        assert wrong != text
        with pytest.raises(DataError):
            read_preparation(wrong)


def test_an_image_with_few_numbers_has_no_more_components():
    few = ImageFeatures.of(Picture(5, 5))
    assert few.components == np.prod(Scattering(5, 5).shape) < 1000


def test_the_public_preparation_of_images_is_asked_of_nobody():
    schema = Schema(image=Picture(28, 28))
    for private in (False, True):
        assert public_preparation(schema, private) == ImageFeatures.of(Picture(28, 28))
    table = Schema((Column("age", "number", "age", "years", 0, 100),))
    assert type(public_preparation(table, True)).__name__ == "Bounded"
    assert type(public_preparation(table, False)).__name__ == "Preparation"
    assert schema.sha256 != Schema().sha256 != Schema(image=Picture(28, 29)).sha256
    assert schema.sha256 != Schema(image=Picture(28, 29)).sha256


def test_what_is_no_image_of_this_size_is_refused():
    with pytest.raises(DataError, match=r"takes images of \(8, 8\)"):
        SMALL.apply(rows(images(2, size=9)))
    with pytest.raises(DataError, match="a table cannot be prepared"):
        SMALL.apply(Rows({"age": np.zeros(2)}, np.zeros(2, np.int64)))
    with pytest.raises(DataError, match="are not scattered"):
        ImageFeatures.of(Picture(3000, 3000))


def test_a_design_matrix_is_taken_as_it_is():
    design = SMALL.apply(rows(images(3)))
    assert np.array_equal(SMALL.apply(rows(design)), design)


def test_the_map_is_learnt_once_and_kept(cache, monkeypatch):
    scattering = Scattering(8, 8)
    first = whitening.whitening(scattering, 10)
    (kept,) = cache.iterdir()
    whitening.whitening.cache_clear()
    monkeypatch.setattr(whitening, "learnt", lambda *_: pytest.fail("learnt again"))
    again = whitening.whitening(scattering, 10)
    assert np.array_equal(first.axes, again.axes)
    assert np.array_equal(first.centre, again.centre)
    whitening.whitening.cache_clear()
    monkeypatch.setattr(whitening, "learnt", learnt)
    for damage in (b"", kept.read_bytes()[:1000], b"not an archive"):
        kept.write_bytes(damage)
        whitening.whitening.cache_clear()
        assert np.array_equal(whitening.whitening(scattering, 10).axes, first.axes)


def test_a_folder_that_cannot_be_written_costs_time_only(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("AEGIS_CACHE_DIR", str(cache / "file" / "below"))
    assert whitening.whitening(Scattering(8, 8), 10).axes.shape == (81 * 4, 10)


@pytest.mark.parametrize("count", [50, 400])
def test_the_strongest_axes_of_invented_images_are_evened_out(count):
    found = learnt(Scattering(8, 8), 12, count)
    pixels = invented(count, 8, 8)
    flat = whitening.evened(Scattering(8, 8)(pixels, np.float64))
    turned = found.apply(flat)
    assert np.abs(turned.mean(axis=0)).max() < 1e-10
    together = turned.T @ turned / count
    variances = np.diag(together)
    assert np.abs(together - np.diag(variances)).max() < 1e-8 * variances.max()
    assert np.all(np.diff(variances) < 0)
    # halfway: strengths are drawn to their square roots, give or take the ridge
    singular = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)[:12] ** 2 / count
    expected = singular / np.sqrt(singular + 0.1 * singular.mean())
    assert variances == pytest.approx(expected, rel=1e-6)
    assert np.all((turned**3).sum(axis=0) >= 0)


def test_more_components_than_axes_are_zeros():
    found = learnt(Scattering(8, 8), 30, 20)
    assert found.axes[:, :19].any(axis=0).all()
    assert not found.axes[:, 19:].any()


def test_invented_images_are_the_same_everywhere_and_fall_like_one_over_the_frequency():
    made = invented(40, 28, 28)
    assert made.shape == (40, 28, 28)
    assert made.min() == 0
    assert made.max() == 1
    assert np.array_equal(made[:3], invented(3, 28, 28))
    assert made[0, 5, 7] == pytest.approx(0.5067352641113305, abs=1e-9)
    window = np.hanning(28)[:, None] * np.hanning(28)
    power = np.abs(np.fft.fft2((made - made.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    along = power.mean(axis=0)[0, 2:12]
    slope = np.polyfit(np.log(np.arange(2, 12)), np.log(along), 1)[0]
    assert slope == pytest.approx(-2, abs=0.5)


def test_a_linear_model_takes_as_many_inputs_as_there_are_components():
    class Choice:
        name, hidden, dropout, num_classes = "logistic", None, None, 2

    assert network(Choice(), ImageFeatures.of(Picture(28, 28)).to_json()) == Perceptron(1000)
