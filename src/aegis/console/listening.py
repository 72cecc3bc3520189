"""A port, spoken to with patience that ends: plain HTTP on loopback, TLS anywhere else.

Whoever opens a connection and says nothing, or says it one byte at a time, is cut off: a request
must have come whole within seconds, or keep coming as fast as a slow line carries it. Most
connections are pages that listen to their stream; of those whose request has not come whole there
are few, and one more than that costs the oldest of them its place. So the slow crowd out each
other, never a page or a request that comes at once. What follows an answer that came early is read
to its announced end, so that the answer arrives; a body without an end, or one that nobody here
would take, ends with its answer.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from pathlib import Path
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from aegis.errors import BadInput, RunAborted
from aegis.transport.carrier import Trust

PATIENCE_S, SLOWEST = 10.0, 2**14  # seconds, and bytes a second that win as much again
MOST_CONNECTIONS, MOST_UNFINISHED = 800, 100
MOST_ANNOUNCED, MOST_AFTER = 51 * 2**20, 2**16  # bytes; after an answer that came early
_STREAM = b"text/event-stream; charset=utf-8"


class _Impatient(H11Protocol):
    """Closes a connection whose request has not come whole in time, also a later one on it. Each
    port has a class of its own, whose ``unfinished`` are its connections of that kind, oldest
    first."""

    unfinished: ClassVar[dict[_Impatient, None]]
    _late: asyncio.TimerHandle | None = None
    _after = 0  # bytes that came after an answer
    _came = 0  # bytes since the clock began

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        super().data_received(data)
        self._endless(len(data))
        self._look()

    def _endless(self, size: int) -> None:
        """Closes where a request that was answered goes on and on."""
        if self.conn.our_state is not h11.DONE or self.conn.their_state is not h11.SEND_BODY:
            self._after = 0
            return
        self._after += size
        said = next((value for name, value in self.headers if name == b"content-length"), b"")
        announced = said.isdigit() and len(said) < 10 and int(said) <= MOST_ANNOUNCED
        if self._after > MOST_AFTER and not announced:
            self.transport.close()

    def _look(self) -> None:
        """One clock runs from a request's first byte (or the connection) to its last."""
        if self.transport.is_closing() or self._whole():
            self._calm()
        elif self._late is None:
            self._late = self.loop.call_later(PATIENCE_S, self._look_again)
            self._came = 0
            self.unfinished[self] = None
            if len(self.unfinished) > MOST_UNFINISHED:
                next(iter(self.unfinished))._lost_patience()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def _calm(self) -> None:
        self.unfinished.pop(self, None)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _whole(self) -> bool:
        """Whether no part of a request is there while the rest of it is missing."""
        state = self.conn.their_state
        if state is h11.IDLE:
            return self.cycle is not None and not self.conn.trailing_data[0]
        return state is not h11.SEND_BODY

    def _look_again(self) -> None:
        if self._came < SLOWEST * PATIENCE_S:
            return self._lost_patience()
        self._late = self.loop.call_later(PATIENCE_S, self._look_again)
        self._came = 0
        return None

    def _lost_patience(self) -> None:
        self._calm()
        if not (self.transport.is_closing() or self._whole()):
            self.transport.abort()


class Listening:
    """The app behind a port, in a thread of its own. Use it as a context."""

    def __init__(self, app: Any, host: str, port: int, trust: Trust | None) -> None:
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
        self._app, self._streams = app, set[asyncio.Task[Any]]()
        config = uvicorn.Config(
            self._answer,
            http=type("_ImpatientHere", (_Impatient,), {"unfinished": {}}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            limit_concurrency=MOST_CONNECTIONS,
            backlog=512,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=3,
            server_header=False,
            proxy_headers=False,  # where a client is, it does not say itself
            date_header=False,
            interface="asgi3",
            **tls,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="listening", daemon=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """A stream would go on for ever: it is ended when the port closes."""
        task = asyncio.current_task()
        assert task is not None

        async def sending(message: Any) -> None:
            if (b"content-type", _STREAM) in message.get("headers", ()):
                self._streams.add(task)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if task not in self._streams or not self._server.should_exit:
                raise
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._streams.discard(task)

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
        for task in list(self._streams):
            task.get_loop().call_soon_threadsafe(task.cancel)
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
        found.listen(512)
    except OSError as error:
        found.close()
        taken = error.errno == errno.EADDRINUSE
        raise BadInput(
            f"the port {port} of {host} {'is taken' if taken else f'cannot be used ({error})'}",
            way_out="Choose another with --port",
        ) from error
    return found
