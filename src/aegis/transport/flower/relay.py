"""The thin ServerApp: what the coordinator hands over goes to the grid, replies come back.

It runs inside the stock SuperLink's own child process, keeps nothing, and polls nothing: the
coordinator's gateway sees when a hospital's reply is complete and says which one to fetch. When it
dies, the coordinator starts another Flower run, and what was on its way is asked for again.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from aegis.transport.flower import frames
from aegis.transport.flower.frames import Kind
from aegis.transport.flower.parcels import LIFETIME_S, MESSAGE_TYPE, packed, unpacked

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    place = json.loads(Path(str(context.run_config["relay"])).read_text())
    with socket.create_connection(("127.0.0.1", place["port"]), timeout=10) as link:
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(bytes.fromhex(place["token"]))
        list(grid.get_node_ids())  # connects, before several threads use it
        Relay(grid, link).serve()


class Relay:
    def __init__(self, grid: Grid, link: socket.socket) -> None:
        self._grid, self._link = grid, link
        self._writing = threading.Lock()

    def serve(self) -> None:
        """Returns when the coordinator closes the connection."""
        with ThreadPoolExecutor(4) as pool:
            while (frame := self._next()) is not None:
                kind, node, body = frame
                if kind is Kind.SEND:
                    pool.submit(self._guarded, self._send, node, body)
                elif kind is Kind.LOOK:
                    pool.submit(self._guarded, self._look, node, body)

    def _next(self) -> frames.Frame | None:
        while not select.select([self._link], [], [], 1.0)[0]:
            pass  # a signal to end reaches a thread that sleeps in Python only
        return frames.read(self._link)

    def _guarded(self, work: Callable[[int, bytes], None], node: int, body: bytes) -> None:
        try:
            work(node, body)
        except Exception as error:  # one message is lost, and asked for again; not the relay
            print(f"relay: {type(error).__name__}: {error}", flush=True)

    def _send(self, node: int, body: bytes) -> None:
        message = Message(packed(body), node, MESSAGE_TYPE, ttl=LIFETIME_S)
        self._grid.push_messages([message])
        self._write(Kind.SENT, node)

    def _look(self, node: int, message_id: bytes) -> None:
        for reply in self._grid.pull_messages([message_id.decode("ascii")]):
            if reply.has_error():
                print(f"relay: node {node}: {reply.error.reason}", flush=True)
                continue
            body = unpacked(reply.content.config_records.values())
            self._write(Kind.REPLY, reply.metadata.src_node_id, body)

    def _write(self, kind: Kind, node: int, body: bytes = b"") -> None:
        with self._writing:
            frames.write(self._link, kind, node, body)
