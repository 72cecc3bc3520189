"""What comes to a front desk and what it sends back: join codes, requests, welcomes, members.

Requests go through the coordinator's own application, whose state is put back after each. What was
changed is signed again by the hospital, the code and the authority that the harness holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from functools import cache
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from aegis.console.coordinator.api import federation
from aegis.console.window.failures import answers_failures
from aegis.errors import AegisError
from aegis.identity.certificates import certificate_request
from aegis.identity.enrolment import DOMAIN, WELCOME, EnrolRequest, Welcome
from aegis.identity.identity import Identity, canonical
from aegis.identity.join_code import JoinCode
from aegis.identity.keys import SigningKey
from aegis.identity.membership import DOMAIN as MEMBERS
from aegis.identity.membership import Membership
from aegis.identity.registrar import AUTHORITY
from aegis.operations.coordinator.enrolling import FrontDesk
from aegis.operations.coordinator.office import Office
from aegis.store.home import Home
from tests.fuzz.harness import Harness, replay, scratch
from tests.fuzz.mutations import changed, document, of_bytes, of_words, one_of

NOW = 1_700_000_000.0
_sources = count()


@dataclass(frozen=True)
class Desk:
    """``codes`` and ``requests`` are of two hospitals; the first is let in at once."""

    app: FastAPI
    files: dict[Any, bytes]
    codes: tuple[JoinCode, ...]
    hospitals: tuple[Identity, ...]
    requests: tuple[EnrolRequest, ...]
    welcome: bytes
    authority: SigningKey


@cache
def desk() -> Desk:
    office = Office(Home(scratch() / "office")).open("hearts")
    front = FrontDesk(office, lambda name, key: {"road": "flower"}, clock=lambda: NOW)
    app = FastAPI()
    answers_failures(app)
    app.include_router(federation.router)
    app.state.desk = SimpleNamespace(coordinator=SimpleNamespace(desk=front, office=office))
    hospitals = (Identity.generate("north"), Identity.generate("south", hybrid=True))
    codes = tuple(
        front.invite(one.name, "aegis.example:8081", trusted=one.name == "north")
        for one in hospitals
    )
    requests = tuple(
        EnrolRequest.of(code, one, NOW, certificate_request(one.name)[1])
        for code, one in zip(codes, hospitals, strict=True)
    )
    files = {path: path.read_bytes() for path in (front.path, office.home.keys / "federation.json")}
    welcome = front.enrol(requests[0].to_bytes())
    authority = office.registrar.keys.read(AUTHORITY).signing
    return Desk(app, files, codes, hospitals, requests, welcome, authority)


@cache
def seeds() -> list[bytes]:
    one = desk()
    requests = [request.to_bytes() for request in one.requests]
    members = json.loads(one.welcome)["membership"].encode()
    return [*(code.text.encode() for code in one.codes), *requests, one.welcome, members]


def of_signed(rng: Random, data: bytes, seeds: Any) -> bytes:
    try:
        return signed(changed(rng, json.loads(data)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return of_bytes(rng, data, seeds)


def signed(said: Any) -> bytes:
    """The same document with the signatures that belong to it, as far as it has any."""
    one = desk()
    if "by_code" in said:
        proofs = {key: said.pop(key, "") for key in ("by_identity", "by_code")}
        statement = canonical(said)
        which = 1 if '"south"' in statement.decode() else 0
        if proofs["by_identity"]:
            proofs["by_identity"] = one.hospitals[which].signing.sign(DOMAIN, statement).hex()
        if proofs["by_code"]:
            proofs["by_code"] = one.codes[which].key.sign(DOMAIN, statement).hex()
        return canonical({**said, **proofs})
    if "road" in said:
        del said["signature"]
        return canonical({**said, "signature": one.authority.sign(WELCOME, canonical(said)).hex()})
    said["signature"] = one.authority.sign(MEMBERS, canonical(said["membership"])).hex()
    return json.dumps(said).encode()


def take(data: bytes) -> object:
    one, text = desk(), data.decode("utf-8", "replace")
    found: list[object] = []
    for attempt in (
        lambda: repr(JoinCode.read(text)),
        lambda: Welcome.from_bytes(data, one.codes[0], one.requests[0]),
        lambda: Membership.read(data, one.authority.public),
        lambda: EnrolRequest.from_bytes(data).sha256,
    ):
        with contextlib.suppress(AegisError):
            found.append(attempt())
    try:
        found.append(asyncio.run(_posted(data)))
    finally:
        for path, held in one.files.items():
            path.write_bytes(held)
    return found


async def _posted(data: bytes) -> int:
    road = httpx.ASGITransport(desk().app, client=(f"source {next(_sources)}", 1))
    async with httpx.AsyncClient(transport=road, base_url="http://localhost") as client:
        answer = await client.post("/api/enrol", content=data)
    if answer.status_code >= 500:
        raise RuntimeError(f"answered {answer.status_code}")
    return answer.status_code


HARNESS = Harness("enrolment", take, seeds, one_of(of_signed, of_signed, document, of_words))

if __name__ == "__main__":
    replay(HARNESS)
