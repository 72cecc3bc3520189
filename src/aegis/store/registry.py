"""The registry: every version a run has stored, under the hash of its bytes, with a card.

    models/HASH.safetensors          the weights
    models/HASH.json                 the card of the first run that came to these bytes
    models/HASH.RUN.json             the card of a later run that came to the very same
    backups/models/                  a second copy of each file

Files are written whole before the row that names them. A version may be called by its number
(``v3``), the hash or any unambiguous beginning of at least four characters, or its run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.errors import BadInput, CheckFailed
from aegis.states import Terminated
from aegis.store.home import Home, write_whole
from aegis.store.journal import Journal, StoredModel
from aegis.tasks.bounded import Prepared, read_preparation
from aegis.tasks.models import Model, described, from_description, model_bytes

LEAST = 4

Source = tuple[str, Callable[[str], bytes | None]]
"""Where lost bytes may be found again: a name, and a look-up by file name."""


@dataclass(frozen=True)
class Version:
    """``text`` is the card as it was stored, byte for byte; ``first`` whether no earlier version
    has the same weights."""

    number: int
    sha256: str
    run: str
    task: str
    created: str
    text: str
    first: bool = True

    @property
    def card(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def name(self) -> str:
        return f"v{self.number}"

    @property
    def model(self) -> Model:
        return shape_of(self.card)

    @property
    def preparation(self) -> Prepared:
        return read_preparation(self.card["preparation"])


def shape_of(card: dict[str, Any]) -> Model:
    """The network that a card describes."""
    return from_description(card["model"])


class Registry:
    def __init__(self, home: Home, journal: Journal) -> None:
        self.home, self.journal = home, journal

    def path(self, sha256: str) -> Path:
        return self.home.models / f"{sha256}.safetensors"

    def card_path(self, version: Version) -> Path:
        middle = "" if version.first else f".{version.run}"
        return self.home.models / f"{version.sha256}{middle}.json"

    def save(self, run: str, task: str, model: Model, weights: Any, card: dict[str, Any]) -> str:
        """Store a version and return its hash. A run that stores the same bytes again changes
        nothing. Raises ``RunAborted`` where the disk does not take it."""
        data = model_bytes(model, weights)
        sha256 = hashlib.sha256(data).hexdigest()
        whole = {"sha256": sha256, **card, "model": described(model)}
        text = json.dumps(whole, indent=1, sort_keys=True, allow_nan=False)
        known = [version for version in self.versions() if version.sha256 == sha256]
        own = next((version for version in known if version.run == run), None)
        if own is None:
            own = Version(0, sha256, run, task, "", text, not known)
        for path, content in ((self.path(sha256), data), (self.card_path(own), own.text.encode())):
            write_whole(path, content)
            write_whole(self._copy(path.name), content)
        self.journal.add_model(sha256, run, task, own.text)
        return sha256

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        seen: set[str] = set()
        found = []
        for stored in self.journal.models():
            found.append(_version(stored, stored.sha256 not in seen))
            seen.add(stored.sha256)
        return found

    def find(self, name: str) -> Version:
        """The version with this number, hash, beginning of a hash, or run (its latest version); of
        several with the same weights, the first."""
        versions = self.versions()
        for exact in (
            [version for version in versions if version.name == name],
            [version for version in versions if version.run == name],
        ):
            if exact:
                return exact[-1]
        found = [v for v in versions if len(name) >= LEAST and v.sha256.startswith(name)]
        hashes = {version.sha256 for version in found}
        if len(hashes) == 1:
            return found[0]
        if found:
            raise BadInput(f"{name} begins {len(hashes)} hashes", "one more character may do")
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
                way_out=f"Restore it: aegis models restore {version.name}",
            ) from error
        if (found := hashlib.sha256(data).hexdigest()) != version.sha256:
            raise CheckFailed(
                f"the file of version {version.sha256[:12]} has the hash {found[:12]}",
                "it was changed or damaged",
                f"Restore it: aegis models restore {version.name}",
            )
        return data

    def verify(self, version: Version) -> None:
        """Raises ``CheckFailed`` unless weights and card have the bytes they were stored with."""
        self.verified_bytes(version)
        path = self.card_path(version)
        if not path.exists() or path.read_bytes() != version.text.encode():
            raise CheckFailed(
                f"the card of version {version.sha256[:12]} is not the one that was stored",
                f"{path.name} was changed, damaged or deleted",
                f"Restore it: aegis models restore {version.name}",
            )

    def restore(self, version: Version, sources: Sequence[Source] = ()) -> str:
        """Bring a version's files back, byte for byte, and say from where: the copy, ``sources``
        (snapshots), or the state with which its run ended. What is there and damaged is moved
        aside. Raises ``CheckFailed`` where nobody has the bytes any more."""
        path = self.path(version.sha256)
        places: list[Source] = [("the copy in backups/models", self._copied), *sources]
        places.append(("the state in which its run ended", lambda name: self._ended(version)))
        for place, look in places:
            data = look(path.name)
            if data is None or hashlib.sha256(data).hexdigest() != version.sha256:
                continue
            _aside(path, data)
            write_whole(path, data)
            write_whole(self._copy(path.name), data)
            card = self.card_path(version)
            _aside(card, version.text.encode())
            write_whole(card, version.text.encode())
            return place
        raise CheckFailed(
            f"no intact copy of version {version.sha256[:12]} was found",
            f"looked in {', '.join(place for place, _ in places)}",
            "If another machine has a backup of this data root: aegis backup restore",
        )

    def _copy(self, name: str) -> Path:
        return self.home.backups / "models" / name

    def _copied(self, name: str) -> bytes | None:
        path = self._copy(name)
        return path.read_bytes() if path.exists() else None

    def _ended(self, version: Version) -> bytes | None:
        """What the run's last state comes to; it holds the weights as well."""
        if version.run not in self.journal.runs():
            return None
        state = self.journal.run(version.run).state
        if not isinstance(state, Terminated):
            return None
        return model_bytes(version.model, state.progress.weights)


def _version(stored: StoredModel, first: bool) -> Version:
    return Version(
        stored.number,
        stored.sha256,
        stored.run,
        stored.task,
        stored.created,
        stored.card,
        first,
    )


def _aside(path: Path, wanted: bytes) -> None:
    if path.exists() and path.read_bytes() != wanted:
        shutil.move(path, path.with_name(f"{path.name}.damaged"))
