"""Key files: one file per identity, written whole or not at all, that nobody else can read.

AEGIS_HOME/keys/          0700
├── NAME.key              0600   both private keys (PKCS #8), the public ones, all rotations
└── NAME.public.json      0644   what others may know; made anew with every change

A key that other users of the machine can read is no longer a secret; it is refused, not mended
silently, because it may have been copied.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aegis.errors import AegisError, BadInput, DataError
from aegis.identity import pkcs8
from aegis.identity.identity import NAME, Identity, PublicIdentity, Rotation, checked_name
from aegis.identity.keys import SigningKey
from aegis.identity.sealing import SealingKey

FORMAT = "aegis-identity/1"
LARGEST = 2**20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # FAT, some network disks


def write_private(path: Path, data: bytes, *, replace: bool) -> None:
    """A file of mode 0600 in a folder of mode 0700. ``BadInput`` where there is one already and it
    is not to be replaced, or where the folder is open to others."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (fault := _exposed(path.parent.stat(), path.parent, "700")) is not None:
            raise fault
        _written(path, data, replace)
    except FileExistsError as error:
        raise BadInput(
            f"{path} is already there",
            "a private key is never overwritten by chance",
            "Choose another name, or add --force to give the old key up",
        ) from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror})",
            way_out="Set AEGIS_HOME to a folder of yours",
        ) from error


def _written(path: Path, data: bytes, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            _placed(temporary, path)
        if hasattr(os, "O_DIRECTORY"):  # Windows has no way to sync a folder
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _placed(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, this fails where a file is
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError from error
        os.replace(temporary, path)


def read_private(path: Path) -> bytes:
    """Raises ``BadInput`` where others could read the file or its folder, or where it is a link."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError as error:
        raise BadInput(
            f"there is no key file {path}", way_out=f"Make one: aegis keys generate {path.stem}"
        ) from error
    except OSError as error:
        raise BadInput(f"the key file {path} cannot be read ({error.strerror})") from error
    with os.fdopen(handle, "rb") as file:
        there = os.fstat(file.fileno())
        if not stat.S_ISREG(there.st_mode) or there.st_size > LARGEST:
            raise BadInput(f"{path} is no key file")
        for what, place, mode in ((there, path, "600"), (path.parent.stat(), path.parent, "700")):
            if (fault := _exposed(what, place, mode)) is not None:
                raise fault
        return file.read()


def _exposed(there: os.stat_result, path: Path, mode: str) -> BadInput | None:
    if os.name != "posix" or not there.st_mode & _OTHERS:
        return None
    return BadInput(
        f"{path} is open to other users of this machine (mode {stat.S_IMODE(there.st_mode):o})",
        "private keys are for their owner alone",
        f"Run: chmod {mode} {path}; and if somebody may have read it, change the keys",
    )


@dataclass(frozen=True)
class Keys:
    """The identities in one folder, and how each is read and written."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{checked_name(name)}.key"

    def names(self) -> list[str]:
        found = (path.stem for path in self.folder.glob("*.key"))
        return sorted(name for name in found if NAME.fullmatch(name))

    def write(
        self, identity: Identity, passphrase: str | None = None, *, force: bool = False
    ) -> Path:
        """The key file's path. Raises ``BadInput`` where there is one and ``force`` is not set."""
        path = self.path(identity.name)
        document = {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "public": identity.public.as_json(),
            "rotations": [rotation.as_json() for rotation in identity.rotations],
            "signing": pkcs8.write(
                Ed25519PrivateKey.from_private_bytes(identity.signing.raw), passphrase
            ),
            "sealing": pkcs8.write(identity.sealing.curve, passphrase),
        }
        if identity.sealing.lattice is not None:
            document["lattice"] = pkcs8.write(identity.sealing.lattice, passphrase)
        write_private(path, _text(document), replace=force)
        self._publish(identity)
        return path

    def _publish(self, identity: Identity) -> None:
        document = {
            **identity.public.as_json(),
            "fingerprint": identity.public.fingerprint,
            "rotations": [rotation.as_json() for rotation in identity.rotations],
        }
        path = self.folder / f"{identity.name}.public.json"
        write_private(path, _text(document), replace=True)
        path.chmod(0o644)

    def read(self, name: str, passphrase: str | None = None) -> Identity:
        """Raises ``BadInput`` for a file that is missing, locked or open to others, ``DataError``
        for one that is damaged."""
        document, file = self._document(name), f"the key file {self.path(name)}"
        try:
            signing = pkcs8.read(document["signing"], passphrase, file)
            curve = pkcs8.read(document["sealing"], passphrase, file)
            locked = document.get("lattice")
            lattice = None if locked is None else pkcs8.read(locked, passphrase, file)
            rotations = tuple(Rotation.from_json(one) for one in document["rotations"])
        except (KeyError, TypeError, AttributeError) as error:
            raise self._damaged(name, f"without {error}") from error
        if not (
            isinstance(signing, Ed25519PrivateKey)
            and isinstance(curve, X25519PrivateKey)
            and (lattice is None or isinstance(lattice, MLKEM768PrivateKey))
        ):
            raise self._damaged(name, "with keys of another kind")
        key = SigningKey.from_raw(signing.private_bytes_raw())
        identity = Identity(name, key, SealingKey(curve, lattice), rotations)
        if identity.public != self._public(name, document):
            raise self._damaged(name, "whose private and public keys differ")
        return identity

    def public(self, name: str) -> PublicIdentity:
        """Without the passphrase."""
        return self._public(name, self._document(name))

    def described(self, name: str) -> dict[str, Any]:
        """What ``aegis keys list`` says of one identity; never a private key."""
        document = self._document(name)
        public = self._public(name, document)
        return {
            "name": name,
            "fingerprint": public.fingerprint,
            "log_key": public.log_key,
            "signing": public.signing.hex,
            "sealing": public.sealing.kind,
            "created": document.get("created"),
            "rotations": len(document.get("rotations", [])),
            "locked": "ENCRYPTED" in str(document.get("signing")),
            "file": str(self.path(name)),
        }

    def _document(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads(read_private(self.path(name)))
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, "that is not JSON") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise self._damaged(name, f"that is not {FORMAT}")
        return document

    def _public(self, name: str, document: dict[str, Any]) -> PublicIdentity:
        try:
            public = PublicIdentity.from_json(document["public"])
        except (KeyError, TypeError, DataError) as error:
            raise self._damaged(name, "without its public keys") from error
        if public.name != name:
            raise self._damaged(name, f"that belongs to {public.name}")
        return public

    def _damaged(self, name: str, how: str) -> DataError:
        return DataError(
            f"{self.path(name)} is a key file {how}",
            way_out="Restore it from a backup; without one: aegis keys generate --force, and enrol",
        )

    def faults(self) -> list[str]:
        """A sentence for each key file that could not be used as it lies there."""
        found = []
        for name in self.names():
            try:
                self.described(name)
            except AegisError as error:
                found.append(str(error))
        return found


def _text(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()
