"""A hospital asks for a run of a plan that this coordinator knows, signed with its own key.

    POST /api/ask-for-run    a member that is not revoked; 409 where no run can begin now

The signature stands for the person: a hospital has no account here. Nothing but the hash of a plan
that hospitals trained by before can be asked for, no run is begun beside another one, and each
signed statement counts once. What needs two people here needs them for a hospital's wish too.
"""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from aegis.console.coordinator.api.federation import running
from aegis.console.coordinator.desk import Desk, desk_of
from aegis.console.coordinator.runs import steering
from aegis.console.people.roles import Person
from aegis.errors import AegisError, CheckFailed, RunAborted
from aegis.identity.asking import DOMAIN, asked_bytes
from aegis.plan import Plan

log = logging.getLogger("aegis")
router = APIRouter()
FRESH_S, REMEMBERED, LOOKED_AT = 120.0, 1000, 200


class AskedFor(BaseModel):
    """``time`` in seconds since 1970; ``signature`` over the other four fields, hexadecimal."""

    model_config = ConfigDict(extra="forbid")

    hospital: Annotated[str, Field(max_length=63)]
    plan_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    time: Annotated[float, Field(allow_inf_nan=False)]
    nonce: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


@router.post("/api/ask-for-run", summary="A hospital asks, signed, for a run of a plan")
def ask_for_run(asked: AskedFor, request: Request) -> dict[str, Any]:
    desk = desk_of(request)
    standing = running(desk).office.registrar.membership.standing(asked.hospital)
    signed = asked_bytes(asked.model_dump())
    mark = bytes.fromhex(asked.signature)
    if (
        standing is None
        or standing.revoked
        or not standing.identity.signing.verifies(DOMAIN, signed, mark)
        or abs(time.time() - asked.time) > FRESH_S
        or not _first(desk, asked.nonce)
    ):
        raise CheckFailed("this is no statement of a member, made just now")
    plan = _known(desk, asked.plan_sha256)
    try:
        wishing = Person(asked.hospital, frozenset(), asked.hospital, way="token")
        run = steering.start(desk, plan, "hospitals", wishing)
    except AegisError as error:
        raise RunAborted(error.value, error.need, error.way_out) from error
    log.info("%s asked for the run %s", asked.hospital, run)
    return {"status": "started", "run": run}


def _known(desk: Desk, sha256: str) -> Plan:
    for line in desk.reading.lines(LOOKED_AT):
        if line.plan_sha256 == sha256 and line.transport != "inprocess":
            return desk.reading.plan(line.run)
    raise RunAborted(
        "hospitals have trained by no such plan here", "one of an earlier run", "Ask its people"
    )


def _first(desk: Desk, nonce: str) -> bool:
    seen: dict[str, None] = desk.extra.setdefault("asked nonces", {})
    if nonce in seen:
        return False
    seen[nonce] = None
    while len(seen) > REMEMBERED:
        seen.pop(next(iter(seen)))
    return True
