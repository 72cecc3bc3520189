"""A port, spoken to with patience that ends: plain HTTP on loopback, TLS anywhere else.

Whoever opens a connection and says nothing, or says it one byte at a time, is cut off: a request
must have come whole within seconds. Connections are few, bodies small.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from pathlib import Path
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from aegis.errors import BadInput, RunAborted
from aegis.transport.carrier import Trust

PATIENCE_S = 10.0
MOST_CONNECTIONS = 200


class _Impatient(H11Protocol):
    """Closes a connection whose request has not come whole in time, also a later one on it."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def _look(self) -> None:
        """One clock runs from a request's first byte (or the connection) to its last."""
        if self.transport.is_closing() or self._whole():
            if self._late is not None:
                self._late.cancel()
                self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(PATIENCE_S, self._lost_patience)

    def _whole(self) -> bool:
        """Whether no part of a request is there while the rest of it is missing."""
        state = self.conn.their_state
        if state is h11.IDLE:
            return self.cycle is not None and not self.conn.trailing_data[0]
        return state is not h11.SEND_BODY

    def _lost_patience(self) -> None:
        self._late = None
        if not (self.transport.is_closing() or self._whole()):
            self.transport.abort()


class Listening:
    """The app behind a port, in a thread of its own. Use it as a context."""

    def __init__(self, app: FastAPI, host: str, port: int, trust: Trust | None) -> None:
        if trust is None and not loopback(host):
            raise BadInput(
                f"plain HTTP on {host} would be open to everybody on the network",
                "other addresses than loopback speak TLS",
                "Use --host 127.0.0.1, or let the coordinator use its certificate",
            )
        self.host = host
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        tls: dict[str, Any] = {}
        if trust is not None:
            assert trust.own is not None
            tls = {"ssl_certfile": str(trust.own), "ssl_keyfile": str(trust.own)}
        self.scheme = "http" if trust is None else "https"
        config = uvicorn.Config(
            app,
            http=_Impatient,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=3,
            server_header=False,
            date_header=False,
            **tls,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="listening", daemon=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Listening:
        self._thread.start()
        for _ in range(200):
            if self._server.started:
                return self
            self._thread.join(0.05)
            if not self._thread.is_alive():
                break
        raise RunAborted(f"nothing listens on {self.url}", way_out="Its log says why")

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


def loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_at(path: Path) -> str:
    """A new token, written for whoever may read the folder."""
    import secrets

    from aegis.identity.keyfile import write_private

    token = secrets.token_urlsafe(32)
    write_private(path, token.encode(), replace=True)
    return token


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        taken = error.errno == errno.EADDRINUSE
        raise BadInput(
            f"the port {port} of {host} {'is taken' if taken else f'cannot be used ({error})'}",
            way_out="Choose another with --port",
        ) from error
    return found
