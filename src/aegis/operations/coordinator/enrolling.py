"""The front desk: join codes, who came with one, and what a hospital takes home.

The administrator issues a code for a name. A hospital that comes with it is admitted at once where
the code was issued so (``trusted``: the code reached the right people, and whoever holds it is
they), or else waits until somebody has read its fingerprint back (``confirm``). It may repeat its
request as often as it likes; each answer is a welcome, the last of them with a certificate.

What is open lies in AEGIS_HOME/keys/enrolments.json, so that codes can be issued while the
coordinator runs, and by another process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.errors import BadInput, CheckFailed
from aegis.identity.certificates import pem, requested
from aegis.identity.enrolment import (
    LIFETIME_S,
    Candidate,
    Declined,
    Enrolments,
    EnrolRequest,
    Welcome,
    admit_enrolment,
    issue_code,
)
from aegis.identity.identity import PublicIdentity, checked_name
from aegis.identity.join_code import JoinCode
from aegis.identity.keyfile import read_private, write_private
from aegis.identity.membership import Membership
from aegis.operations.coordinator.office import Office
from aegis.store.home import held_alone

PATIENCE_S = 10.0
MOST_WAITING = 200


@dataclass(frozen=True)
class Waiting:
    """A hospital that came with a good code and waits for its fingerprint to be read back."""

    name: str
    fingerprint: str
    since: int


class FrontDesk:
    """``road`` says what an admitted hospital's ``Line`` must know, given its name and the public
    key (PEM) of its certificate; ``changed`` hears of each change of the members."""

    def __init__(
        self,
        office: Office,
        road: Callable[[str, bytes], Mapping[str, str]] | None = None,
        changed: Callable[[Membership, Membership], None] = lambda before, after: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._office, self._road, self._changed, self._clock = office, road, changed, clock

    @property
    def path(self) -> Path:
        return self._office.home.keys / "enrolments.json"

    def invite(self, name: str, address: str, trusted: bool = False) -> JoinCode:
        """A code for one hospital, good for 15 minutes."""
        checked_name(name)
        standing = self._office.registrar.membership.standing(name)
        if standing is not None and not standing.revoked:
            raise BadInput(
                f"{name} is a member already",
                f"its fingerprint is {standing.identity.fingerprint}",
                f"Choose another name, or revoke it first: aegis keys revoke {name}",
            )
        now = self._clock()
        code, issued = issue_code(address, self._office.fingerprint, now)
        with self._kept() as kept:
            kept.state = kept.state.with_code(issued, now)
            kept.names[issued.id] = {"name": name, "trusted": trusted, "expires": issued.expires}
        return code

    def member(self, name: str) -> PublicIdentity | None:
        """Who counts under this name, if anybody."""
        standing = self._office.registrar.membership.standing(name)
        return None if standing is None or standing.revoked else standing.identity

    def reminder(self, address: str) -> JoinCode:
        """A code that lets nobody in: with it a member fetches its welcome again, since what it
        proves is its own keys."""
        return JoinCode.new(address, self._office.fingerprint)

    def enrol(self, data: bytes, source: str = "") -> bytes:
        """The welcome for a request to enrol. Raises ``CheckFailed`` for one that is declined."""
        request = EnrolRequest.from_bytes(data)
        name = request.identity.name
        standing = self._office.registrar.membership.standing(name)
        if standing is None or standing.revoked or standing.identity != request.identity:
            self._came(request, source)
            standing = self._office.registrar.membership.standing(name)
        elif not self._proved(request):
            raise CheckFailed("the keys in this request are not those that were signed")
        elif abs(self._clock() - request.time) > LIFETIME_S:
            # An old one, sent again by somebody else, would exchange the member's way in.
            raise CheckFailed(
                "this request is from another time",
                f"it is good for {LIFETIME_S // 60} minutes",
                "Set both clocks, and join again",
            )
        welcomed = standing is not None and standing.identity == request.identity
        return self._welcome(request, welcomed)

    def waiting(self) -> list[Waiting]:
        with self._kept() as kept:
            return [
                Waiting(name, _identity(one["request"]).fingerprint, one["since"])
                for name, one in sorted(kept.waiting.items())
            ]

    def confirm(self, name: str, fingerprint: str) -> Membership:
        """Admit a hospital that waits, once its fingerprint was read back. ``CheckFailed`` where it
        is another one."""
        with self._kept() as kept:
            one = kept.waiting.get(name)
            if one is None:
                there = ", ".join(sorted(kept.waiting)) or "nobody"
                raise BadInput(f"{name} does not wait to be admitted", f"waiting: {there}")
            identity = Candidate(_identity(one["request"])).confirmed(fingerprint)
            there_already = self.member(name) == identity  # a crash came between the two files
            membership = self._office.registrar.membership
            after = membership if there_already else self._admit(identity)
            del kept.waiting[name]
            return after

    def _came(self, request: EnrolRequest, source: str) -> None:
        with self._kept() as kept:
            now = self._clock()
            named = kept.names.get(request.code)
            after, answer = admit_enrolment(kept.state, request, now, source)
            right = named is not None and named["name"] == request.identity.name
            if right or isinstance(answer, Declined):  # a wrong name does not use up the code
                kept.state = after
            if isinstance(answer, Declined):
                raise CheckFailed(answer.reason)
            if named is None or not right:
                expected = "another hospital" if named is None else named["name"]
                raise CheckFailed(
                    f"this join code is for {expected}, not for {request.identity.name}",
                    way_out="Join under the name that the code was issued for",
                )
            if named["trusted"]:
                self._admit(answer.identity)
            elif len(kept.waiting) < MOST_WAITING:
                kept.waiting[answer.identity.name] = {
                    "request": request.to_bytes().decode(),
                    "since": int(now),
                }

    def _proved(self, request: EnrolRequest) -> bool:
        from aegis.identity.enrolment import DOMAIN

        key = request.identity.signing
        return key.verifies(DOMAIN, request.statement, request.by_identity)

    def _admit(self, identity: PublicIdentity) -> Membership:
        registrar = self._office.registrar
        before = registrar.membership
        after = registrar.admit(identity)
        self._changed(before, after)
        return after

    def _welcome(self, request: EnrolRequest, welcomed: bool) -> bytes:
        office, name = self._office, request.identity.name
        registrar = office.registrar
        certificate, road = "", {}
        if welcomed:
            key = requested(request.certificate.encode())
            certificate = pem(office.authority.certify(name, "client", key)).decode()
            if self._road is not None:
                from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

                public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                road = dict(self._road(name, public))
        welcome = Welcome(
            registrar.membership.federation,
            registrar.authority,
            office.root,
            (registrar.folder / "federation.json").read_bytes(),
            road,
            certificate,
        )
        from aegis.identity.registrar import AUTHORITY

        signing = registrar.keys.read(AUTHORITY, registrar.passphrase).signing
        return welcome.to_bytes(request, signing)

    def _kept(self) -> _Kept:
        return _Kept(self.path)


class _Kept:
    """The open file of enrolments: locked, read, and written back where nothing was raised."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Kept:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._lock = held_alone(self._path.with_name(".enrolments"), self._busy)
            try:
                self._lock.__enter__()
                break
            except BadInput:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        try:
            self._read()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def _read(self) -> None:
        self._before = read_private(self._path) if self._path.exists() else b"{}"
        said: dict[str, Any] = json.loads(self._before)
        self.state = Enrolments.from_json(said.get("state", {"codes": [], "failures": []}))
        self.names: dict[str, Any] = said.get("names", {})
        self.waiting: dict[str, Any] = said.get("waiting", {})

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            alive = {code.id for code in self.state.codes}
            document = {
                "state": self.state.as_json(),
                "names": {key: named for key, named in self.names.items() if key in alive},
                "waiting": self.waiting,
            }
            text = json.dumps(document, indent=1).encode()
            if text != self._before:  # strangers are not to keep the disk busy
                write_private(self._path, text, replace=True)
        finally:
            self._lock.__exit__(None, None, None)

    def _busy(self, by: str) -> BadInput:
        return BadInput(f"{self._path} is being changed ({by})", way_out="Try again")


def _identity(text: str) -> PublicIdentity:
    return EnrolRequest.from_bytes(text.encode()).identity
