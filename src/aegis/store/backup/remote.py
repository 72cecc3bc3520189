"""Backups in an object store: the files of the folder as they are, encrypted ones encrypted.

    backups/NAME.json            the list of one backup, written last
    backups/NAME.sums            the digest of each of its files, as they lie in the folder
    backups/chunks|sealed/...    written once; whatever a list names has been read back
    backups/vault.json           the wrapped key, useless without its passphrase

An interrupted push or pull is gone on with by the same command: what is there is not sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aegis.errors import BadInput, CheckFailed
from aegis.store.backup.backups import Backups
from aegis.store.backup.chunks import PLAIN, SEALED
from aegis.store.backup.listing import Listed, head_of, read
from aegis.store.backup.lock import alone
from aegis.store.backup.vault import VAULT
from aegis.store.home import write_whole
from aegis.store.objects import Objects

UNDER = "backups/"
_NAME = re.compile(r"backups/([0-9]{8}-[0-9]{6}-[0-9]{6})\.json")
_FILE = re.compile(r"(chunks|sealed)/([0-9a-f]{2})/\2[0-9a-f]{62}|vault\.json")


@dataclass(frozen=True)
class Carried:
    """``files`` and ``bytes`` went over the road now; ``there`` had been carried before."""

    backup: str
    files: int
    bytes: int
    there: int
    encrypted: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class RemoteBackups:
    """``folder`` is where the backups lie here."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        self.folder, self.objects = folder, objects

    def names(self) -> list[str]:
        """The backups that are there as a whole, oldest first."""
        found = (_NAME.fullmatch(key) for key in self.objects.sizes(UNDER))
        return sorted(one.group(1) for one in found if one is not None)

    def push(self, name: str = "latest", *, unencrypted: bool = False) -> Carried:
        """Carry one backup to the store. Raises ``BadInput`` for one that is not encrypted unless
        ``unencrypted``, ``CheckFailed`` where a chunk is missing here or comes back changed."""
        head = Backups(self.folder).head(name)
        if not (head.encrypted or unencrypted):
            raise BadInput(
                f"the backup {head.name} is not encrypted",
                "whoever can read the store could read all of it",
                "Make one with aegis backup create --encrypt, or add --unencrypted",
            )
        with alone(self.folder):
            read(self.folder, head.name)  # whole, or said here
            sums = {path: self._digest(path) for path in _files_of(head)}
            sizes, verified = self.objects.sizes(UNDER), self._verified()
            if head.encrypted:
                self._same_vault(sums[VAULT], VAULT in {key[len(UNDER) :] for key in sizes})
            files, count = 0, 0
            for path, sha256 in sums.items():
                key, size = UNDER + path, (self.folder / path).stat().st_size
                if sizes.get(key) == size and (
                    verified.get(path) == sha256 or self.objects.digest(key) == sha256
                ):
                    continue
                self.objects.put_file(key, self.folder / path, sha256)
                files, count = files + 1, count + size
            body = json.dumps({"name": head.name, "files": sums}, sort_keys=True).encode()
            digest = hashlib.sha256(body).hexdigest().encode()
            self.objects.put(f"{UNDER}{head.name}.sums", digest + b"\n" + body)
            self.objects.put(
                f"{UNDER}{head.name}.json", (self.folder / f"{head.name}.json").read_bytes()
            )
        return Carried(head.name, files, count, len(sums) - files, head.encrypted)

    def pull(self, name: str = "latest") -> Carried:
        """Bring one backup into the folder, whole or not at all. Raises ``BadInput`` where the
        store has none of that name, ``CheckFailed`` where its bytes were changed."""
        name = self._named(name)
        with alone(self.folder):
            sums = self._sums(name)
            listed = self.objects.get(f"{UNDER}{name}.json")
            if VAULT in sums and (self.folder / VAULT).exists():
                self._same_vault(sums[VAULT], here=True)
            files, count = 0, 0
            for path, sha256 in sums.items():
                target = self.folder / path
                if target.exists() and self._digest(path) == sha256:
                    continue
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.objects.get_file(UNDER + path, target, sha256)
                files, count = files + 1, count + target.stat().st_size
            head = self._taken(name, listed, sums)
        return Carried(name, files, count, len(sums) - files, head.encrypted)

    def _taken(self, name: str, listed: bytes, sums: Mapping[str, str]) -> Listed:
        """Keep the list, once it is found to be whole and to name nothing that did not come."""
        path = self.folder / f"{name}.json"
        before = path.read_bytes() if path.exists() else None
        write_whole(path, listed)
        try:
            head = head_of(read(self.folder, name))
            if head.name != name or not set(_files_of(head)) <= set(sums):
                raise CheckFailed(f"the list of {name} names files that its digests do not")
            return head
        except CheckFailed:
            path.unlink()
            if before is not None:
                write_whole(path, before)
            raise

    def _digest(self, path: str) -> str:
        try:
            return hashlib.sha256((self.folder / path).read_bytes()).hexdigest()
        except OSError as error:
            raise CheckFailed(
                f"{self.folder / path} cannot be read ({error.strerror})",
                "the backup is not whole here",
                "Push another one: aegis backup list",
            ) from error

    def _verified(self) -> dict[str, str]:
        """What lists in the store name: it had been read back before they were written."""
        found: dict[str, str] = {}
        for name in self.names():
            with contextlib.suppress(CheckFailed):  # then nothing it names counts as read back
                found |= self._sums(name)
        return found

    def _sums(self, name: str) -> dict[str, str]:
        digest, _, body = self.objects.get(f"{UNDER}{name}.sums").partition(b"\n")
        try:
            if hashlib.sha256(body).hexdigest().encode() != digest:
                raise ValueError("its bytes are not those that were written")
            sums: dict[str, str] = json.loads(body)["files"]
            strange = [path for path in sums if not _FILE.fullmatch(path)]
            if strange:
                raise ValueError(f"it names {strange[0]!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckFailed(
                f"the digests of {name} in {self.objects.place} are damaged ({error})",
                way_out=f"Push it again from where it was made: aegis backup push {name}",
            ) from error
        return sums

    def _same_vault(self, sha256: str, here: bool) -> None:
        if not here:
            return
        local = self._digest(VAULT)
        if local != sha256 or self.objects.digest(UNDER + VAULT) != sha256:
            raise BadInput(
                f"{self.objects.place} holds encrypted backups of another folder",
                "they have another key, and it must not be replaced",
                "Set AEGIS_S3_PREFIX to a name of this data root's own",
            )

    def _named(self, name: str) -> str:
        names = self.names()
        if name == "latest" and names:
            return names[-1]
        found = [one for one in names if len(name) >= 4 and one.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise BadInput(
            f"{self.objects.place} holds no backup {'' if name == 'latest' else name}".rstrip(),
            f"there are {', '.join(names[-5:])}" if names else "",
            "See: aegis backup list --remote",
        )


def _files_of(head: Listed) -> list[str]:
    folder = SEALED if head.encrypted else PLAIN
    found = [f"{folder}/{name[:2]}/{name}" for name in head.chunks]
    return [*found, VAULT] if head.encrypted else found
