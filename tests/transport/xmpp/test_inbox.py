"""What a server hands on is not always from somebody."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

pytest.importorskip("spade")


@pytest.mark.parametrize("by", ["@", "/", "mercy@hearts.example/", "a" * 2000, "é@/x"])
@pytest.mark.parametrize("kind", ["chat", "error"])
def test_a_message_from_what_is_no_address_is_dropped(by, kind, caplog):
    from slixmpp.stanza import Message

    from aegis.transport.xmpp.inbox import Inbox

    heard = []
    agent = SimpleNamespace(
        who="coordinator",
        name_of=lambda jid: "mercy",
        outbox=SimpleNamespace(bounced=lambda name, id: heard.append(id)),
        _message_received=heard.append,
    )
    said = ElementTree.Element("{jabber:client}message", {"from": by, "type": kind, "id": "7"})
    Inbox(agent).hear(Message(xml=said))
    assert heard == []
    assert "from or to no address is dropped" in caplog.text
