"""A message stanza as a server hands it on: read as XML, heard, taken; and its text alone.

The inbox is the real one, its agent a stand-in that knows one hospital. Skipped without SPADE.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from aegis.errors import AegisError, CheckFailed
from aegis.transport.xmpp.messages import RESOURCE, File, Label, Message, read, written
from tests.fuzz.harness import Harness, replay
from tests.fuzz.mutations import changed, of_bytes, of_words, one_of

LABEL = Label("0" * 32, "mercy", 3, "MODEL_UPDATE", "run-1", "2026-11-22T03:00:00.000Z")
STANZA = (
    '<message xmlns="jabber:client" from="{by}" to="coordinator@hearts.example/{resource}"'
    ' id="7" type="{kind}">{inside}</message>'
)
FROM = f"mercy@hearts.example/{RESOURCE}"


@cache
def seeds() -> list[bytes]:
    texts = [
        written(Message(LABEL, b"sealed" * 9)),
        written(Message(LABEL, File("https://hearts.example:5281/a/b", "0" * 64, 900))),
        written(Message(LABEL)),
    ]
    return [*(_stanza(text) for text in texts), _stanza("it bounced", kind="error")]


def _stanza(text: str, by: str = FROM, kind: str = "chat") -> bytes:
    inside = f"<body>{escape(text)}</body>"
    return STANZA.format(by=by, kind=kind, resource=RESOURCE, inside=inside).encode()


def of_text(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Another document in a stanza that is whole."""
    try:
        body = ElementTree.fromstring(data).findtext("{jabber:client}body") or ""
        text = json.dumps(changed(rng, json.loads(body)))
        return _stanza("".join(letter for letter in text if letter >= " "))
    except (ElementTree.ParseError, ValueError, RecursionError):
        return of_bytes(rng, data, seeds)


def of_marks(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Stanzas of other kinds, from others, with other things inside."""
    by = rng.choice((FROM, "", "mercy@hearts.example", "@", "a@b/" + "x" * 2000, "\N{SNOWMAN}/r"))
    kind = rng.choice(("chat", "error", "groupchat", "normal", "headline", "", "x"))
    made = _stanza("hello", escape(by), kind)
    inside = rng.choice(
        (b"", b"<body/>", b"<body>a</body><body>b</body>", b"<x xmlns='jabber:x:data'/>",
         b"<x xmlns='jabber:x:data' type='form'><field var='thread'><value>1</value></field></x>",
         b"<x xmlns='jabber:x:data'><title>spade:x:metadata</title><field var='a' type='?'/></x>",
         b"<error/>", b"<error type='cancel'><gone xmlns='urn:x'/></error>", b"<thread/>",
         b"<received xmlns='urn:xmpp:receipts' id='7'/>", b"<request xmlns='urn:xmpp:receipts'/>",
         b"<body xml:lang='de'>x</body>", b"&amp;", b"<a>" * 200 + b"</a>" * 200)
    )  # fmt: skip
    return made.replace(b"</message>", inside + b"</message>")


@cache
def _heard() -> Callable[[Any], None]:
    from slixmpp.stanza import Message as Sent
    from spade.message import Message as Spoken

    from aegis.transport.xmpp import agent as agents

    class Files:
        async def fetch(self, file: File) -> bytes:
            raise CheckFailed("there is no server here")

    def hear(xml: ElementTree.Element) -> None:
        ends = agents.Ends(
            lambda: {"mercy@hearts.example": "mercy"},
            frozenset({"JOIN", "MODEL_UPDATE", "ERROR"}),
            lambda name, label, data: None,
        )
        passed: list[Any] = []
        agent = SimpleNamespace(
            who="coordinator", ends=ends, files=Files(), _message_received=passed.append,
            client=SimpleNamespace(Message=_Receipt), outbox=SimpleNamespace(
                bounced=lambda name, id: None
            ), spawn=lambda work: asyncio.ensure_future(work),
        )  # fmt: skip
        agent.name_of = lambda jid: agents.RoadAgent.name_of(agent, jid)
        inbox = agents.Inbox(agent)

        async def taken() -> None:
            for stanza in passed:
                await inbox.take(Spoken.from_node(stanza))
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others)

        log = logging.getLogger("aegis.xmpp")
        before = log.level
        log.setLevel(logging.CRITICAL)
        try:
            inbox.hear(Sent(xml=xml))
            asyncio.run(taken())
        finally:
            log.setLevel(before)

    return hear


class _Receipt(dict[str, Any]):
    def send(self) -> None:
        pass


def take(data: bytes) -> object:
    try:
        xml = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError):
        return read(data.decode("utf-8", "replace"))
    if xml.tag != "{jabber:client}message":  # the library gives a handler nothing else
        return None
    text = xml.findtext("{jabber:client}body") or ""
    with contextlib.suppress(AegisError):
        read(text)
    return _heard()(xml)


HARNESS = Harness("stanzas", take, seeds, one_of(of_text, of_text, of_marks, of_words, of_bytes))

if __name__ == "__main__":
    replay(HARNESS)
