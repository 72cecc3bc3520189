"""Bytes that claim to be a message: one safetensors file with the document in its header."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any, get_args

import numpy as np

from aegis import codec
from aegis.messages import (
    Absence,
    Cosigned,
    Refusal,
    Reply,
    Request,
    Settled,
    Train,
    Update,
    Witness,
)
from aegis.messages.learning import Sharing
from aegis.transport.forms import REQUESTS, replies_to
from aegis.transport.schemas import misfit
from tests.fuzz.harness import Harness, replay
from tests.fuzz.mutations import changed, of_bytes, one_of

CLASSES = (*get_args(Request), *get_args(Reply), Absence, Sharing)
NUMBERS = np.linspace(-1, 1, 7, dtype=np.float32)
TRAIN = Train("run", "0" * 64, 3, NUMBERS, 0.1, 200, 2)
MESSAGES = (
    TRAIN,
    Update("run", 3, "mercy", NUMBERS, 100, metrics={"loss": 0.5}, control=NUMBERS),
    Refusal("run", 3, "mercy", "it says no"),
    Witness("run", "p" * 64, 3, "a note", 2, (bytes(32), bytes(32)), b"entry", 4, (bytes(32),)),
    Cosigned("run", 3, "mercy", "a line", 5),
    Settled("run", 3, "mercy", ('{"event":"GaussianRelease"}',), 7, "0" * 64),
)
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", "", 5)


@cache
def seeds() -> list[bytes]:
    return [codec.dumps(one, salt=bytes(8)) for one in MESSAGES]


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file as its header and the rest. Raises ``ValueError``."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, data[8 + length :]


def closed(header: Any, rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def of_header(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Other tensors in a header whose length fits."""
    try:
        header, rest = opened(data)
    except (ValueError, RecursionError):
        return of_bytes(rng, data, seeds)
    if rng.random() < 0.3 and isinstance(one := header.get("0"), dict):
        one[rng.choice(("dtype", "shape", "data_offsets"))] = rng.choice(
            (*DTYPES, [], [0], [-1], [1 << 62, 4], [4, 1 << 62], [2**64], [[7]], [0, 10**30])
        )
        return closed(header, rest)
    return closed(changed(rng, header), rest)


def of_document(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Another document in a header and beside tensors that are whole."""
    try:
        header, rest = opened(data)
        document = json.loads(header["__metadata__"]["document"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return of_header(rng, data, seeds)
    header["__metadata__"]["document"] = json.dumps(changed(rng, document))
    return closed(header, rest)


def take(data: bytes) -> object:
    found = codec.loads(data, CLASSES)
    for form in (*REQUESTS, *replies_to(TRAIN)):
        misfit(found, form)
    return found


HARNESS = Harness("codecs", take, seeds, one_of(of_document, of_document, of_header, of_bytes))

if __name__ == "__main__":
    replay(HARNESS)
