"""Enrolment: how a hospital's keys reach the federation over a road that nobody trusts yet.

1. The administrator issues a join code: 15 minutes, one hospital. The coordinator keeps only the
   public half of the code's key.
2. The hospital's request carries its public keys, signed by its own key (it holds them) and by the
   code's (it was invited). Whoever swaps a key on the way breaks both.
3. The coordinator answers with a welcome signed by the federation's authority and bound to the
   request; that authority and the certificate root must have the digest which the code carries.
4. Both people read the hospital's fingerprint to each other; only then is it admitted.

All of it is values: who keeps them, and which road carries them, is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aegis.errors import CheckFailed, DataError
from aegis.identity.identity import Identity, PublicIdentity, canonical
from aegis.identity.join_code import JoinCode, federation_sha256
from aegis.identity.keys import PublicKey, SigningKey

DOMAIN, WELCOME = "aegis/enrolment/v1", "aegis/welcome/v1"
LIFETIME_S = 900
WRONG_CODES = 5  # from one source in one lifetime
WRONG_PROOFS = 5  # for one code, ever
REMEMBERED = 1000
LARGEST_REQUEST, LARGEST_WELCOME = 2**14, 2**23


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """What the coordinator keeps: ``key`` is public, ``used_by`` the fingerprint that came."""

    key: PublicKey
    expires: int
    used_by: str = ""
    wrong: int = 0

    @property
    def id(self) -> str:
        return _code_id(self.key)


def issue_code(address: str, federation: bytes, now: float) -> tuple[JoinCode, IssuedCode]:
    """A code to tell, and what to keep of it. ``federation`` as ``federation_sha256`` gives it."""
    code = JoinCode.new(address, federation)
    return code, IssuedCode(code.key.public, int(now) + LIFETIME_S)


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """``code`` names the code without giving it away; ``certificate`` is a request for one (PEM),
    for roads over TLS."""

    code: str
    identity: PublicIdentity
    time: int
    certificate: str = ""
    by_identity: bytes = b""
    by_code: bytes = b""

    @classmethod
    def of(
        cls, code: JoinCode, identity: Identity, now: float, certificate: bytes = b""
    ) -> EnrolRequest:
        name = _code_id(code.key.public)
        unsigned = cls(name, identity.public, int(now), certificate.decode())
        return replace(
            unsigned,
            by_identity=identity.signing.sign(DOMAIN, unsigned.statement),
            by_code=code.key.sign(DOMAIN, unsigned.statement),
        )

    @property
    def statement(self) -> bytes:
        return canonical(
            {
                "code": self.code,
                "identity": self.identity.as_json(),
                "time": self.time,
                "certificate": self.certificate,
            }
        )

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        proofs = {"by_identity": self.by_identity.hex(), "by_code": self.by_code.hex()}
        return canonical({**json.loads(self.statement), **proofs})

    @classmethod
    def from_bytes(cls, data: bytes) -> EnrolRequest:
        """Raises ``DataError``."""
        document = _document(data, LARGEST_REQUEST, "request to enrol")
        try:
            return cls(
                _plain(document["code"]),
                PublicIdentity.from_json(document["identity"]),
                _seconds(document["time"]),
                _plain(document["certificate"]),
                bytes.fromhex(document["by_identity"]),
                bytes.fromhex(document["by_code"]),
            )
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"this is no request to enrol ({error})") from error


@dataclass(frozen=True, slots=True)
class Declined:
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """Came with a good code, and is not a member before somebody has compared its fingerprint."""

    identity: PublicIdentity

    @property
    def fingerprint(self) -> str:
        return self.identity.fingerprint

    def confirmed(self, read_back: str) -> PublicIdentity:
        """Raises ``CheckFailed`` where what the hospital read out is another fingerprint."""
        heard = "".join(read_back.lower().split())
        if not hmac.compare_digest(heard.encode(), self.fingerprint.replace(" ", "").encode()):
            raise CheckFailed(
                f"the fingerprint read back is not that of {self.identity.name} here",
                f"here it is {self.fingerprint}",
                "Keys may have been exchanged on the way: do not admit it; issue a new code",
            )
        return self.identity


@dataclass(frozen=True, slots=True)
class Enrolments:
    """Codes that are open, and who came with wrong ones: (source, time)."""

    codes: tuple[IssuedCode, ...] = ()
    failures: tuple[tuple[str, int], ...] = ()

    def with_code(self, issued: IssuedCode, now: float) -> Enrolments:
        alive = tuple(code for code in self.codes if code.expires > now)
        return replace(self, codes=(*alive, issued))

    def as_json(self) -> dict[str, Any]:
        codes = [[c.key.hex, c.expires, c.used_by, c.wrong] for c in self.codes]
        return {"codes": codes, "failures": [list(failure) for failure in self.failures]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Enrolments:
        try:
            return cls(
                tuple(
                    IssuedCode(PublicKey(bytes.fromhex(key)), int(expires), str(used), int(wrong))
                    for key, expires, used, wrong in document["codes"]
                ),
                tuple((str(source), int(time)) for source, time in document["failures"]),
            )
        except (ValueError, LookupError, TypeError, CheckFailed) as error:
            raise DataError(f"this is no list of join codes ({error})") from error


def admit_enrolment(
    state: Enrolments, request: EnrolRequest, now: float, source: str = ""
) -> tuple[Enrolments, Candidate | Declined]:
    """What is kept from now on, and the answer. ``source`` is whoever asks as the road knows it, an
    address say: a few wrong codes, and it has to wait. The same hospital may repeat its request."""
    recent = [one for one in state.failures if one[1] > now - LIFETIME_S]
    if sum(one[0] == source for one in recent) >= WRONG_CODES:
        wait = LIFETIME_S - (now - max(time for who, time in recent if who == source))
        return state, Declined(f"too many wrong codes; try again in {wait / 60:.0f} minutes")
    issued = next((code for code in state.codes if code.id == request.code), None)
    if issued is None or issued.expires <= now:
        failures = (*recent, (source, int(now)))[-REMEMBERED:]
        why = "this join code is not known here" if issued is None else "this join code expired"
        return replace(state, failures=failures), Declined(f"{why}; ask for a new one")
    if issued.wrong >= WRONG_PROOFS:
        return state, Declined("somebody tampered with this join code; ask for a new one")
    statement, fingerprint = request.statement, request.identity.fingerprint
    if not (
        issued.key.verifies(DOMAIN, statement, request.by_code)
        and request.identity.signing.verifies(DOMAIN, statement, request.by_identity)
    ):
        tampered = _exchanged(state, replace(issued, wrong=issued.wrong + 1))
        return tampered, Declined("the keys in this request are not those that were signed")
    if issued.used_by not in ("", fingerprint):
        return state, Declined("this join code was used by another hospital; ask for a new one")
    return _exchanged(state, replace(issued, used_by=fingerprint)), Candidate(request.identity)


def _exchanged(state: Enrolments, issued: IssuedCode) -> Enrolments:
    codes = tuple(issued if code.id == issued.id else code for code in state.codes)
    return replace(state, codes=codes)


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a hospital takes home: ``root`` is the federation's certificate (DER), ``membership``
    the signed list of members, ``road`` how to reach the coordinator from now on, ``certificate``
    the hospital's own (PEM). The last is empty until somebody has confirmed it."""

    federation: str
    authority: PublicKey
    root: bytes
    membership: bytes
    road: Mapping[str, str]
    certificate: str = ""

    def as_json(self, request: EnrolRequest) -> dict[str, Any]:
        return {
            "request": request.sha256,
            "federation": self.federation,
            "authority": self.authority.hex,
            "root": self.root.hex(),
            "certificate": self.certificate,
            "membership": self.membership.decode(),
            "road": dict(self.road),
        }

    def to_bytes(self, request: EnrolRequest, authority: SigningKey) -> bytes:
        document = self.as_json(request)
        signature = authority.sign(WELCOME, canonical(document)).hex()
        return canonical({**document, "signature": signature})

    @classmethod
    def from_bytes(cls, data: bytes, code: JoinCode, request: EnrolRequest) -> Welcome:
        """Raises ``CheckFailed`` unless this answers ``request`` and comes from the federation that
        the code was for; ``DataError`` for anything else."""
        document = _document(data, LARGEST_WELCOME, "welcome")
        try:
            signature = bytes.fromhex(document.pop("signature"))
            welcome = cls(
                str(document["federation"]),
                PublicKey(bytes.fromhex(document["authority"])),
                bytes.fromhex(document["root"]),
                document["membership"].encode(),
                {str(key): str(value) for key, value in document["road"].items()},
                str(document["certificate"]),
            )
        except (ValueError, LookupError, TypeError, AttributeError, CheckFailed) as error:
            raise DataError(f"this is no welcome ({error})", "ask again") from error
        found = federation_sha256(welcome.authority, welcome.root)
        if not hmac.compare_digest(found[:16], code.federation):
            raise CheckFailed(
                f"{code.address} is not the federation that the join code is for",
                "its keys have another digest",
                "Somebody is in between: do not join, and tell the coordinator",
            )
        if not welcome.authority.verifies(WELCOME, canonical(document), signature):
            raise CheckFailed("the welcome is not signed by the federation's authority")
        if document.get("request") != request.sha256:
            raise CheckFailed("the welcome answers another request", "other keys were enrolled")
        return welcome


def _code_id(key: PublicKey) -> str:
    return hashlib.sha256(b"aegis/join/v1" + key.raw).hexdigest()[:16]


def _plain(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii():
        raise ValueError(f"{value!r:.60} is no plain text")
    return value


def _seconds(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"{value!r:.60} is no time")
    return value


def _document(data: bytes, limit: int, what: str) -> dict[str, Any]:
    if len(data) > limit:
        raise DataError(f"a {what} of {len(data)} bytes", f"at most {limit}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is no {what} ({error})") from error
    if not isinstance(document, dict):
        raise DataError(f"this is no {what}")
    return document
