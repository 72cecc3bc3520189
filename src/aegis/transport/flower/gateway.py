"""The door that hospitals see: TLS of the federation, the fleet API, and nothing behind it.

The stock SuperLink serves the fleet API, the control API (which starts Python on every hospital,
without any credential) and the runtime API on one port. So it listens on loopback, and this door
lets through ten paths of the fleet API, for keys that were admitted, signed within the last five
minutes; anything else is refused with the reason before the SuperLink hears of it.

Since everything passes here, nobody has to poll: a hospital's question for messages is held until
there is one (or five seconds), and a reply is announced when its last object is in. Both also
serve a stock SuperNode. Who asked within three such times is present.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from aegis.errors import BadInput
from aegis.identity.tls import server_context
from aegis.transport.carrier import PRESENCE_S, Trust
from aegis.transport.flower import compat, http
from aegis.transport.flower.guests import Guest, Guests
from aegis.transport.flower.http import Head, Refusal
from aegis.transport.flower.parcels import LARGEST, PART

FLEET = "/v1/fleet/"
_SMALL, _OBJECT = 256 * 1024, 6 * 2**20  # the largest body in bytes; stock objects have 5 MiB
PATHS: Mapping[str, int] = {
    FLEET + name: _OBJECT if name == "push-object" else _SMALL
    for name in (
        "activate-node", "deactivate-node", "send-node-heartbeat", "pull-messages",
        "push-messages", "get-run", "get-fab", "push-object", "pull-object",
        "confirm-message-received",
    )
}  # fmt: skip
CONNECTIONS = 1024
STUCK_S, RELAYED_WITHIN_S = 20.0, 120.0
_PROTOBUF = "application/x-protobuf"
_Found = TypeVar("_Found")


class Gateway:
    """``arrived(hospital, message id)`` is called when the reply to that message is complete."""

    def __init__(
        self,
        host: str,
        port: int,
        trust: Trust,
        arrived: Callable[[str, str], None],
        upstream: Callable[[], tuple[str, bytes]],
    ) -> None:
        if trust.own is None:
            raise BadInput("the Flower road needs the coordinator's certificate with its key")
        self._host, self.port = host, port
        self._context = server_context(trust.own, trust.root, clients_need_certificates=False)
        self._arrived, self._upstream = arrived, upstream
        self._guests = Guests()
        self._pushed: dict[str, tuple[str, int]] = {}  # session: message, objects that are missing
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="aegis-gateway")
        self._server: asyncio.Server | None = None
        self._clients: tuple[str, httpx.AsyncClient] | None = None

    # the coordinator's side, from any thread

    def start(self) -> None:
        """Raises ``BadInput`` where the port is taken."""
        self._thread.start()
        try:
            self._server = self._in_loop(self._listen()).result(10)
        except OSError as error:
            self.stop()
            raise BadInput(
                f"the port {self._host}:{self.port} cannot be opened ({error.strerror or error})",
                "hospitals call the coordinator there",
                "Another coordinator may be running; or choose another port",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        if self._loop.is_running():
            with suppress(Exception):
                self._in_loop(self._close()).result(5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def admit(self, name: str, key: bytes) -> None:
        self._guests.admit(name, key)

    def expel(self, name: str) -> None:
        self._guests.expel(name)

    def ring(self, name: str) -> None:
        for guest in self._guests.named(name):
            self._loop.call_soon_threadsafe(guest.bell.set)

    def free(self, name: str, handed: float, stored: float) -> bool:
        """Whether the hospital waits for something new. ``handed`` is when the last message for it
        was handed over, ``stored`` when the SuperLink had it (monotonic). While a message or its
        answer is on its way, another would only make both slower."""
        now = time.monotonic()
        for guest in self._guests.named(name):
            if now - guest.answering < STUCK_S:
                return False
            if guest.taken > handed or (stored > handed and guest.idle > stored):
                continue
            # Nothing moved for long: the SuperLink, or a hospital that was killed, lost it.
            patience = STUCK_S if stored > handed else RELAYED_WITHIN_S
            if now - max(handed, stored, guest.moved) < patience:
                return False
        return True

    def present(self) -> frozenset[str]:
        return self._guests.present(3 * PRESENCE_S)

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    # the hospitals' side, in the loop

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(
            self._serve,
            self._host,
            self.port,
            ssl=self._context,
            limit=http.LARGEST_HEAD,
            ssl_handshake_timeout=http.HEAD_WITHIN_S,
            backlog=CONNECTIONS,
        )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._clients is not None:
            await self._clients[1].aclose()
        for writer in list(self._open):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others or {asyncio.ensure_future(asyncio.sleep(0))}, timeout=2)
        await asyncio.sleep(0.05)  # what was aborted closes in its own time

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if len(self._open) > CONNECTIONS:
                raise Refusal(503, f"{CONNECTIONS} connections are open already")
            idle_s = http.HEAD_WITHIN_S
            while (head := await http.read_head(reader, idle_s)) is not None:
                idle_s = http.IDLE_S
                writer.write(await self._answer(head, reader))
                await writer.drain()
        except Refusal as refusal:
            with suppress(OSError):
                writer.write(http.refused(refusal))
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, head: Head, reader: asyncio.StreamReader) -> bytes:
        limit = PATHS.get(head.path)
        if limit is None:
            raise Refusal(404, f"hospitals reach {FLEET}* here, and nothing else")
        if head.method != "POST":
            raise Refusal(405, "only POST is answered here")
        guest = self._guests.proven(head)
        guest.seen = time.monotonic()  # also while the SuperLink is away: the hospital is there
        if head.length > limit:
            raise Refusal(413, f"a body of {head.length} bytes; at most {limit} are taken here")
        body = await http.read_body(reader, head.length)
        if head.path == FLEET + "push-messages":
            _bounded(body)
        if head.path == FLEET + "pull-messages":
            guest.bell.clear()
        found = await self._forward(head, body)
        if found.status_code == httpx.codes.OK:
            found = await self._consequence(head, body, found, guest, reader)
        kind = found.headers.get("content-type", _PROTOBUF)
        return http.answer(found.status_code, found.content, kind)

    async def _forward(self, head: Head, body: bytes) -> httpx.Response:
        passed = {
            name: value
            for name, value in head.headers.items()
            if name in ("content-type", "accept") or name.startswith("flwr-")
            or name == compat.TIMESTAMP_HEADER.lower()
        }  # fmt: skip
        address, root = self._upstream()
        if self._clients is None or self._clients[0] != address + root.decode():
            if self._clients is not None:
                await self._clients[1].aclose()
            context = ssl.create_default_context(cadata=root.decode("ascii"))
            client = httpx.AsyncClient(
                verify=context, timeout=60, limits=httpx.Limits(max_connections=64)
            )
            self._clients = (address + root.decode(), client)
        try:
            return await self._clients[1].post(
                f"https://{address}{head.path}", content=body, headers=passed
            )
        except httpx.HTTPError as error:
            raise Refusal(503, "the SuperLink is not there now", last=True) from error

    async def _consequence(
        self,
        head: Head,
        body: bytes,
        found: httpx.Response,
        guest: Guest,
        reader: asyncio.StreamReader,
    ) -> httpx.Response:
        match head.path.removeprefix(FLEET):
            case "pull-object":
                guest.moved = time.monotonic()
            case "confirm-message-received":
                guest.taken = time.monotonic()
            case "pull-messages" if not found.content:
                guest.idle = time.monotonic()
                with suppress(TimeoutError):
                    await asyncio.wait_for(guest.bell.wait(), PRESENCE_S)
                guest.seen = time.monotonic()
                if guest.bell.is_set() and not reader.at_eof():
                    return await self._forward(head, body)
            case "push-messages":
                message = compat.PushMessagesRequest.FromString(body).messages_list[0]
                given = compat.PushMessagesResponse.FromString(found.content)
                missing = len(given.objects_to_push)
                if len(self._pushed) > 4096:
                    self._pushed.pop(next(iter(self._pushed)))
                self._pushed[given.session_id] = (message.metadata.reply_to_message_id, missing)
                self._counted(guest, given.session_id, 0)
            case "push-object":
                session = compat.PushObjectRequest.FromString(body).session_id
                self._counted(guest, session, 1)
            case _:
                pass
        return found

    def _counted(self, guest: Guest, session: str, stored: int) -> None:
        message, missing = self._pushed.get(session, ("", 0))
        if message and missing - stored <= 0:
            del self._pushed[session]
            guest.answering = -1e9
            self._arrived(guest.name, message)
        elif message:
            guest.answering = time.monotonic()
            self._pushed[session] = (message, missing - stored)

    def _in_loop(self, work: Coroutine[Any, Any, _Found]) -> Future[_Found]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _bounded(body: bytes) -> None:
    """A message may name only so many objects, so that its size is bounded before it is stored."""
    try:
        request = compat.PushMessagesRequest.FromString(body)
    except Exception as error:
        raise Refusal(400, "a message that cannot be read") from error
    objects = sum(1 for _ in compat.leaves(request.message_object_trees))
    if len(request.messages_list) != 1 or objects > LARGEST // PART + 1:
        raise Refusal(413, f"a message of {objects} parts; at most {LARGEST // PART} are taken")
