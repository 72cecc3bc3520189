"""The join code: what a coordinator's administrator tells a hospital's, over the telephone if need
be, so that their machines can find and trust each other.

    coordinator.example:8081/K7QD-0M3X-...     14 groups of four

It carries where to go, 128 secret bits, and 128 bits of the federation's digest (its authority's
key and its certificate authority), in Crockford's base 32: no I, L, O or U, and what is misread is
read back. The last group is a checksum over all of it, address included, so a slip is told apart
from a wrong code. From the secret follows a signing key: the coordinator keeps only its public
half, and whoever steals that list cannot join with it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aegis.errors import BadInput
from aegis.identity.keys import PublicKey, SigningKey

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})
_ADDRESS = re.compile(r"(\[[0-9a-f:]{2,45}\]|[a-z0-9]([a-z0-9.-]{0,252}))(:[0-9]{1,5})?")
_LETTERS, _CHECK = 52, 4


def federation_sha256(authority: PublicKey, ca_certificate: bytes) -> bytes:
    """The digest by which a federation is known: 32 bytes over its authority's key and the DER
    bytes of its root certificate."""
    root = hashlib.sha256(ca_certificate).digest()
    return hashlib.sha256(b"aegis/federation/v1" + authority.raw + root).digest()


@dataclass(frozen=True, slots=True)
class JoinCode:
    """``address`` is host and port; ``secret`` and ``federation`` are 16 bytes each.

    Sensitive: whoever has the code first joins with it; never logged.
    """

    address: str
    secret: bytes
    federation: bytes

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise BadInput(
                f"{self.address!r:.80} is no address", "a host name and a port: aegis.example:8081"
            )
        if (len(self.secret), len(self.federation)) != (16, 16):
            raise BadInput("a join code has two parts of 16 bytes")

    @classmethod
    def new(cls, address: str, federation: bytes) -> JoinCode:
        """``federation`` as ``federation_sha256`` gives it."""
        return cls(address.strip().lower(), os.urandom(16), federation[:16])

    @property
    def key(self) -> SigningKey:
        derived = HKDF(SHA256(), 32, salt=None, info=b"aegis/join/v1").derive(self.secret)
        return SigningKey.from_raw(derived)

    @property
    def text(self) -> str:
        letters = _letters(self.secret + self.federation, _LETTERS)
        letters += _checksum(self.address, letters)
        groups = (letters[at : at + 4] for at in range(0, len(letters), 4))
        return f"{self.address}/{'-'.join(groups)}"

    @classmethod
    def read(cls, typed: str) -> JoinCode:
        """Raises ``BadInput`` for a slip of the pen; case, spaces and dashes do not matter."""
        address, slash, rest = "".join(typed.split()).rpartition("/")
        address = address.lower().removeprefix("https://")
        letters = rest.upper().translate(_MISREAD)
        if not slash or not _ADDRESS.fullmatch(address):
            raise BadInput("this is no join code", "it reads HOST:PORT/XXXX-XXXX-...")
        if len(letters) != _LETTERS + _CHECK:
            raise BadInput(
                f"this join code has {len(letters)} letters and digits",
                f"it should have {_LETTERS + _CHECK}",
                "Compare it group by group",
            )
        payload, check = letters[:_LETTERS], letters[_LETTERS:]
        if set(letters) - set(ALPHABET) or _checksum(address, payload) != check:
            raise BadInput(
                "there is a slip in this join code",
                "its last group does not fit the rest",
                "Compare the address and each group",
            )
        number = 0
        for letter in payload:
            number = number * 32 + ALPHABET.index(letter)
        raw = (number >> (_LETTERS * 5 - 256)).to_bytes(32, "big")
        return cls(address, raw[:16], raw[16:])

    def __repr__(self) -> str:
        return f"JoinCode({self.address}/...)"


def _letters(data: bytes, count: int) -> str:
    number = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return "".join(ALPHABET[number >> 5 * at & 31] for at in reversed(range(count)))


def _checksum(address: str, letters: str) -> str:
    digest = hashlib.sha256(f"aegis/join/v1 {address}/{letters}".encode()).digest()
    return _letters(digest[:2] + bytes([digest[2] & 0xF0]), 5)[:_CHECK]
