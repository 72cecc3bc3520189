"""The noise has the law it claims, and nobody can repeat it."""

import multiprocessing
import pickle
import warnings

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from aegis.errors import BadInput
from aegis.privacy import noise as noise_module
from aegis.privacy.noise import GRID, SystemNoise, off_grid, on_grid

DRAWS = 1_000_000
KEY = bytes(range(32))  # statistical tests look at one fixed stream, so they cannot fail by luck


@pytest.fixture
def source():
    return SystemNoise._repeatable_for_tests(KEY)


@pytest.mark.parametrize("sd", [2.0**-20, 0.37, 8.0, 4000.0])
def test_gaussian_noise_on_the_grid_has_its_deviation_and_shape(source, sd):
    noise = off_grid(source.gaussian_on_grid(sd, DRAWS))
    assert noise.std() == pytest.approx(sd, rel=0.01)
    assert abs(noise.mean()) < 4 * sd / DRAWS**0.5
    blur = source.uniforms(DRAWS) - 0.5  # a grid has steps, which the test would see at a small sd
    spread = np.hypot(sd, GRID / 12**0.5)
    assert stats.kstest((noise + blur * GRID) / spread, "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [0, 1, 8193, (3, 5, 7), (4, 20_001)])
def test_noise_is_added_to_whole_steps_in_place(dtype, shape):
    """The same numbers as drawn alone, to the last step; what is not whole is cut off first."""
    rng = np.random.default_rng(5)
    sums = (rng.normal(0, 2.0**22, shape)).astype(dtype)
    before = sums.copy()
    SystemNoise._repeatable_for_tests(KEY).add_gaussian_on_grid(sums, 1.5)
    drawn = SystemNoise._repeatable_for_tests(KEY).gaussian_on_grid(1.5, shape)
    expected = np.trunc(before).astype(np.int64) + drawn
    assert np.array_equal(sums, expected.astype(dtype))


def test_sums_up_to_their_bound_are_noised_exactly(source):
    sums = np.array([2.0**50 - 1, 1 - 2.0**50, 2.0**50 - 2.5])
    apart = sums.astype(np.int64)
    source.add_gaussian_on_grid(sums, 2.0**21)
    assert np.array_equal(sums, np.rint(sums))
    drawn = SystemNoise._repeatable_for_tests(KEY).gaussian_on_grid(2.0**21, 3)
    assert np.array_equal(sums.astype(np.int64) - apart, drawn)
    with pytest.raises(BadInput, match="does not fit the grid"):
        source.add_gaussian_on_grid(sums, 1e-9)
    with pytest.raises(BadInput, match="in one piece"):
        source.add_gaussian_on_grid(np.zeros((4, 4))[:, :2], 1.0)


def test_float_gaussian_noise_has_its_deviation_and_shape(source):
    noise = source.gaussian(0.37, DRAWS)
    assert noise.std() == pytest.approx(0.37, rel=0.01)
    assert stats.kstest(noise / 0.37, "norm").pvalue > 1e-3


def test_neighbouring_numbers_of_one_draw_are_independent(source):
    noise = source.gaussian(1.0, DRAWS)
    for lag in (1, 2, 4096, 8192, 16384, 32768):
        assert abs(np.corrcoef(noise[lag:], noise[:-lag])[0, 1]) < 4.5 / DRAWS**0.5
        assert abs(np.corrcoef(noise[lag:] ** 2, noise[:-lag] ** 2)[0, 1]) < 4.5 / DRAWS**0.5


@pytest.mark.parametrize("on_the_grid", [False, True])
def test_laplace_noise_has_its_scale_and_shape(source, on_the_grid):
    if on_the_grid:
        noise = off_grid(source.laplace_on_grid(2.5, DRAWS))
    else:
        noise = source.laplace(2.5, DRAWS)
    assert np.abs(noise).mean() == pytest.approx(2.5, rel=0.01)
    assert stats.kstest(noise / 2.5, "laplace").pvalue > 1e-3


def test_bits_are_uniform(source):
    counts = np.bincount(source.bits(DRAWS).view(np.uint8), minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.kstest(source.uniforms(DRAWS), "uniform").pvalue > 1e-3


def test_the_stream_is_aes_256_in_counter_mode():
    # GCM's test case 14 (McGrew and Viega): zero key, zero nonce, a zero block.
    words = SystemNoise._repeatable_for_tests(bytes(32)).bits(2)
    assert words.tobytes().hex() == "cea7403d4d606b6e074ec5d3baf39d18"
    counter = bytes(15) + b"\2"
    stream = Cipher(algorithms.AES(KEY), modes.CTR(counter)).encryptor()
    words = SystemNoise._repeatable_for_tests(KEY).bits(100_001)
    assert words.tobytes() == stream.update(bytes(8 * 100_001))


def test_no_key_serves_for_more_than_its_counter_can(source, monkeypatch):
    alone = SystemNoise._repeatable_for_tests(KEY).bits(161)
    monkeypatch.setattr(noise_module, "_KEY_BYTES", 100 * 8)
    source._rekey(KEY)
    words = [source.bits(60), source.bits(60), source.bits(40), source.bits(1)]
    assert np.array_equal(words[0], alone[:60])
    assert not np.isin(np.concatenate(words[1:]), alone).any()
    assert len(np.unique(np.concatenate(words))) == 161


def test_two_sources_never_agree_and_no_seed_matters():
    np.random.seed(16)
    first = SystemNoise().gaussian_on_grid(1.0, 1000)
    np.random.seed(16)
    second = SystemNoise().gaussian_on_grid(1.0, 1000)
    assert np.count_nonzero(first == second) < 5


def test_no_public_name_takes_a_seed_or_a_key():
    with pytest.raises(TypeError):
        SystemNoise(7)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        SystemNoise(seed=7)  # type: ignore[call-arg]


def test_global_random_states_are_left_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    SystemNoise().gaussian(1.0, 100)
    assert np.random.random() == expected


def _child(source, queue):
    queue.put(source.bits(4).tolist())


def test_a_forked_child_does_not_repeat_its_parent():
    source = SystemNoise()
    source.bits(1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(source, queue)) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        for child in children:
            child.start()
    streams = [queue.get(timeout=20) for _ in children]
    for child in children:
        child.join()
    words = [word for stream in [*streams, source.bits(4).tolist()] for word in stream]
    assert len(set(words)) == 12


def test_a_copy_sent_to_another_process_has_a_key_of_its_own(source):
    copy = pickle.loads(pickle.dumps(source))
    assert copy.bits(2).tolist() != SystemNoise._repeatable_for_tests(KEY).bits(2).tolist()


@pytest.mark.parametrize("shape", [0, 1, 3, 8191, 8193, (3, 5, 7)])
def test_every_shape_is_filled(source, shape):
    for draw in (source.gaussian, source.laplace, source.gaussian_on_grid, source.laplace_on_grid):
        noise = draw(1.0, shape)
        assert noise.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert np.count_nonzero(noise) == noise.size


@pytest.mark.parametrize("sd", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_without_a_size_is_refused(source, sd):
    for draw in (source.gaussian, source.laplace, source.gaussian_on_grid, source.laplace_on_grid):
        with pytest.raises(BadInput, match="above 0 and finite"):
            draw(sd, 3)


@pytest.mark.parametrize("sd", [15 * GRID, 2.0**25])
def test_noise_that_does_not_fit_the_grid_is_refused(source, sd):
    with pytest.raises(BadInput, match="does not fit the grid"):
        source.gaussian_on_grid(sd, 3)


@given(hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(-1e9, 1e9)))
@settings(max_examples=200)
def test_going_to_the_grid_never_lengthens_a_vector(values):
    back = off_grid(on_grid(values))
    assert np.all(np.abs(back) <= np.abs(values))
    assert np.all(np.abs(back - values) < GRID)
    assert np.array_equal(off_grid(on_grid(back)), back)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2.0**39])
def test_a_value_beyond_the_grid_is_refused(value):
    with pytest.raises(BadInput, match="grid"):
        on_grid(np.array([0.0, value]))


def test_shares_on_the_grid_add_up_to_the_whole_noise(source):
    shares = source.gaussian_on_grid(0.5, (4, DRAWS // 4))
    whole = off_grid(shares.sum(axis=0))
    assert whole.std() == pytest.approx(1.0, rel=0.01)
    assert stats.kstest(whole, "norm").pvalue > 1e-3
