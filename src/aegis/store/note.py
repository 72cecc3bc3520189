"""Text that somebody signed: notes as in c2sp.org/signed-note and c2sp.org/tlog-cosignature.

    the text, whose last line ends like every other

    — NAME BASE64(key id, signature)

One note may carry several signatures. A log signs the text itself; a witness signs it with the time
at which it looked. The key id binds a name, a way of signing and a public key, so a signature made
in one way proves nothing in another; ``SigningKey.sign`` starts every message with a zero byte and
no note does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from aegis.errors import CheckFailed, DataError
from aegis.identity.keys import PublicKey, SigningKey

LOG, WITNESS = 1, 4  # signature types: Ed25519 over the text, and the same with a time
_MARK = "— "
_KINDS = (LOG, WITNESS)
_NAME = re.compile(r"[^\s+\ud800-\udfff]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")  # and halves of letters

Signature: TypeAlias = tuple[str, bytes]
"""A key's name; key id and signature."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key, the name it signs under, and how: ``LOG`` or ``WITNESS``."""

    name: str
    key: PublicKey
    kind: int = LOG

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.kind not in _KINDS:
            raise DataError(f"{self.name!r} with signature type {self.kind} is no key of a note")

    @property
    def key_id(self) -> bytes:
        name = self.name.encode()
        return hashlib.sha256(name + b"\n" + bytes([self.kind]) + self.key.raw).digest()[:4]

    def __str__(self) -> str:
        """As verifiers exchange it (a "vkey")."""
        return f"{self.name}+{self.key_id.hex()}+{_text(bytes([self.kind]) + self.key.raw)}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _bytes(encoded)
        if len(raw) != 33:
            raise DataError(f"{text[:80]!r} is no verifier key")
        found = cls(name, PublicKey(raw[1:]), raw[0])
        if found.key_id.hex() != key_id:
            raise DataError(f"the verifier key {text[:80]!r} has the id {found.key_id.hex()}")
        return found

    def accepts(self, text: str, signature: Signature) -> bool:
        name, blob = signature
        if name != self.name or blob[:4] != self.key_id:
            return False
        if self.kind == LOG:
            return _verified(self.key.raw, text.encode(), blob[4:])
        message = _timed(text, int.from_bytes(blob[4:12], "big"))
        return _verified(self.key.raw, message, blob[12:])


@dataclass(frozen=True, slots=True)
class Note:
    """``text`` ends with a line break and holds nothing a terminal would act on."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.endswith("\n") or _CONTROL.search(self.text):
            raise DataError(f"{self.text[:80]!r} cannot be signed", "lines of plain text can")

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(line, self.signatures))

    @classmethod
    def parse(cls, written: str) -> Note:
        """Raises ``DataError`` for anything but what ``str`` of a signed note gives."""
        text, gap, end = written.rpartition("\n\n")
        if not gap or not end.endswith("\n"):
            raise DataError(f"{written[:80]!r} is no signed note")
        signatures = tuple(parse_line(one + "\n") for one in end[:-1].split("\n"))
        return cls(text + "\n", signatures)

    def signed(self, verifier: Verifier) -> bool:
        """Whether this key signed; ``CheckFailed`` for a signature under its name and id that it
        did not make."""
        found = [
            s for s in self.signatures if s[0] == verifier.name and s[1][:4] == verifier.key_id
        ]
        if not all(verifier.accepts(self.text, one) for one in found):
            raise CheckFailed(f"the signature of {verifier.name} is not its own")
        return bool(found)


def signed(text: str, name: str, key: SigningKey) -> Note:
    """A note with the signature of a log."""
    blob = Verifier(name, key.public).key_id + key.sign_text(Note(text).text.encode())
    return Note(text, ((name, blob),))


def cosigned(text: str, name: str, key: SigningKey, seconds: int) -> Signature:
    """A witness's signature on a note's text, at ``seconds`` since 1970."""
    proof = key.sign_text(_timed(text, seconds))
    return name, Verifier(name, key.public, WITNESS).key_id + seconds.to_bytes(8, "big") + proof


def seconds_of(signature: Signature) -> int:
    """When a witness signed, in seconds since 1970."""
    return int.from_bytes(signature[1][4:12], "big")


def line(signature: Signature) -> str:
    name, blob = signature
    return f"{_MARK}{name} {_text(blob)}\n"


def parse_line(written: str) -> Signature:
    name, space, encoded = written.removeprefix(_MARK).removesuffix("\n").partition(" ")
    blob = _bytes(encoded)
    if not space or not _NAME.fullmatch(name) or len(blob) < 5 or line((name, blob)) != written:
        raise DataError(f"{written[:80]!r} is no signature of a note")
    return name, blob


def key_name(hospital: str) -> str:
    """A name as notes write it: without spaces, plus signs and line breaks."""
    return quote(hospital, safe="/:@")


# Many witnesses in one process look at the same checkpoint, and a verifier looks at it again.
@lru_cache(maxsize=1024)
def _verified(key: bytes, message: bytes, proof: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _timed(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{text[:80]!r} is not written in base 64") from error
