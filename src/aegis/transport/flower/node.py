"""A hospital's end: one long-lived node of the fleet API, in the hospital's own process.

The stock SuperNode starts a Python process for every message; this one asks, hands over, and sends
what comes back, over one TLS connection that trusts the federation's root only. It comes back for
ever, with growing pauses; what could not be sent is sent after the next connection, unless a newer
parcel came. Only ``close`` ends it.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from aegis.errors import BadInput
from aegis.identity.certificates import Certified
from aegis.identity.tls import client_context
from aegis.transport.carrier import Parcel, Trust
from aegis.transport.flower import compat
from aegis.transport.flower.parcels import LIFETIME_S, MESSAGE_TYPE, packed, unpacked

HEARTBEAT_S = 30.0  # as the stock node says it; sent at half that
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
_QUICK_S = 1.0  # an empty answer that came faster was not held back, so the next question waits


@dataclass(frozen=True, slots=True)
class Ticket:
    """The message that a parcel came in."""

    message: str
    run: int
    until: float  # UTC seconds


class FlowerLine:
    """``admission`` is what the courier's ``admit`` returned; ``trust.own`` the certificate and key
    that were admitted. Raises ``BadInput`` for files that cannot be used, and nothing later."""

    def __init__(self, admission: Mapping[str, str], trust: Trust) -> None:
        if trust.own is None:
            raise BadInput("the Flower road needs the hospital's certificate with its key")
        self._address = admission["address"]
        self._node = int(admission.get("node", "0"))
        self._key = Certified.load(trust.own).key
        self._context = client_context(trust.root, trust.own)
        self._inbox: queue.Queue[Parcel] = queue.Queue()
        self._outbox: queue.Queue[tuple[Parcel, bytes]] = queue.Queue()
        self._newest: object = None
        self._closing = threading.Event()
        self._status = "connecting"
        self._client: compat.FleetHttpClient | None = None
        self._threads = [
            threading.Thread(target=work, daemon=True, name=f"aegis-line-{work.__name__}")
            for work in (self._fetch_for_ever, self._send_for_ever)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def status(self) -> str:
        return "closed" if self._closing.is_set() else self._status

    def receive(self, timeout_s: float) -> Parcel | None:
        try:
            return self._inbox.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            return None

    def reply(self, to: Parcel, data: bytes) -> None:
        self._outbox.put((to, data))

    def close(self) -> None:
        self._closing.set()
        client = self._client
        if client is not None:
            client.close()
        for thread in self._threads:
            thread.join(0.5)

    # fetching

    def _fetch_for_ever(self) -> None:
        pause = SHORTEST_PAUSE_S
        while not self._closing.is_set():
            try:
                with compat.fleet_client(self._address, self._context, self._key) as client:
                    self._connect(client)
                    self._client, self._status = client, "connected"
                    pause = SHORTEST_PAUSE_S
                    self._fetch(client)
            except Exception as error:  # whatever a courier answers: the next time it may be better
                self._status = _why(error, self._address)
            self._client = None
            self._closing.wait(pause * (0.5 + random.random() / 2))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _connect(self, client: compat.FleetHttpClient) -> None:
        """A node that is known says that it is alive; one that the SuperLink calls anew, or forgot,
        is told its number."""
        if self._node:
            try:
                self._beat(client)
                return
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.UNAUTHORIZED:
                    raise
        request = compat.ActivateNodeRequest(
            public_key=compat.public_key_to_bytes(self._key.public_key()),
            heartbeat_interval=HEARTBEAT_S,
        )
        self._node = int(client.ActivateNode(request).node_id)

    def _beat(self, client: compat.FleetHttpClient) -> None:
        node = compat.Node(node_id=self._node)
        client.SendNodeHeartbeat(
            compat.SendNodeHeartbeatRequest(node=node, heartbeat_interval=HEARTBEAT_S)
        )

    def _fetch(self, client: compat.FleetHttpClient) -> None:
        """Returns never; raises when the connection, or a message, is broken."""
        node = compat.Node(node_id=self._node)
        beaten, pause = time.monotonic(), SHORTEST_PAUSE_S
        while not self._closing.is_set():
            asked = time.monotonic()
            if asked - beaten > HEARTBEAT_S / 2:
                self._beat(client)
                beaten = asked
            answer = client.PullMessages(compat.PullMessagesRequest(node=node))
            if answer.messages_list:
                pause = SHORTEST_PAUSE_S
                self._take(client, node, answer)
            elif time.monotonic() - asked < _QUICK_S:
                self._closing.wait(pause)
                pause = min(pause * 1.5, 1.0)

    def _take(self, client: compat.FleetHttpClient, node: Any, answer: Any) -> None:
        head = answer.messages_list[0].metadata
        wanted = list(compat.leaves(answer.message_object_trees))
        try:
            with ThreadPoolExecutor(2) as pool:
                found = list(
                    pool.map(lambda each: _pulled(client, node, head.run_id, each), wanted)
                )
            data = unpacked(map(_record, found))
        except httpx.HTTPStatusError as error:
            if error.response.status_code in _PASSING:
                raise
            return  # of a run that is over
        except ValueError:
            return  # no parcel: the courier's own, or somebody else's app
        client.ConfirmMessageReceived(
            compat.ConfirmMessageReceivedRequest(
                node=node, run_id=head.run_id, message_object_id=head.message_id
            )
        )
        ticket = Ticket(head.message_id, head.run_id, head.created_at + head.ttl)
        self._newest = ticket
        self._inbox.put(Parcel(data, ticket))

    # sending

    def _send_for_ever(self) -> None:
        while not self._closing.is_set():
            try:
                to, data = self._outbox.get(timeout=0.2)
            except queue.Empty:
                continue
            tried = False
            while not self._closing.is_set() and not (tried and to.ticket is not self._newest):
                client, tried = self._client, True
                if client is not None and self._sent(client, to.ticket, data):
                    break
                self._closing.wait(0.2)

    def _sent(self, client: compat.FleetHttpClient, ticket: Any, data: bytes) -> bool:
        """Whether it is gone, or never can be."""
        now = time.time()
        if not isinstance(ticket, Ticket) or ticket.until <= now + 1:
            return True
        message = compat.make_message(
            metadata=compat.Metadata(
                run_id=ticket.run,
                message_id="",
                src_node_id=self._node,
                dst_node_id=compat.SUPERLINK_NODE_ID,
                reply_to_message_id=ticket.message,
                group_id="",
                created_at=now,
                ttl=min(LIFETIME_S, ticket.until - now - 0.5),
                message_type=MESSAGE_TYPE,
            ),
            content=packed(data),
        )
        try:
            with compat.no_object_id_recompute():
                message.metadata.__dict__["_message_id"] = message.object_id
                _push(client, compat.Node(node_id=self._node), message)
        except httpx.HTTPStatusError as error:
            return error.response.status_code not in _PASSING
        except Exception:  # as when fetching: it is sent again after the next connection
            return False
        return True


_PASSING = (401, 408, 429, 500, 502, 503, 504)  # may be otherwise after the next connection


def _record(content: bytes) -> compat.ConfigRecord:
    """Raises ``ValueError`` for bytes that are none, whatever the library raises for them."""
    try:
        return compat.ConfigRecord.inflate(content)
    except Exception as error:
        raise ValueError(f"an object that is no record ({type(error).__name__})") from error


def _pulled(client: compat.FleetHttpClient, node: Any, run: int, object_id: str) -> bytes:
    """Waits a little for an object that is still on its way to the SuperLink."""
    until, pause = time.monotonic() + 60, 0.02
    while True:
        answer = client.PullObject(
            compat.PullObjectRequest(node=node, run_id=run, object_id=object_id)
        )
        if answer.object_available:
            return bytes(answer.object_content)
        if not answer.object_found or time.monotonic() > until:
            raise ValueError("an object of a message is gone")
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)


def _push(client: compat.FleetHttpClient, node: Any, message: Any) -> None:
    objects = compat.get_all_nested_objects(message)
    answer = client.PushMessages(
        compat.PushMessagesRequest(
            node=node,
            messages_list=[compat.message_to_proto(compat.remove_content_from_message(message))],
            message_object_trees=[compat.get_object_tree(message)],
        )
    )

    def push(object_id: str) -> None:
        client.PushObject(
            compat.PushObjectRequest(
                node=node,
                run_id=message.metadata.run_id,
                object_id=object_id,
                object_content=objects[object_id].deflate(),
                session_id=answer.session_id,
            )
        )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(push, answer.objects_to_push))


def _why(error: Exception, address: str) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        code, text = compat.said(error)
        return f"{address} refused ({code}: {text})"
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"{address} is not the federation's coordinator ({error})"
    return f"{address} is not reached ({error or type(error).__name__})"
