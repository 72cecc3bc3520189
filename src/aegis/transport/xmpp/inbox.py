"""What reaches an agent: from whom it may come, how much at once, in which form, and only once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

from spade.message import Message as Spoken

from aegis.errors import AegisError, CheckFailed, RunAborted
from aegis.transport.xmpp.messages import LARGEST_TEXT, File, Label, read

if TYPE_CHECKING:
    from aegis.transport.xmpp.agent import RoadAgent

log = logging.getLogger("aegis.xmpp")

_AT_ONCE, _REMEMBERED, _FETCHES = 16, 512, 3


class Inbox:
    def __init__(self, agent: RoadAgent) -> None:
        self._agent = agent
        self._pending: Counter[str] = Counter()
        self._recent: OrderedDict[tuple[str, str], None] = OrderedDict()

    def hear(self, stanza: Any) -> None:
        """Whatever is not plainly meant for us ends here, before it is read."""
        try:
            stanza["from"], stanza["to"]  # the library raises for what is none
        except ValueError:
            log.warning("%s: a message from or to no address is dropped", self._agent.who)
            return
        if stanza["type"] == "error":  # the server could not deliver what is in it
            self._agent.outbox.bounced(self._agent.name_of(stanza["from"]) or "", stanza["id"])
            return
        name, body = self._agent.name_of(stanza["from"]), stanza["body"]
        if name is None:
            log.warning(
                "%s: a message from a stranger, %s, is dropped", self._agent.who, stanza["from"]
            )
        elif len(body) > LARGEST_TEXT:
            log.warning("%s: %d characters from %s are dropped", self._agent.who, len(body), name)
        elif self._pending[name] >= _AT_ONCE:
            log.warning("%s: %s sends too much at once; it is dropped", self._agent.who, name)
        else:
            self._pending[name] += 1
            self._agent._message_received(stanza)  # SPADE gives it to its behaviours

    async def take(self, spoken: Spoken) -> None:
        name = self._agent.name_of(spoken.sender)
        if name is None:
            return
        try:
            message = read(spoken.body or "")
            label = message.label
            if label.sender_id != name or label.msg_type not in self._agent.ends.takes:
                raise CheckFailed(
                    f"a {label.msg_type} of {label.sender_id} is not for {self._agent.who}"
                )
        except AegisError as error:
            self._pending[name] -= 1
            log.warning("%s: a message from %s is refused: %s", self._agent.who, name, error)
            return
        log.debug("%s: %s %s from %s", self._agent.who, label.msg_type, label.msg_id, name)
        if isinstance(message.payload, File):
            self._agent.spawn(self._fetched(name, label, message.payload, spoken.sender))
            return
        self._delivered(name, label, message.payload or b"", spoken.sender)

    async def _fetched(self, name: str, label: Label, file: File, sender: Any) -> None:
        for left in reversed(range(_FETCHES)):
            try:
                data = await self._agent.files.fetch(file)
            except RunAborted as error:
                if left:
                    await asyncio.sleep(0.5)
                    continue
                fault: AegisError = error
            except AegisError as error:
                fault = error
            else:
                self._delivered(name, label, data, sender)
                return
            break
        self._pending[name] -= 1
        log.warning("%s: a file from %s is refused: %s", self._agent.who, name, fault)

    def _delivered(self, name: str, label: Label, data: bytes, sender: Any) -> None:
        self._pending[name] -= 1
        key = (name, label.msg_id)
        if key not in self._recent:
            self._recent[key] = None
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
            self._agent.ends.arrived(name, label, data)
        receipt = self._agent.client.Message()
        receipt["to"], receipt["receipt"] = sender, label.msg_id
        receipt.send()
