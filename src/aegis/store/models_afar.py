"""Versions of the registry in an object store, under the names they have here.

models/HASH.safetensors   written first, read back and compared with its hash
models/HASH[.RUN].json    its card, written afterwards: where a card is, the weights are sound
"""

from __future__ import annotations

import hashlib

from aegis.errors import AegisError
from aegis.store.objects import Objects
from aegis.store.registry import Registry, Version

UNDER = "models/"


def push(registry: Registry, version: Version, objects: Objects) -> bool:
    """Carry a version to the store; whether anything had to be sent. Raises ``CheckFailed`` where
    its files are damaged here, ``RunAborted`` where the store fails."""
    registry.verify(version)
    card, weights = registry.card_path(version), registry.path(version.sha256)
    key, data = UNDER + card.name, version.text.encode()
    sizes = objects.sizes(UNDER + version.sha256)
    there = sizes.get(UNDER + weights.name) == weights.stat().st_size
    if there and sizes.get(key) == len(data):
        if objects.digest(key) == hashlib.sha256(data).hexdigest():
            return False
        objects.remove(key)
    objects.put_file(UNDER + weights.name, weights, version.sha256)
    objects.put(key, data)
    return True


def find(objects: Objects, name: str) -> bytes | None:
    """A model's file by its name, where the store has it; else None. Its hash is the caller's to
    compare."""
    try:
        return objects.get(UNDER + name)
    except AegisError:
        return None
