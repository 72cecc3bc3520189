"""The envelope: the same on every road, so that every road may be carried by a stranger.

Its header (``frame``) says from whom, to whom, for which run, round, attempt and stage, with which
number and until when; the courier can read it. The payload is the message (``codec``) with a salt
of 32 random bytes, sealed to the recipient (HPKE) with the header as its ``info``, so it opens in
no other envelope. The header's ``payload_sha256`` commits the sender to what he said, and the salt
keeps it from telling a courier anything. The signature (Ed25519) is over the header and the SHA-256
of what is sealed. Taking one apart goes from what costs least and trusts least to most:

    size, frame, header, version, recipient      before any key is used
    sender known, signature, not revoked         from here on the sender is proved and named
    time, run, round, attempt, schema            is it what was asked for
    replay guard                                 takes it, on disk
    seal, digest                                 a fault from here on is the sender's own doing
    body against the schema and the header       only now is anything parsed

What does not hold is an ``EnvelopeRefused``; nothing of a refused envelope is handed on. The order
in which envelopes arrive is free. There is no forward secrecy towards the recipient: whoever gets
his sealing key later can open what was recorded before, until he rotates it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, Protocol

from aegis import codec
from aegis.errors import AegisError, CheckFailed, EnvelopeRefused
from aegis.identity.identity import PublicIdentity
from aegis.identity.keys import SigningKey
from aegis.identity.sealing import SealingKey, SealingPublic
from aegis.transport.frame import OVERHEAD, Envelope, Header
from aegis.transport.schemas import Schema, misfit

VERSION = 1
DOMAIN = "aegis/envelope/v1"
LEEWAY_S = 60
LIFETIME_S = 3600


@dataclass(frozen=True, slots=True)
class Route:
    """``seq`` from the sender's ``Sequence``; ``expiry`` in UTC seconds. ``attempt`` is for a
    message that does not name its own: a reply takes it from the request's header."""

    src: str
    dst: str
    seq: int
    expiry: int
    attempt: int = 0


def seal(
    message: Any, route: Route, schema: Schema, signing: SigningKey, recipient: SealingPublic
) -> bytes:
    """The envelope's bytes. Raises ``CheckFailed`` for a message that its own schema refuses."""
    if (fault := misfit(message, schema)) is not None:
        raise CheckFailed(f"this message would be refused: {fault}")
    payload = codec.dumps(message, salt=os.urandom(32))
    header = Header(
        VERSION,
        message.run,
        message.round,
        getattr(message, "attempt", route.attempt),
        schema.name,
        route.src,
        route.dst,
        route.seq,
        route.expiry,
        hashlib.sha256(payload).hexdigest(),
        schema.sha256,
    )
    data = header.to_bytes()
    envelope = Envelope(header, data, recipient.encrypt(_info(data), payload))
    return replace(envelope, signature=signing.sign(DOMAIN, envelope.signed)).to_bytes()


class Standing(Protocol):
    """How a name stands in the federation. ``revoked`` is why, or empty."""

    @property
    def identity(self) -> PublicIdentity: ...
    @property
    def revoked(self) -> str: ...


class Directory(Protocol):
    def standing(self, name: str) -> Standing | None: ...


class Guard(Protocol):
    def judge(
        self, stamped: Header, digest: bytes, now: float
    ) -> Literal["new", "replayed", "reused", "forgotten"]: ...


@dataclass(frozen=True)
class Receiver:
    """Who opens envelopes, and what he knows. Sensitive: holds his sealing key."""

    name: str
    sealing: SealingKey
    directory: Directory
    guard: Guard
    clock: Callable[[], float] = time.time


@dataclass(frozen=True)
class Expected:
    """What is being waited for; None where anything will do. ``limit`` in bytes follows from the
    schemas if it is not given."""

    schemas: tuple[Schema, ...]
    src: str | None = None
    run: str | None = None
    round: int | None = None
    attempt: int | None = None
    limit: int | None = None
    lifetime_s: int = LIFETIME_S

    @property
    def most(self) -> int:
        if self.limit is not None:
            return self.limit
        return OVERHEAD + max(schema.limit for schema in self.schemas)


def unseal(data: bytes, receiver: Receiver, expected: Expected) -> tuple[Header, Any]:
    """The header and the message. Raises ``EnvelopeRefused``, with the sender's name from the
    moment it is proved."""
    envelope = Envelope.from_bytes(data, expected.most)
    header, signed = envelope.header, envelope.signed
    _addressed(header, receiver)
    _proved(header, signed, envelope.signature, receiver)
    now = receiver.clock()
    _in_time(header, now, expected.lifetime_s)
    schema = _asked_for(header, expected)
    _new(header, receiver.guard.judge(header, hashlib.sha256(signed).digest(), now))
    try:
        payload = receiver.sealing.decrypt(_info(envelope.header_bytes), envelope.sealed)
    except CheckFailed as error:
        _blame(header, "sealed", error.value, error.need)
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        _blame(header, "payload", "the payload is not the one its header names")
    return header, _read(payload, header, schema)


def _addressed(header: Header, receiver: Receiver) -> None:
    if header.version != VERSION:
        raise EnvelopeRefused(
            "version",
            f"an envelope of version {header.version}",
            f"this side reads version {VERSION}",
            "Update the older side",
        )
    if header.dst != receiver.name:
        raise EnvelopeRefused(
            "recipient", f"an envelope for {header.dst}", f"this is {receiver.name}"
        )


def _proved(header: Header, signed: bytes, signature: bytes, receiver: Receiver) -> None:
    standing = receiver.directory.standing(header.src)
    if standing is None:
        raise EnvelopeRefused(
            "sender", f"an envelope from {header.src}, who is not in the federation"
        )
    key = standing.identity.signing
    if not key.verifies(DOMAIN, signed, signature):
        raise EnvelopeRefused(
            "signature",
            f"an envelope in the name of {header.src} is not signed by that key",
            f"its fingerprint is {standing.identity.fingerprint}",
        )
    if standing.revoked:
        _blame(header, "revoked", f"the key of {header.src} was revoked: {standing.revoked}")


def _in_time(header: Header, now: float, lifetime_s: int) -> None:
    if header.expiry < now - LEEWAY_S:
        late = now - header.expiry
        _blame(header, "expired", f"an envelope that expired {late:.0f} s ago", "ask again")
    if header.expiry > now + lifetime_s + LEEWAY_S:
        early = header.expiry - now - lifetime_s
        _blame(
            header,
            "future",
            f"an envelope from the future, by {early:.0f} s or more",
            f"clocks may differ by {LEEWAY_S} s",
            "Set both clocks",
        )


def _asked_for(header: Header, expected: Expected) -> Schema:
    for what in ("src", "run", "round", "attempt"):
        wanted, got = getattr(expected, what), getattr(header, what)
        if wanted is not None and got != wanted:
            _blame(header, "unexpected", f"an envelope with {what} {got}", f"expected is {wanted}")
    named: Mapping[str, Schema] = {schema.name: schema for schema in expected.schemas}
    schema = named.get(header.stage)
    if schema is None:
        _blame(header, "unexpected", f"a message {header.stage}", f"expected is {'|'.join(named)}")
    if schema.sha256 != header.schema_sha256:
        _blame(
            header,
            "schema",
            f"a message {header.stage} of another form than this side agreed to",
            "both sides need the same plan and the same version",
        )
    return schema


def _new(header: Header, verdict: str) -> None:
    match verdict:
        case "new":
            return
        case "replayed":
            _blame(header, "replayed", f"envelope {header.seq} was taken before")
        case "reused":
            _blame(
                header,
                "reused",
                f"envelope {header.seq} came before with other content",
                "each has its own number",
                "Two processes may be using one key; if not, it was stolen: revoke it",
            )
        case _:
            _blame(header, "forgotten", "the envelope is from a time that is no longer remembered")


def _read(payload: bytes, header: Header, schema: Schema) -> Any:
    try:
        message = codec.loads(payload, schema.classes)
    except (AegisError, ValueError, TypeError) as error:
        _blame(header, "body", f"the body of a {header.stage} cannot be read ({error})")
    if (fault := misfit(message, schema)) is not None:
        _blame(header, "body", fault)
    place = (message.run, message.round, getattr(message, "attempt", header.attempt))
    if place != (header.run, header.round, header.attempt):
        _blame(header, "mismatch", "the body names another run, round or attempt than the header")
    if getattr(message, "hospital", header.src) != header.src:
        _blame(
            header, "mismatch", f"a message of {message.hospital!r:.60} in {header.src}'s envelope"
        )
    return message


def _info(header: bytes) -> bytes:
    return DOMAIN.encode() + b"\0" + header


def _blame(header: Header, reason: str, value: str, need: str = "", way_out: str = "") -> NoReturn:
    """The signature holds, so this is the sender's doing, not the courier's: he can only keep an
    envelope back, bring it late or bring it twice."""
    raise EnvelopeRefused(reason, f"{header.src}: {value}", need, way_out, header.src)
