import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.tasks.bounded import public_preparation, read_preparation
from aegis.tasks.pixels import Pixels
from aegis.tasks.task import Picture, Rows, Schema

SIZE = Picture(8, 12)


def rows(images):
    return Rows(images, np.zeros(len(images), np.int64))


def test_black_is_minus_two_and_white_is_two():
    images = np.zeros((2, 8, 12), np.uint8)
    images[1] = 255
    found = Pixels(SIZE).apply(rows(images))
    assert found.shape == (2, 96)
    assert found.dtype == np.float32
    assert (found[0] == -2).all()
    assert (found[1] == 2).all()
    assert Pixels(SIZE).apply(rows(found)) is found


@pytest.mark.parametrize("shape", [(2, 12, 8), (2, 95), (2, 8, 12, 2)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(DataError, match="8 x 12 pixels"):
        Pixels(SIZE).apply(rows(np.zeros(shape, np.uint8)))


def test_a_table_is_refused():
    with pytest.raises(DataError, match="a table cannot be prepared"):
        Pixels(SIZE).apply(Rows({"age": np.zeros(2)}, np.zeros(2, np.int64)))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_written_is_read_back(height, width, total, ill):
    prepared = Pixels.of(Picture(height, width), total, min(ill, total))
    assert read_preparation(prepared.to_json()) == prepared
    assert (prepared.odds is None) == (total == 0)


def test_odds_are_those_of_all_patients():
    assert Pixels.of(SIZE, 100, 50).odds == 0
    assert Pixels.of(SIZE, 108, 8).odds == pytest.approx(np.log(9 / 101), abs=1e-6)
    assert public_preparation(Schema(image=SIZE), False, pixels=True) == Pixels(SIZE)


@pytest.mark.parametrize(
    "document",
    [
        {"pixels": [8, 0], "odds": None},
        {"pixels": [8, True], "odds": None},
        {"pixels": [8, 12]},
        {"pixels": [8, 12], "odds": 1e9},
        {"pixels": [8, 12], "odds": 3},
        {"pixels": [100_000, 100_000], "odds": None},
        {"pixels": "ab", "odds": None},
        {"pixels": [8, 12], "odds": None, "more": 1},
    ],
)
def test_anything_else_is_refused(document):
    with pytest.raises(DataError, match="preparation"):
        read_preparation(json.dumps(document, separators=(",", ":")))
