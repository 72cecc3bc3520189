"""An envelope's frame: its bytes, as a stranger may read them, and nothing believed yet.

    "AEGS" | length of header (2 bytes) | header | signature (64) | sealed payload

The header is canonical JSON: what reads as a header but would be written otherwise is none, so that
each header has one form that can be signed. A length is held before what it measures is looked at.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields

from aegis.errors import EnvelopeRefused
from aegis.identity.identity import canonical

MAGIC = b"AEGS"
LARGEST_HEADER = 4096
OVERHEAD = len(MAGIC) + 2 + LARGEST_HEADER + 64 + 1200 + 16
_TEXT, _NUMBER = 200, 2**53


@dataclass(frozen=True, slots=True)
class Header:
    """``expiry`` is UTC seconds. Both digests are in hexadecimal."""

    version: int
    run: str
    round: int
    attempt: int
    stage: str
    src: str
    dst: str
    seq: int
    expiry: int
    payload_sha256: str
    schema_sha256: str

    def to_bytes(self) -> bytes:
        return canonical({field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Raises ``EnvelopeRefused`` unless these are exactly the bytes ``to_bytes`` gives."""
        try:
            found = json.loads(data)
            header = cls(**found)
        except (ValueError, TypeError, RecursionError) as error:
            raise EnvelopeRefused("header", "the header cannot be read") from error
        for field in fields(cls):
            value = getattr(header, field.name)
            if field.type == "int":
                fine = type(value) is int and 0 <= value <= _NUMBER
            else:
                fine = type(value) is str and 0 < len(value) <= _TEXT and value.isprintable()
            if not fine:
                raise EnvelopeRefused("header", f"the header's {field.name} is {value!r:.60}")
        if header.to_bytes() != data:
            raise EnvelopeRefused("header", "the header is not written in the one agreed way")
        return header


@dataclass(frozen=True, slots=True)
class Envelope:
    """Framed, and not yet believed."""

    header: Header
    header_bytes: bytes
    sealed: bytes | memoryview
    signature: bytes = b""

    @property
    def signed(self) -> bytes:
        return self.header_bytes + hashlib.sha256(self.sealed).digest()

    def to_bytes(self) -> bytes:
        length = len(self.header_bytes).to_bytes(2, "big")
        return b"".join((MAGIC, length, self.header_bytes, self.signature, self.sealed))

    @classmethod
    def from_bytes(cls, data: bytes, limit: int) -> Envelope:
        """``limit`` in bytes is held before anything is looked at."""
        if len(data) > limit:
            raise EnvelopeRefused(
                "too_large", f"an envelope of {len(data)} bytes", f"at most {limit} were expected"
            )
        begin = len(MAGIC) + 2
        if data[: len(MAGIC)] != MAGIC or len(data) < begin:
            raise EnvelopeRefused("truncated", "these bytes are no envelope")
        end = begin + int.from_bytes(data[len(MAGIC) : begin], "big")
        if end - begin > LARGEST_HEADER:
            raise EnvelopeRefused(
                "header", f"a header of {end - begin} bytes", f"at most {LARGEST_HEADER}"
            )
        if len(data) <= end + 64:
            raise EnvelopeRefused("truncated", f"an envelope that ends after {len(data)} bytes")
        head = data[begin:end]
        return cls(
            Header.from_bytes(head), head, memoryview(data)[end + 64 :], data[end : end + 64]
        )
