"""Pictures as grey values: what is read, what is refused, and by which rule sizes become one."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aegis.errors import DataError
from aegis.tasks.folders import raster
from aegis.tasks.folders.raster import decode, encode, squared
from tests.tasks.pictures import bomb, jpeg, png, striped

GREY = striped(1, True)


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def test_grey_values_of_8_bits_are_taken_as_they_are():
    found = decode(png(GREY))
    assert np.array_equal(found.grey, GREY)
    assert (found.bits, found.synthetic) == (8, "")
    assert np.array_equal(squared(found.grey, 40), GREY)


def test_colours_become_luminance():
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[..., 1] = 200
    assert np.array_equal(decode(png(colours)).grey, np.full((8, 8), round(0.587 * 200)))
    palette = Image.fromarray(GREY).convert("P")
    assert np.array_equal(decode(saved(palette)).grey, GREY)
    assert np.array_equal(decode(saved(Image.fromarray(GREY > 128))).grey, (GREY > 128) * 255)
    see_through = np.dstack([GREY, GREY, GREY, GREY])
    assert np.abs(decode(png(see_through)).grey.astype(int) - GREY).max() <= 1


def test_a_jpeg_is_read_upright_and_whatever_its_colours():
    wide = striped(3, False, 40, height=20)
    assert np.abs(decode(jpeg(wide, quality=98)).grey.astype(int) - wide).mean() < 4
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode(jpeg(wide, exif=turned)).grey.shape == (40, 20)
    assert decode(saved(Image.fromarray(wide).convert("CMYK"), "JPEG")).grey.shape == (20, 40)


def test_a_deeper_picture_is_spread_over_its_own_range():
    deep = (GREY.astype(np.uint16) * 11 + 300).astype(np.uint16)
    found = decode(png(deep))
    assert found.bits == 16
    low, high = GREY.min(), GREY.max()
    spread = (GREY.astype(float) - low) * 255 / (high - low)
    assert np.abs(squared(found.grey, 40) - spread).max() <= 0.51
    assert not squared(decode(png(np.full((9, 9), 77, np.uint16))).grey, 9).any()


@given(st.integers(4, 70), st.integers(4, 70), st.integers(16, 48))
@settings(max_examples=60, deadline=None)
def test_the_middle_square_is_taken_whatever_lies_beside_it(height, width, side):
    rng = np.random.default_rng(height * 71 + width)
    picture = rng.integers(0, 256, (height, width), dtype=np.uint8)
    found = squared(picture, side)
    assert found.shape == (side, side)
    assert found.dtype == np.uint8
    short = min(height, width)
    other = np.full_like(picture, 9)
    top, left = (height - short) // 2, (width - short) // 2
    middle = np.s_[top : top + short, left : left + short]
    other[middle] = picture[middle]
    assert np.array_equal(squared(other, side), found)
    if short == side:
        assert np.array_equal(found, picture[middle])


def test_a_bomb_is_refused_by_its_header(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("memory was taken"))
    for data in (bomb(), bomb(9_000, 9_000), bomb(2**31 - 1, 2**31 - 1)):
        assert len(data) < 3000
        with pytest.raises(DataError, match=r"pixels|truncated or damaged"):
            decode(data)


@pytest.mark.parametrize("cut", [9, 20, 40, 100, -30, -1])
def test_a_truncated_picture_is_refused(cut):
    for data in (png(striped(1, True, 200)), jpeg(striped(1, True, 200))):
        if cut == -1 and data.startswith(raster.PNG):
            continue  # the last byte is a checksum's, behind the picture
        with pytest.raises(DataError, match="truncated or damaged"):
            decode(data[:cut])


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_no_bytes_at_all_make_it_fail_otherwise(noise, at):
    whole = png(GREY)
    for data in (raster.PNG + noise, raster.JPEG + noise, whole[:at] + noise + whole[at + 5 :]):
        with suppress(DataError):
            assert decode(data).grey.ndim == 2


def test_what_is_no_still_picture_of_some_size_is_refused():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    moving = saved(frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="a moving picture"):
        decode(moving)
    with pytest.raises(DataError, match="3 x 40 pixels; 4 each way"):
        decode(png(GREY[:, :3]))


def test_an_invented_picture_says_so_itself():
    said = "SYNTHETIC pictures"
    assert decode(encode(GREY, said)).synthetic == said
    assert decode(encode(GREY, "a patient")).synthetic == ""
    assert decode(encode(np.dstack([GREY] * 3))).grey.shape == GREY.shape
