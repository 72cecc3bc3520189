"""The ClientApp for a hospital that runs the stock ``flower-supernode``: it only hands over.

A SuperNode starts a Python process for each message. Policy, ledger and keys live in the hospital's
own long-lived process, so this app passes the sealed bytes to it (``local_line``) and returns what
it answers; there is no other way in. ``--node-config 'aegis="PATH"'`` names the file that the
hospital's process wrote.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from aegis.transport.flower import frames
from aegis.transport.flower.frames import Kind
from aegis.transport.flower.parcels import LIFETIME_S, packed, unpacked

app = ClientApp()


@app.query()
def hand_over(message: Message, context: Context) -> Message:
    """Raises where the hospital's process is not there; Flower reports it as this node's error."""
    return handed_over(message, Path(str(context.node_config["aegis"])))


def handed_over(message: Message, place: Path) -> Message:
    body = unpacked(message.content.config_records.values())
    said = json.loads(place.read_text())
    with socket.create_connection(("127.0.0.1", said["port"]), timeout=10) as link:
        link.settimeout(LIFETIME_S)
        link.sendall(bytes.fromhex(said["token"]))
        frames.write(link, Kind.SEND, 0, body)
        answer = frames.read(link)
    if answer is None:
        raise ConnectionError("the hospital's own process closed without an answer")
    return Message(packed(answer[2]), reply_to=message)
