"""Signing keys of simulated hospitals: new for each run, pinned among them before it begins.

Keys and masks come from the operating system, as everywhere; only how groups are drawn follows from
the experiment's seed, so that a run can be repeated. The keys lie in the run's own folder, so that
it can be gone on with after a crash; they speak for nobody real.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from aegis.hospital.answers import VolatileAnswers
from aegis.hospital.sealing import Seal
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster

KEYS = "keys.json"


def keys_of_run(results: Path) -> Path:
    """Where a run keeps its hospitals' keys, as long as it lasts."""
    return results / "hospitals" / KEYS


def simulated_keys(names: Iterable[str], folder: Path | None = None) -> dict[str, SigningKey]:
    """A key for each name: those in ``folder`` where a run left them there, else new ones."""
    if folder is None:
        return {name: SigningKey.generate() for name in names}
    path = folder / KEYS
    if path.exists():
        kept = json.loads(path.read_text(encoding="ascii"))
        return {name: SigningKey.from_raw(bytes.fromhex(kept[name])) for name in names}
    keys = {name: SigningKey.generate() for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: key.raw.hex() for name, key in keys.items()}, indent=1)
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    return keys


def simulated_seals(keys: dict[str, SigningKey], seed: int) -> dict[str, Seal]:
    roster = Roster(tuple((name, key.public.raw) for name, key in keys.items()))
    return {
        name: Seal(key, roster, VolatileAnswers(), draw=_draw(seed, name))
        for name, key in keys.items()
    }


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"aegis/simulation/draw {seed} {name}".encode()).digest()
