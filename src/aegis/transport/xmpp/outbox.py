"""What an agent has handed over: kept until it is received, sent again when the other comes back.

The last few for each of the others are kept; one at a time is under way to each. What is large is
put at the file server first, and from then on only its address is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slixmpp import JID
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.xmlstream import NotConnectedError
from spade.message import Message as Spoken

from aegis.errors import AegisError, RunAborted
from aegis.transport.xmpp.messages import (
    INLINE,
    RESOURCE,
    Direction,
    File,
    Label,
    Message,
    labelled,
    written,
)

if TYPE_CHECKING:
    from aegis.transport.xmpp.agent import RoadAgent

log = logging.getLogger("aegis.xmpp")

_KEPT, _SLOT_S = 4, 10.0


@dataclass
class _Kept:
    """Something on its way. Sensitive until sealed; here it is always sealed."""

    label: Label
    data: bytes | None
    body: str | None = None
    sent: bool = False


@dataclass
class _Out:
    kept: deque[_Kept] = field(default_factory=lambda: deque(maxlen=_KEPT))
    busy: bool = False


class Outbox:
    def __init__(self, agent: RoadAgent) -> None:
        self._agent = agent
        self._out: dict[str, _Out] = {}

    def hand_over(self, name: str, data: bytes, direction: Direction, msg_id: str) -> None:
        label = labelled(data, self._agent.who, direction, msg_id)
        self._out.setdefault(name, _Out()).kept.append(_Kept(label, data))
        self._agent.spawn(self._pump(name))

    def try_all(self) -> None:
        for name in list(self._out):
            self._agent.spawn(self._pump(name))

    def received(self, stanza: Any) -> None:
        name = self._agent.name_of(stanza["from"])
        out = self._out.get(name or "")
        if out is not None:
            left = (kept for kept in out.kept if kept.label.msg_id != stanza["receipt"])
            out.kept = deque(left, maxlen=_KEPT)

    def bounced(self, name: str, msg_id: str) -> None:
        """It is tried again with the next heartbeat, or when the other side is there anew."""
        for kept in self._out[name].kept if name in self._out else ():
            if kept.label.msg_id == msg_id:
                kept.sent = False

    def again(self, name: str) -> None:
        """The other side, or the server, is there anew: what has no receipt goes out once more."""
        out = self._out.get(name)
        if out is not None:
            for kept in out.kept:
                kept.sent = False
            self._agent.spawn(self._pump(name))

    async def _pump(self, name: str) -> None:
        out = self._out[name]
        if out.busy:
            return
        out.busy = True
        try:
            while self._agent.connected:
                kept = next((one for one in out.kept if not one.sent), None)
                if kept is None:
                    return
                await self._post(name, kept)
        except (AegisError, IqError, IqTimeout, NotConnectedError) as error:
            log.info("%s: not sent to %s yet: %s", self._agent.who, name, str(error) or "no answer")
        finally:
            out.busy = False

    async def _post(self, name: str, kept: _Kept) -> None:
        if kept.body is None:
            assert kept.data is not None
            payload: bytes | File = kept.data
            if len(kept.data) > INLINE:
                payload = await self.upload(kept.label, kept.data)
            kept.body, kept.data = written(Message(kept.label, payload)), None
        account = next((one for one, who in self._agent.ends.others().items() if who == name), None)
        if account is None:
            kept.sent = True
            return
        self.speak(account, kept.body, kept.label.msg_id)
        kept.sent = True
        self._agent.ends.posted(kept.label)

    def speak(self, account: str, body: str, msg_id: str) -> None:
        spoken = Spoken(to=f"{account}/{RESOURCE}", sender=str(self._agent.jid), body=body)
        stanza = spoken.prepare(self._agent.client)
        stanza["id"], stanza["request_receipt"] = msg_id, True
        stanza.send()

    async def upload(self, label: Label, data: bytes) -> File:
        if len(data) > self._agent.place.limit:
            raise RunAborted(f"{len(data)} bytes in one file", f"at most {self._agent.place.limit}")
        loop = asyncio.get_running_loop()
        digest = loop.run_in_executor(None, lambda: hashlib.sha256(data).hexdigest())
        answer = await self._agent.client["xep_0363"].request_slot(
            JID(self._agent.place.host), f"{label.msg_id}.aegis", len(data), timeout=_SLOT_S
        )
        slot = answer["http_upload_slot"]
        headers = {one["name"]: one["value"] for one in slot["put"]["headers"]}
        await self._agent.files.put(slot["put"]["url"], headers, data)
        return File(slot["get"]["url"], await digest, len(data))
