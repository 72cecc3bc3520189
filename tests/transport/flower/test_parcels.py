"""Bytes in, the same bytes out, in whatever order the parts come."""

import random

import pytest

pytest.importorskip("flwr")

from hypothesis import given
from hypothesis import strategies as st

from aegis.transport.flower.parcels import packed, unpacked


@given(st.binary(max_size=300), st.integers(1, 50), st.randoms())
def test_a_parcel_comes_out_as_it_went_in(data: bytes, part: int, chance: random.Random) -> None:
    records = list(packed(data, part).config_records.values())
    chance.shuffle(records)
    assert unpacked(records) == data


def test_a_small_parcel_is_one_record() -> None:
    assert len(packed(b"small").config_records) == 1


def test_two_parcels_of_equal_bytes_share_no_object() -> None:
    from aegis.transport.flower import compat

    one, other = (set(compat.get_all_nested_objects(packed(b"equal"))) for _ in range(2))
    assert not one & other


@pytest.mark.parametrize(
    "spoil",
    [
        lambda records: records[:-1],
        lambda records: records + records[:1] + [{"data": b"", "part": 9, "of": 3}],
        lambda records: [{"weights": 1.0}],
        lambda records: [{"data": b"", "part": 0, "of": 1 << 60}],
        lambda records: [{"data": b"", "part": 0, "of": 0}],
        lambda records: [],
    ],
)
def test_what_is_no_whole_parcel_is_refused(spoil) -> None:
    records = [dict(record) for record in packed(bytes(9), 3).config_records.values()]
    with pytest.raises(ValueError, match="part"):
        unpacked(spoil(records))


@pytest.mark.parametrize(
    "content", [b"", b"x", b"ConfigRecord 3\0abc", b"ConfigRecord 3\0\xff\xff\xff"]
)
def test_what_is_no_record_is_told_by_one_error(content) -> None:
    """The library has several of its own for it; one that passes would end the node's thread."""
    from aegis.transport.flower.node import _record

    with pytest.raises(ValueError, match="no record"):
        _record(content)
