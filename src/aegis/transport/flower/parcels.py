"""A parcel in Flower's terms: one record per 4 MiB of bytes, each a content-addressed object.

A SuperLink fetches every object of a message by a request of its own, so a small parcel is one
object of bytes below the two that Flower always adds, and a large one is cut so that a broken
upload costs one part. The nonce makes each parcel's objects its own: an object that two messages
share would wait for whichever of the two uploads broke.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flwr.app import RecordDict

PART = 4 * 2**20  # bytes
LARGEST = 512 * 2**20  # bytes in one parcel
MESSAGE_TYPE = "query"
LIFETIME_S = 900.0  # after that a SuperLink forgets a message that nobody fetched


def packed(data: bytes, part: int = PART) -> RecordDict:
    from flwr.app import ConfigRecord, RecordDict

    nonce = os.urandom(8)
    cut = [data[begin : begin + part] for begin in range(0, len(data), part)] or [b""]
    return RecordDict(
        {
            str(number): ConfigRecord(
                {"data": piece, "part": number, "of": len(cut), "nonce": nonce}
            )
            for number, piece in enumerate(cut)
        }
    )


def unpacked(records: Iterable[Mapping[str, Any]]) -> bytes:
    """The parcel of these records, in any order. Raises ``ValueError`` for anything else."""
    found: dict[int, bytes] = {}
    many = set()
    for record in records:
        data, number, of = record.get("data"), record.get("part"), record.get("of")
        if not (isinstance(data, bytes) and isinstance(number, int) and isinstance(of, int)):
            raise ValueError("a record that is no part of a parcel")
        found[number] = data
        many.add(of)
    if many != {len(found)} or found.keys() != set(range(len(found))):
        raise ValueError("parts of a parcel are missing")
    return b"".join(found[number] for number in sorted(found))
