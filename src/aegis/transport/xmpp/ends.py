"""Both ends of the XMPP road, as the house sees them: plain calls from any thread.

The agents live in one event loop in a thread of its own, which begins with the first of them.
Presence is the heartbeat: a hospital greets the coordinator every few seconds and is greeted back,
so each side knows of the other's death within three beats, however it died.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as Late
from typing import TYPE_CHECKING, Any

from aegis.errors import BadInput, MissingExtra
from aegis.events import Event
from aegis.identity.tls import client_context
from aegis.transport.carrier import PRESENCE_S, Parcel, Trust
from aegis.transport.xmpp.accounts import COORDINATOR, account
from aegis.transport.xmpp.machines import COORDINATOR as TABLE
from aegis.transport.xmpp.machines import HOSPITAL, Happening, heard, passed
from aegis.transport.xmpp.messages import Label
from aegis.transport.xmpp.server import LARGEST_FILE, Server

if TYPE_CHECKING:
    from aegis.transport.xmpp.agent import Place, RoadAgent

log = logging.getLogger("aegis.xmpp")

_UNREAD = 64  # messages of one hospital
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_FROM_HOSPITALS = frozenset({"JOIN", "MODEL_UPDATE", "ERROR"})
_FROM_COORDINATOR = frozenset({"JOIN", "ROUND_START", "GLOBAL_UPDATE"})


def _running() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="aegis-xmpp", daemon=True).start()
        return _loop


def _launched(build: Callable[[Any], RoadAgent]) -> tuple[RoadAgent, asyncio.AbstractEventLoop]:
    """``build`` gets the agents' module and runs in the loop, where SPADE wants to be born."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # SPADE's own server brings it along
    try:
        from aegis.transport.xmpp import agent as agents
    except ImportError as error:
        raise MissingExtra("the XMPP road", "xmpp") from error
    loop = _running()

    async def begin() -> RoadAgent:
        agent = build(agents)
        await agent.start(auto_register=False)
        return agent

    return asyncio.run_coroutine_threadsafe(begin(), loop).result(30), loop


def _place(agents: Any, server: Server, trust: Trust) -> Place:
    place: Place = agents.Place(
        server.host,
        server.port,
        server.files,
        server.largest_file,
        client_context(trust.root),
        server.address,
    )
    return place


class _End:
    """What both ends have in common: an agent, and a way into its thread."""

    _agent: RoadAgent
    _loop: asyncio.AbstractEventLoop
    _open = True

    @property
    def status(self) -> str:
        return self._agent.why

    @property
    def standing(self) -> str:
        """The agent's state, by S4's name."""
        return self._agent.standing

    @property
    def refused(self) -> bool:
        """Whether trying again cannot help: certificate or account are wrong."""
        return self._agent.refused

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        closing = asyncio.run_coroutine_threadsafe(self._agent.close(), self._loop)
        try:
            closing.result(10)
        except Late:
            log.warning("%s: the connection did not close in time", self._agent.who)

    def _too_large(self, data: bytes) -> bool:
        return len(data) > self._agent.place.limit

    def _in_loop(self, work: Callable[..., object], *arguments: object) -> None:
        if self._open:
            self._loop.call_soon_threadsafe(work, *arguments)


class XmppLine(_End):
    """A hospital's end. ``details`` are what ``XmppCourier.admit`` returned; returns at once and
    connects when the server is there. Raises ``BadInput`` for details that miss something,
    ``MissingExtra`` without SPADE."""

    def __init__(self, details: Mapping[str, str], trust: Trust) -> None:
        try:
            name, password = details["name"], details["password"]
            server = Server(
                details["host"],
                int(details["port"]),
                int(details["files_port"]),
                largest_file=int(details.get("largest_file", LARGEST_FILE)),
            )
        except (KeyError, ValueError) as error:
            raise BadInput(
                f"the XMPP road's details miss or garble {error}", way_out="Join again"
            ) from error
        self._parcels: queue.Queue[Parcel] = queue.Queue()
        self._seen = 0.0
        self._there = False
        coordinator = {f"{account(COORDINATOR)}@{server.host}": COORDINATOR}

        def build(agents: Any) -> RoadAgent:
            ends = agents.Ends(
                lambda: coordinator, _FROM_COORDINATOR, self._arrived, self._greeted, self._posted
            )
            place = _place(agents, server, trust)
            agent: RoadAgent = agents.RoadAgent(
                name, account(name), password, place, HOSPITAL, ends
            )
            return agent

        self._agent, self._loop = _launched(build)

    def receive(self, timeout_s: float) -> Parcel | None:
        if self._there and time.monotonic() - self._seen > 3 * PRESENCE_S:
            self._there = False
            self._in_loop(self._agent.happened, "parted")
        try:
            parcel = self._parcels.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            return None
        self._in_loop(self._agent.happened, "asked")
        return parcel

    def reply(self, to: Parcel, data: bytes) -> None:
        """Kept until the coordinator has it: the last few, so that a later one is not held up."""
        self._in_loop(self._agent.happened, "answered")
        if self._too_large(data):
            log.error("an answer of %d bytes is too large for this road; it is dropped", len(data))
            return
        self._in_loop(self._agent.outbox.hand_over, COORDINATOR, data, "up", uuid.uuid4().hex)

    def _arrived(self, name: str, label: Label, data: bytes) -> None:
        if data:
            self._parcels.put(Parcel(data, label.msg_id))
        elif label.msg_type == "JOIN":
            self._agent.outbox.again(name)

    def _greeted(self, name: str, there: bool) -> None:
        first = there and not self._there
        self._seen, self._there = time.monotonic(), there
        self._agent.happened("met" if there else "parted")
        if first:
            self._agent.outbox.again(COORDINATOR)

    def _posted(self, label: Label) -> None:
        self._agent.happened("sent")


class XmppCarrier(_End):
    """The coordinator's end. ``hospitals`` gives those who count, by address."""

    def __init__(
        self,
        server: Server,
        password: str,
        trust: Trust,
        hospitals: Callable[[], Mapping[str, str]],
    ) -> None:
        self._replies: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._unread: Counter[str] = Counter()
        self._seen: dict[str, float] = {}
        self._hospitals = hospitals

        def build(agents: Any) -> RoadAgent:
            ends = agents.Ends(
                hospitals, _FROM_HOSPITALS, self._arrived, self._greeted, self._posted
            )
            place = _place(agents, server, trust)
            agent: RoadAgent = agents.CoordinatorAgent(
                COORDINATOR, account(COORDINATOR), password, place, TABLE, ends
            )
            return agent

        self._agent, self._loop = _launched(build)

    def present(self) -> frozenset[str]:
        now, known = time.monotonic(), set(self._hospitals().values())
        seen = list(self._seen.items())
        return frozenset(name for name, at in seen if now - at < 3 * PRESENCE_S and name in known)

    def send(self, hospital: str, data: bytes) -> None:
        """Raises ``BadInput`` for more than the road's largest file."""
        if self._too_large(data):
            raise BadInput(
                f"{len(data)} bytes in one message",
                f"this road carries at most {self._agent.place.limit}",
            )
        self._in_loop(self._agent.outbox.hand_over, hospital, data, "down", uuid.uuid4().hex)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        try:
            name, data = self._replies.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            return None
        self._unread[name] -= 1
        return name, data

    def hear(self, event: Event) -> None:
        """A listener of the house's events: what they mean for the agent's state."""
        self._happened(*heard(event))

    def _happened(self, *happenings: Happening) -> None:
        if happenings:
            self._in_loop(self._agent.happened, *happenings)

    def _arrived(self, name: str, label: Label, data: bytes) -> None:
        if label.msg_type == "JOIN" and not data:
            self._greeted(name, True)
            self._agent.outbox.again(name)
            return
        if self._unread[name] >= _UNREAD:
            log.warning("%s sends more than is read; it is dropped", name)
            return
        self._unread[name] += 1
        if label.msg_type == "MODEL_UPDATE":
            self._agent.happened("answered")
        self._replies.put((name, data))

    def _greeted(self, name: str, there: bool) -> None:
        if not there:
            self._seen.pop(name, None)
            return
        back = time.monotonic() - self._seen.get(name, -1e9) > 3 * PRESENCE_S
        self._seen[name] = time.monotonic()
        self._agent.greet(f"{account(name)}@{self._agent.place.host}")
        if back:
            log.info("%s is there", name)
            self._agent.outbox.again(name)

    def _posted(self, label: Label) -> None:
        self._agent.happened(*passed(label.msg_type))
