"""Signed notes, checkpoints and keys of notes: what a coordinator sends its witnesses."""

from __future__ import annotations

import base64
import contextlib
from functools import cache
from random import Random
from typing import Any

from aegis.errors import AegisError
from aegis.hospital.witness import LogWitness
from aegis.identity.keys import SigningKey
from aegis.messages import Witness
from aegis.store.checkpoint import Checkpoint, origin, read
from aegis.store.note import Verifier, cosigned, line, seconds_of, signed
from tests.fuzz.harness import Harness, replay
from tests.fuzz.mutations import of_bytes, of_lines, of_words, one_of

KEY, MERCY = SigningKey.from_raw(bytes(32)), SigningKey.from_raw(bytes(range(32)))


@cache
def seeds() -> list[bytes]:
    first = Checkpoint(origin("run"), 1, bytes(32))
    later = Checkpoint(origin("run"), 5, bytes(range(32)), bytes(32))
    notes = [str(signed(one.text, one.origin, KEY)) for one in (first, later)]
    notes.append(notes[1] + line(cosigned(later.text, "mercy", MERCY, 1000)))
    return [*(one.encode() for one in notes), str(Verifier("mercy", MERCY.public)).encode()]


def of_signature(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Other bytes behind base 64 that is right."""
    head, gap, last = data.rstrip(b"\n").rpartition(b" ")
    try:
        raw = of_bytes(rng, base64.b64decode(last), [last])[:3000]
    except ValueError:
        return of_bytes(rng, data, seeds)
    return head + gap + base64.b64encode(raw) + b"\n"


def take(data: bytes) -> object:
    text = data.decode("utf-8", "surrogateescape")  # as a careless reader of a file would
    with contextlib.suppress(AegisError):
        Verifier.parse(text)
    request = Witness("run", "plan", 1, text, 0, ())
    with contextlib.suppress(AegisError):
        LogWitness("mercy", MERCY, KEY.public, clock=lambda: 1000).cosign(request)
    note, found = read(text, "run")
    verifier = Verifier(found.origin, KEY.public)
    return note.signed(verifier), [seconds_of(one) for one in note.signatures]


HARNESS = Harness("notes", take, seeds, one_of(of_signature, of_words, of_lines, of_bytes))

if __name__ == "__main__":
    replay(HARNESS)
