"""A full round of four hospitals with known random bytes: every message, byte for byte.

After a change of the protocol that is meant: ``python -m tests.secagg.test_known_answer`` writes
the digests anew, and the context's version has to change with them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from aegis import codec
from aegis.secagg import Encoding, Slot, combiner, complete, groups
from tests.secagg.sealed import Federation, entropy_of

KNOWN = Path(__file__).with_name("known_answer.json")
TOPOLOGIES = {"complete": complete(), "groups": groups(3)}
CASES = [(kind, bits) for kind in TOPOLOGIES for bits in (64, 32)]


def digests(kind: str, bits: int) -> dict[str, str]:
    """Of every request and answer, in their order; hospital h001 is lost after sharing."""
    encoding = Encoding((Slot("update", 5, 4.0, 16), Slot("rows", 1, 100.0, 0)), 4, bits)
    federation = Federation(
        4,
        TOPOLOGIES[kind],
        entropy=lambda name: entropy_of(f"known {name}"),
        options={"encoding": encoding},
    )
    vectors = {
        name: encoding.encode({"update": np.arange(5) / 8 - number, "rows": np.array([number])})
        for number, name in enumerate(federation.names)
    }
    found: dict[str, str] = {}

    def note(about: str, stage: str, name: str, message: object) -> object:
        digest = hashlib.sha256(codec.dumps(message)).hexdigest()
        found[f"{stage} {name} {about}"] = digest
        return message

    opening = federation.run(
        vectors,
        [[], [], ["h001"], [], []],
        asked=lambda stage, name, message: note("asked", stage, name, message),
        said=lambda stage, name, message: note("said", stage, name, message),
    )
    for name, request in combiner.requests(opening).items():
        note("asked", "open", name, request)
        note("said", "open", name, federation.answer(name, request, {}))
    found["sums"] = hashlib.sha256(b"".join(g.total.tobytes() for g in opening.groups)).hexdigest()
    return found


@pytest.mark.parametrize(("kind", "bits"), CASES)
def test_every_message_of_a_known_round_is_what_it_always_was(kind, bits):
    known = json.loads(KNOWN.read_text())[f"{kind} {bits}"]
    found = digests(kind, bits)
    assert found == known
    assert len(found) == 2 * (4 + 4 + 3 + 3 + 3 + 3) + 1


if __name__ == "__main__":
    everything = {f"{kind} {bits}": digests(kind, bits) for kind, bits in CASES}
    KNOWN.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
