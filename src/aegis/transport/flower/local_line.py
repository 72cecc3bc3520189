"""A hospital's end behind a stock ``flower-supernode``: its ClientApp comes here for each message.

Listens on loopback, for whoever holds the token in a file that only this user can read.
"""

from __future__ import annotations

import hmac
import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from aegis.errors import BadInput
from aegis.identity.certificates import Certified
from aegis.identity.keyfile import write_private as write_key
from aegis.transport.carrier import Parcel, Trust
from aegis.transport.flower import frames
from aegis.transport.flower.frames import Kind
from aegis.transport.flower.link import write_private


class LocalLine:
    """``place`` is the file for ``--node-config 'aegis="PLACE"'``."""

    def __init__(self, place: Path) -> None:
        self._token = secrets.token_bytes(frames.TOKEN_BYTES)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._inbox: queue.Queue[Parcel] = queue.Queue()
        self._came = 0.0
        self._closed = False
        self._place = place
        port = self._server.getsockname()[1]
        write_private(place, json.dumps({"port": port, "token": self._token.hex()}))
        threading.Thread(target=self._accept, daemon=True, name="aegis-local-line").start()

    @property
    def status(self) -> str:
        if self._closed:
            return "closed"
        if not self._came:
            return "no message came from the flower-supernode yet"
        return "connected"

    def receive(self, timeout_s: float) -> Parcel | None:
        try:
            return self._inbox.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            return None

    def reply(self, to: Parcel, data: bytes) -> None:
        """To the ClientApp that brought the parcel; where it is gone, the answer is asked for
        again."""
        link = to.ticket
        if isinstance(link, socket.socket):
            with suppress(OSError), link:
                frames.write(link, Kind.REPLY, 0, data)

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._place.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(link,), daemon=True).start()

    def _take(self, link: socket.socket) -> None:
        link.settimeout(30)
        try:
            said = frames.exactly(link, frames.TOKEN_BYTES)
            known = said is not None and hmac.compare_digest(said, self._token)
            frame = frames.read(link) if known else None
        except (OSError, ValueError):
            frame = None
        if frame is None:
            link.close()
            return
        self._came = time.monotonic()
        self._inbox.put(Parcel(frame[2], link))


def supernode_command(
    road: Mapping[str, str], trust: Trust, place: Path, port: int = 9094
) -> Sequence[str]:
    """How the stock node is started beside a ``LocalLine`` of this ``place``; ``port`` is the
    node's own, on loopback. Writes the hospital's key once more, beside ``place``, in the only form
    that this program reads (OpenSSH)."""
    if trust.own is None:
        raise BadInput("a SuperNode needs the hospital's certificate with its key")
    key = place.with_suffix(".ssh")
    write_key(
        key,
        Certified.load(trust.own).key.private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        ),
        replace=True,
    )
    return (
        "flower-supernode",
        *("--superlink", road["address"], "--root-certificates", str(trust.root)),
        *("--auth-supernode-private-key", str(key)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--node-config", f'aegis="{place}"'),
    )
