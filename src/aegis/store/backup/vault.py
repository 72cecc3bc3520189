"""What turns a passphrase into the keys of encrypted backups.

A folder of backups has one data key, drawn once and wrapped by a key that scrypt makes of the
passphrase (RFC 7914; N = 2^16, r = 8: 64 MiB and about 0.2 s a guess). Chunks and lists are sealed
with AES-256-GCM under that key, each with a nonce of its own and with its name as associated data,
so that none can stand in for another. A chunk's name is keyed as well: who has the folder alone
cannot even tell whether it holds a file that he knows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from aegis.errors import BadInput, CheckFailed
from aegis.store.home import write_whole

VAULT = "vault.json"
FORMAT = "aegis-vault/1"
COST = 2**16
LEAST_LETTERS = 12
_MOST_COST = 2**20


@dataclass(frozen=True)
class Vault:
    """Sensitive: whoever holds this reads every encrypted backup of its folder."""

    _key: bytes

    @classmethod
    def open(cls, folder: Path, passphrase: str, *, create: bool = False) -> Vault:
        """Raises ``BadInput`` where there is none, where the passphrase is another or too short to
        begin with, and ``CheckFailed`` where the file is damaged."""
        path = folder / VAULT
        if not path.exists():
            if not create:
                raise BadInput(f"{folder} holds no encrypted backup")
            return cls._made(path, passphrase)
        try:
            said = json.loads(path.read_bytes())
            cost = int(said["n"])
            if said["format"] != FORMAT or not 2 <= cost <= _MOST_COST or cost & (cost - 1):
                raise ValueError(f"its format is {said['format']}, its cost {cost}")
            salt, nonce, wrapped = (
                base64.b64decode(said[name], validate=True) for name in ("salt", "nonce", "key")
            )
        except OSError as error:
            raise BadInput(f"{path} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CheckFailed(
                f"{path} is damaged ({error})",
                "without it no encrypted backup of this folder can be opened",
                "Bring it back from another copy of the folder",
            ) from error
        try:
            key = AESGCM(_stretched(passphrase, salt, cost)).decrypt(
                nonce, wrapped, FORMAT.encode()
            )
        except InvalidTag as error:
            raise BadInput(
                "this is not the passphrase of these backups",
                f"they are those of {folder}",
                "Nothing was changed; try the passphrase they were made with",
            ) from error
        return cls(key)

    @classmethod
    def _made(cls, path: Path, passphrase: str) -> Vault:
        if len(passphrase) < LEAST_LETTERS:
            raise BadInput(
                f"a passphrase of {len(passphrase)} letters can be guessed",
                f"it needs at least {LEAST_LETTERS}",
                "Five words drawn by chance are easy to keep",
            )
        key, salt, nonce = AESGCM.generate_key(256), os.urandom(16), os.urandom(12)
        wrapped = AESGCM(_stretched(passphrase, salt, COST)).encrypt(nonce, key, FORMAT.encode())
        parts = {"salt": salt, "nonce": nonce, "key": wrapped}
        text = {name: base64.b64encode(part).decode() for name, part in parts.items()}
        write_whole(path, json.dumps({"format": FORMAT, "n": COST, **text}, indent=1).encode())
        return cls(key)

    def name(self, data: bytes) -> str:
        """What a chunk is called: equal data, equal names, to nobody else's knowledge."""
        names = hmac.digest(self._key, b"aegis/backup/names/v1", hashlib.sha256)
        return hmac.digest(names, data, hashlib.sha256).hex()

    def seal(self, name: str, data: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(self._key).encrypt(nonce, data, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """Raises ``CheckFailed`` unless this was sealed under this very name."""
        try:
            return AESGCM(self._key).decrypt(sealed[:12], sealed[12:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise CheckFailed(f"{name[:12]} was changed or damaged") from error

    def __repr__(self) -> str:
        return "Vault(...)"


def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())
