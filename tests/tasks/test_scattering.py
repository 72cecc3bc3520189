"""Against Kymatio where it is installed, against numbers it gave, and against what is promised."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.tasks.scattering import Scattering, evened

# Kymatio 0.3.0, Scattering2D(2, (28, 28), 8) of PATTERN: per channel its mean and two places.
KYMATIO = {
    0: (0.4618577, 0.3417858, 0.4058902),
    1: (0.0645718, 0.0738911, 0.0447985),
    6: (0.0620518, 0.0499655, 0.0649217),
    9: (0.0325921, 0.0194441, 0.0316216),
    14: (0.0340263, 0.0120072, 0.0414006),
    17: (0.0061834, 0.0041884, 0.0104217),
    40: (0.0054742, 0.0090839, 0.0051758),
    80: (0.0093631, 0.0115387, 0.0094342),
}
_I, _J = np.mgrid[:28, :28]
PATTERN = ((3 * _I * _I + 5 * _J * _J + _I * _J) % 17) / 16


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_numbers_are_those_kymatio_gave(dtype):
    found = Scattering(28, 28)(PATTERN[None], dtype)[0]
    assert found.shape == (81, 7, 7)
    assert found.dtype == dtype
    for channel, (mean, corner, inside) in KYMATIO.items():
        here = found[channel]
        assert (here.mean(), here[0, 0], here[2, 5]) == pytest.approx(
            (mean, corner, inside), abs=2e-6
        )


@pytest.mark.engine
@pytest.mark.parametrize(
    ("shape", "scales", "directions"),
    [((28, 28), 2, 8), ((32, 28), 2, 8), ((40, 33), 3, 4), ((28, 28), 1, 8), ((29, 31), 2, 6)],
)
def test_every_number_is_kymatios(shape, scales, directions, monkeypatch):
    import scipy.special

    monkeypatch.setattr(scipy.special, "sph_harm", None, raising=False)  # gone since scipy 1.17
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pytest.importorskip("kymatio.numpy", reason="kymatio is not installed")
        images = np.random.default_rng(0).random((5, *shape))
        expected = theirs.Scattering2D(scales, shape, directions)(images)
    for dtype in (np.float32, np.float64):
        found = Scattering(*shape, scales, directions)(images, dtype)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5


@given(st.integers(0, 2**32), st.integers(1, 40), st.data())
@settings(max_examples=20, deadline=None)
def test_an_image_becomes_the_same_bits_whoever_is_beside_it(seed, count, data):
    images = np.random.default_rng(seed).random((count, 12, 9))
    scattering = Scattering(12, 9, 2, 4)
    together = scattering(images)
    place = data.draw(st.integers(0, count - 1))
    assert np.array_equal(scattering(images[place : place + 1])[0], together[place])
    turned = scattering(images[::-1])
    assert np.array_equal(turned[::-1], together)


def test_brightness_moves_the_first_channel_only():
    """Waves have no sum: a constant leaves none of them anything."""
    flat = Scattering(28, 28)(np.full((1, 28, 28), 0.7), np.float64)[0]
    assert flat[0] == pytest.approx(0.7, abs=1e-4)
    assert np.abs(flat[1:]).max() < 1e-6
    brighter = Scattering(28, 28)(PATTERN[None] + 0.3, np.float64)[0]
    plain = Scattering(28, 28)(PATTERN[None], np.float64)[0]
    assert np.abs((brighter - plain)[1:]).max() < 1e-6
    assert (brighter - plain)[0] == pytest.approx(0.3, abs=1e-4)


def test_a_stronger_image_scatters_as_much_more():
    one, three = Scattering(28, 28)(np.stack([PATTERN, 3 * PATTERN]), np.float64)
    assert np.abs(three - 3 * one).max() < 1e-12


def test_stripes_are_heard_by_the_wave_that_runs_across_them():
    rows = np.cos(0.75 * np.pi * np.arange(28))[:, None] * np.ones(28)
    first = Scattering(28, 28)(np.stack([rows, rows.T]), np.float64)[:, 1:9].mean(axis=(2, 3))
    assert {int(np.argmax(one)) for one in first} == {3, 7}
    assert np.argmax(first[0]) == 3  # the wave along the first axis


def test_a_small_shift_changes_little():
    rng = np.random.default_rng(1)
    wide = np.cumsum(np.cumsum(rng.normal(size=(30, 30)), 0), 1)
    wide = (wide - wide.min()) / np.ptp(wide)
    here, moved = Scattering(28, 28)(np.stack([wide[:28, :28], wide[1:29, :28]]), np.float64)
    assert np.linalg.norm(here - moved) < 0.15 * np.linalg.norm(here)
    pixels = np.linalg.norm(wide[:28, :28] - wide[1:29, :28]) / np.linalg.norm(wide[:28, :28])
    assert np.linalg.norm(here - moved) / np.linalg.norm(here) < 1.5 * pixels


@pytest.mark.parametrize(
    ("kind", "channels"), [((28, 28), 81), ((28, 28, 1), 9), ((16, 16, 3, 4), 61)]
)
def test_channels_are_counted(kind, channels):
    scattering = Scattering(*kind)
    assert scattering.channels == channels
    assert scattering(np.zeros((2, *kind[:2]))).shape == (2, *scattering.shape)
    assert scattering(np.zeros((0, *kind[:2]))).shape == (0, *scattering.shape)


@pytest.mark.parametrize("kind", [(3, 28), (28, 28, 0), (28, 28, 5), (28, 28, 2, 0)])
def test_what_cannot_be_scattered_is_refused(kind):
    with pytest.raises(BadInput, match="scales"):
        Scattering(*kind)


def test_images_of_another_size_are_refused():
    with pytest.raises(BadInput, match=r"\(n, 28, 28\) is wanted"):
        Scattering(28, 28)(np.zeros((2, 28, 27)))
    with pytest.raises(BadInput, match=r"\(n, 28, 28\) is wanted"):
        Scattering(28, 28)(np.zeros((28, 28)))


def test_evened_channels_have_no_brightness_and_no_contrast_left():
    scattered = Scattering(28, 28)(np.stack([PATTERN, 0.2 * PATTERN + 0.4]), np.float64)
    flat = evened(scattered).reshape(2, 81, 49)
    assert np.abs(flat.mean(axis=2)).max() < 1e-10
    assert flat[0].std(axis=1) == pytest.approx(1, abs=2e-3)
    assert np.abs(flat[0] - flat[1]).max() < 0.03
    nothing = evened(np.zeros((1, 3, 2, 2)))
    assert not nothing.any()
