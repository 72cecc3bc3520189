"""Envelopes at a receiver's door: from the road, and from a member who signs what is wrong.

A case that begins with a mark is a header and a payload, which are then rightly signed and sealed
by a hospital of the federation; any other is taken as it came.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from random import Random
from typing import Any

from aegis import codec
from aegis.identity.keys import SigningKey
from aegis.transport.envelope import DOMAIN, Expected, _info
from tests.fuzz import codecs
from tests.fuzz.harness import Harness, replay, scratch
from tests.fuzz.mutations import changed, of_bytes, one_of
from tests.transport.parties import REFUSAL, UPDATE, Parties, update

MARK, MOST_HEADER = b"SIGN", 2**16 - 1
ROUND = Expected((UPDATE, REFUSAL), "mercy", "run", 3, 0)


@cache
def parties() -> Parties:
    return Parties(scratch())


@cache
def seeds() -> list[bytes]:
    found = [parties()["mercy"].seal(update(), "desk", (UPDATE, REFUSAL)) for _ in range(2)]
    length = int.from_bytes(found[1][4:6], "big")
    header = found[1][6 : 6 + length]
    body = codec.dumps(update(), salt=bytes(32))
    return [found[0], MARK + length.to_bytes(2, "big") + header + body]


def of_header(rng: Random, data: bytes, seeds: Any) -> bytes:
    data = data if data.startswith(MARK) else seeds[1]
    head, body = _apart(data)
    try:
        head = json.dumps(
            changed(rng, json.loads(head)), sort_keys=True, separators=(",", ":")
        ).encode()[:MOST_HEADER]
    except (ValueError, RecursionError):
        return of_bytes(rng, data, seeds)
    return MARK + len(head).to_bytes(2, "big") + head + body


def of_payload(rng: Random, data: bytes, seeds: Any) -> bytes:
    data = data if data.startswith(MARK) else seeds[1]
    head, body = _apart(data)
    return MARK + len(head).to_bytes(2, "big") + head + codecs.HARNESS.mutate(rng, body, [body])


def _apart(data: bytes) -> tuple[bytes, bytes]:
    end = 6 + int.from_bytes(data[4:6], "big")
    return data[6:end], data[end:]


def signed(head: bytes, body: bytes) -> bytes:
    """Under a number that was never seen, where the header can be read at all."""
    try:
        fields = json.loads(head)
        fields["seq"] = parties()["mercy"].numbers.next() if fields["seq"] == 2 else fields["seq"]
        fields["payload_sha256"] = hashlib.sha256(body).hexdigest()
        head = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()[:MOST_HEADER]
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    sealed = parties()["desk"].identity.public.sealing.encrypt(_info(head), body)
    signing: SigningKey = parties()["mercy"].identity.signing
    signature = signing.sign(DOMAIN, head + hashlib.sha256(sealed).digest())
    return b"AEGS" + len(head).to_bytes(2, "big") + head + signature + sealed


def take(data: bytes) -> object:
    if data.startswith(MARK):
        data = signed(*_apart(data))
    return parties()["desk"].unseal(data, ROUND)


HARNESS = Harness("envelopes", take, seeds, one_of(of_header, of_payload, of_bytes))

if __name__ == "__main__":
    replay(HARNESS)
