"""Whom the gateway lets in: hospitals whose keys were admitted, each proved by a signed time.

Flower's node authentication signs the time of day with the node's EC key and sends both with every
request. The SuperLink checks it again; here it keeps strangers from having even one body read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from aegis.errors import BadInput
from aegis.transport.flower import compat
from aegis.transport.flower.http import Head, Refusal

SIGNED_WITHIN_S = 300.0


@dataclass
class Guest:
    """An admitted hospital. ``bell`` rings when the SuperLink may have something for it. Monotonic
    times: ``seen`` at all, ``moved`` a part of a message, ``taken`` a whole one, ``idle`` because
    nothing was left for it, and ``answering`` with a part of a reply that is not complete yet."""

    name: str
    key: ec.EllipticCurvePublicKey
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    seen: float = -1e9
    moved: float = -1e9
    taken: float = -1e9
    idle: float = -1e9
    answering: float = -1e9


class Guests:
    """Changed from the coordinator's threads, read in the gateway's loop."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Guest] = {}

    def admit(self, name: str, key: bytes) -> None:
        """``key`` as ``checked_key`` gives it."""
        if key not in self._by_key:
            self._by_key[key] = Guest(name, _loaded(key))

    def expel(self, name: str) -> None:
        for key, guest in list(self._by_key.items()):
            if guest.name == name:
                del self._by_key[key]

    def named(self, name: str) -> Sequence[Guest]:
        return [guest for guest in list(self._by_key.values()) if guest.name == name]

    def present(self, within_s: float) -> frozenset[str]:
        now = time.monotonic()
        guests = list(self._by_key.values())
        return frozenset(guest.name for guest in guests if now - guest.seen < within_s)

    def proven(self, head: Head) -> Guest:
        """Raises ``Refusal`` with the reason."""
        try:
            key = base64.b64decode(head.headers[compat.FLEET_HTTP_PUBLIC_KEY_HEADER], validate=True)
            signature = base64.b64decode(
                head.headers[compat.FLEET_HTTP_SIGNATURE_HEADER], validate=True
            )
            stamp = head.headers[compat.TIMESTAMP_HEADER.lower()]
            age = (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
        except (KeyError, binascii.Error, ValueError, TypeError) as error:
            raise Refusal(401, "the request is not signed with a hospital's key") from error
        guest = self._by_key.get(key)
        if guest is None:
            raise Refusal(
                401,
                "this hospital's key is not registered here; ask the coordinator to admit it",
                compat.NO_NODE,
            )
        if abs(age) > SIGNED_WITHIN_S:
            raise Refusal(
                401, f"the clock of {guest.name} differs from the coordinator's by {age:.0f} s"
            )
        try:
            guest.key.verify(signature, stamp.encode("ascii"), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, UnicodeEncodeError) as error:
            raise Refusal(401, "the signature is not by this key") from error
        return guest


def checked_key(key: bytes) -> bytes:
    """A public key on P-256 or P-384, written as Flower writes it. Raises ``BadInput``."""
    try:
        loaded = _loaded(key)
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"the hospital's key cannot be used ({error})", "Flower takes PEM on P-256 or P-384"
        ) from error
    return bytes(compat.public_key_to_bytes(loaded))


def _loaded(key: bytes) -> ec.EllipticCurvePublicKey:
    found = load_pem_public_key(key)
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise ValueError(f"a {type(found).__name__}")
    if not isinstance(found.curve, ec.SECP256R1 | ec.SECP384R1):
        raise ValueError(f"a key on {found.curve.name}")
    return found
