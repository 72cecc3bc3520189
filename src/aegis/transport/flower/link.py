"""The coordinator's end of the socket to its relay: one listener, at most one relay at a time."""

from __future__ import annotations

import hmac
import json
import os
import queue
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aegis.transport.flower import frames
from aegis.transport.flower.frames import Frame, Kind


class RelayLink:
    """``heard`` is called with each frame from the relay."""

    def __init__(self, home: Path, heard: Callable[[Frame], None]) -> None:
        self._token = b""
        self._heard = heard
        self._server = socket.create_server(("127.0.0.1", 0))
        self._link: socket.socket | None = None
        self._out: queue.Queue[Frame | None] = queue.Queue()
        self.connected = threading.Event()
        self.lost = threading.Event()
        self.place = home / "relay.json"
        self.renew()
        for work in (self._accept, self._write):
            threading.Thread(target=work, daemon=True, name=f"aegis-{work.__name__}").start()

    def renew(self) -> None:
        """From now on only a relay that reads the file anew may connect; the old one is cut off."""
        self._token = secrets.token_bytes(frames.TOKEN_BYTES)
        port = self._server.getsockname()[1]
        write_private(self.place, json.dumps({"port": port, "token": self._token.hex()}))
        link = self._link
        if link is not None:
            self._drop(link)

    def send(self, kind: Kind, node: int, body: bytes) -> None:
        self._out.put((kind, node, body))

    def close(self) -> None:
        self._out.put(None)
        for end in (self._server, self._link):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                with suppress(OSError):
                    end.close()
        self.place.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            link.settimeout(5)
            try:
                said = frames.exactly(link, frames.TOKEN_BYTES)
            except OSError:
                said = None
            if said is None or not hmac.compare_digest(said, self._token):
                link.close()
                continue
            link.settimeout(None)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._link is not None:
                self._link.close()
            self._link = link
            self.lost.clear()
            self.connected.set()
            threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while (frame := frames.read(link)) is not None:
                self._heard(frame)
        self._drop(link)

    def _write(self) -> None:
        while (frame := self._out.get()) is not None:
            link = self._link
            if link is None:
                continue  # the road above asks again
            try:
                frames.write(link, *frame)
            except OSError:
                self._drop(link)

    def _drop(self, link: socket.socket) -> None:
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            link.close()
        if self._link is link:
            self._link = None
            self.connected.clear()
            self.lost.set()


def write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
