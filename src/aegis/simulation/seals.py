"""Signing keys of simulated hospitals: new for each run, pinned among them before it begins."""

from __future__ import annotations

from collections.abc import Iterable

from aegis.hospital.sealing import Seal
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster


def simulated_seals(names: Iterable[str]) -> dict[str, Seal]:
    keys = {name: SigningKey.generate() for name in names}
    roster = Roster(tuple((name, key.public.raw) for name, key in keys.items()))
    return {name: Seal.volatile(key, roster) for name, key in keys.items()}
