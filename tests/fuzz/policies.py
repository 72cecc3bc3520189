"""A hospital's policy (TOML) with its signature, and the choices beside its table (YAML).

A case is three texts between lines of dashes; where the first was changed, half of the cases are
signed again, so that more than the signature is looked at.
"""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

from aegis.errors import AegisError
from aegis.hospital.policy_file import PolicyFile, parse_policy, sign_policy, signature_path
from aegis.identity.keys import SigningKey
from aegis.operations.hospital.folder import policy_text
from aegis.operations.hospital.policies import for_public_data, strict
from aegis.tasks.tables.choices import read_choices
from tests.fuzz.harness import Harness, in_file, replay, scratch
from tests.fuzz.mutations import text

KEY = SigningKey.from_raw(bytes(range(32)))
GAP = b"\n-----\n"
CHOICES = b"""missing: [-9, unknown]
take: shared
leave_out: [ward]
columns:
  age: {low: 0, high: 120, unit: years}
  sex: {categories: [female, male], description: "as told"}
  glucose: {missing: [0]}
"""
ROOT = Path(__file__).parents[2]


@cache
def seeds() -> list[bytes]:
    texts = [policy_text("north", one).encode() for one in (strict("heart"), for_public_data())]
    texts.append((ROOT / "config" / "policy.toml").read_bytes())
    found = [GAP.join((written, _signature(written), CHOICES)) for written in texts]
    return [*found, GAP.join((texts[0], b"", b"keep: &a {k: v}\nmissing: {k: *a, m: *a}\n"))]


def _signature(written: bytes) -> bytes:
    path = in_file(written, "signing.toml")
    try:
        sign_policy(path, "north", KEY)
    except AegisError:
        return b"{}"
    return signature_path(path).read_bytes()


def take(data: bytes) -> object:
    written, signature, choices = ([*data.split(GAP), b"", b""])[:3]
    path = in_file(written, "policy.toml")
    in_file(signature, signature_path(path).name)
    found = PolicyFile(path, "north", KEY.public).current()
    in_file(choices, "choices/columns.yaml")
    for attempt in (
        lambda: parse_policy(written, "policy.toml", "north"),
        lambda: sign_policy(path, "north", KEY),
        lambda: read_choices(scratch() / "choices" / "table.csv"),
    ):
        with contextlib.suppress(AegisError):
            attempt()
    return found


HARNESS = Harness("policies", take, seeds, text)

if __name__ == "__main__":
    replay(HARNESS)
