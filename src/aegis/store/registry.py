"""The registry: every model version under the hash of its bytes, with a card that says whence.

A version is two files, ``models/HASH.safetensors`` and ``models/HASH.json``, and a row in the
database. The file is written whole before the row that names it. A name may be shortened to any
unambiguous beginning of at least four characters, or be a run's name.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.errors import BadInput, CheckFailed
from aegis.store.home import Home, write_whole
from aegis.store.journal import Journal
from aegis.tasks.bounded import Prepared, read_preparation
from aegis.tasks.models import Perceptron, model_bytes

LEAST = 4


@dataclass(frozen=True)
class Version:
    sha256: str
    run: str
    task: str
    created: str
    card: dict[str, Any]

    @property
    def model(self) -> Perceptron:
        shape = self.card["model"]
        return Perceptron(shape["inputs"], tuple(shape["hidden"]), tuple(shape["dropout"]))

    @property
    def preparation(self) -> Prepared:
        return read_preparation(self.card["preparation"])


class Registry:
    def __init__(self, home: Home, journal: Journal) -> None:
        self._home, self._journal = home, journal

    def path(self, sha256: str) -> Path:
        return self._home.models / f"{sha256}.safetensors"

    def save(
        self, run: str, task: str, model: Perceptron, weights: Any, card: dict[str, Any]
    ) -> str:
        """Store a version and return its hash; saving the same bytes again changes nothing."""
        data = model_bytes(model, weights)
        sha256 = hashlib.sha256(data).hexdigest()
        shape = {
            "inputs": model.inputs,
            "hidden": list(model.hidden),
            "dropout": list(model.dropout),
            "parameters": model.size,
        }
        text = json.dumps({"sha256": sha256, **card, "model": shape}, indent=1, sort_keys=True)
        for known, _, _, _, first in self._journal.models():
            text = first if known == sha256 else text
        write_whole(self.path(sha256), data)
        write_whole(self.path(sha256).with_suffix(".json"), text.encode())
        self._journal.add_model(sha256, run, task, text)
        return sha256

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        return [
            Version(sha256, run, task, created, json.loads(card))
            for sha256, run, task, created, card in self._journal.models()
        ]

    def find(self, name: str) -> Version:
        """The version with this hash, beginning of a hash, or run (its latest version)."""
        versions = self.versions()
        of_run = [version for version in versions if version.run == name]
        if of_run:
            return of_run[-1]
        found = [v for v in versions if len(name) >= LEAST and v.sha256.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadInput(f"{name} begins {len(found)} hashes", "one more character may do")
        raise BadInput(
            f"no model version or run is called {name}",
            f"the registry holds {len(versions)} versions",
            "See: aegis models list",
        )

    def load(self, version: Version) -> Any:
        """The weights of a version, flat; its bytes are checked against its hash."""
        from safetensors.numpy import load

        return version.model.flat(load(self.verified_bytes(version)))

    def verified_bytes(self, version: Version) -> bytes:
        path = self.path(version.sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CheckFailed(
                f"the file of version {version.sha256[:12]} cannot be read ({error.strerror})",
                way_out="Restore it: aegis models restore",
            ) from error
        if (found := hashlib.sha256(data).hexdigest()) != version.sha256:
            raise CheckFailed(
                f"the file of version {version.sha256[:12]} has the hash {found[:12]}",
                "it was changed or damaged",
            )
        return data
