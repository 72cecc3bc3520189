"""An agent of SPADE that verifies its server, and comes back for ever.

SPADE 4.1 builds its XMPP client itself and trusts any certificate unless told otherwise, and then
those of the machine's own list. So the one method that connects is ours: it gives the client a TLS
context that knows the federation's root alone, allows SCRAM only, and hands the connection to a
keeper that pings, notices a silent server, and tries again with growing pauses. The rest is
SPADE's: the states are an ``FSMBehaviour`` that walks a table (``machines``), what comes in is
heard by a ``CyclicBehaviour``. All agents of a process share one event loop in one thread; messages
go through the server even between two of them.

What is handed over is kept until the other side's receipt (XEP-0184), and sent again when either
side comes back: stream management (XEP-0198) bridges a cut, receipts bridge a server's death.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slixmpp import JID
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.xmlstream import NotConnectedError
from spade.agent import Agent
from spade.template import Template
from spade.trace import TraceStore

from aegis.transport.carrier import PRESENCE_S
from aegis.transport.xmpp.behaviours import Listening, walking
from aegis.transport.xmpp.files import Files
from aegis.transport.xmpp.inbox import Inbox
from aegis.transport.xmpp.machines import Happening, Machine
from aegis.transport.xmpp.messages import RESOURCE, Label, Message, Type, labelled, written
from aegis.transport.xmpp.outbox import Outbox

log = logging.getLogger("aegis.xmpp")

CONNECTED = "connected"
MECHANISMS = {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}
_ATTEMPT_S, _PING_S = 10.0, 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 4.0
_MARKS = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}  # as XML has them
)


def _escaped(text: str, use_cdata: bool = False) -> str:
    return text.translate(_MARKS)


# slixmpp looks at each character in Python, which costs more than all else about a message. The
# package's attribute of this name is a function, so the module is found where Python keeps it.
sys.modules["slixmpp.xmlstream.tostring"].escape = _escaped  # type: ignore[attr-defined]


# It also warns, by no logger of its own, of each acknowledgement that comes during a ping.
logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("Unknown stanza inter"))
for _chatty in ("slixmpp", "spade"):
    if logging.getLogger(_chatty).level == logging.NOTSET:
        logging.getLogger(_chatty).setLevel(logging.CRITICAL)  # what matters is said by us


@dataclass(frozen=True)
class Place:
    """Where the server is. ``files`` is how each address of a file begins, ``limit`` the most bytes
    of one, ``context`` trusts the federation's root and nobody else; ``address`` is where to
    connect, if not where the name leads."""

    host: str
    port: int
    files: str
    limit: int
    context: ssl.SSLContext
    address: str = ""


@dataclass(frozen=True)
class Ends:
    """What an agent tells its owner, from the loop's thread. ``others`` are the names of those it
    speaks with, by account; all others are strangers."""

    others: Callable[[], Mapping[str, str]]
    takes: frozenset[Type]
    arrived: Callable[[str, Label, bytes], None]
    seen: Callable[[str, bool], None] = lambda name, there: None
    posted: Callable[[Label], None] = lambda label: None


class RoadAgent(Agent):  # type: ignore[misc]
    """``name`` is who speaks; build and start it in the loop's thread."""

    def __init__(
        self, name: str, account: str, password: str, place: Place, machine: Machine, ends: Ends
    ) -> None:
        super().__init__(f"{account}@{place.host}/{RESOURCE}", password, place.port, True)
        self.traces = TraceStore(size=0)  # it would keep a thousand messages
        self.who, self.place, self.machine, self.ends = name, place, machine, ends
        self.why = "not yet connected"
        self.refused = False
        self.standing = machine.initial
        self.happenings: asyncio.Queue[Happening | None] = asyncio.Queue()
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self.inbox, self.outbox = Inbox(self), Outbox(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self.files: Files
        self._closed = False

    @property
    def connected(self) -> bool:
        return self.why == CONNECTED

    def happened(self, *happenings: Happening) -> None:
        for happening in happenings:
            self.happenings.put_nowait(happening)

    async def setup(self) -> None:
        # it hears happenings, not messages
        self.add_behaviour(walking(self.machine), Template(thread="none"))
        self.add_behaviour(Listening())

    async def close(self) -> None:
        self._closed, self.why = True, "closed"
        if self._keeper is not None:
            self._keeper.cancel()
        for task in list(self._tasks):
            task.cancel()
        for behaviour in self.behaviours:
            behaviour.kill()
        self.happenings.put_nowait(None)
        with contextlib.suppress(Exception):
            for account in self.ends.others():
                self.client.send_presence(pto=f"{account}/{RESOURCE}", ptype="unavailable")
            await asyncio.wait_for(self.stop(), 3)
        self.client.cancel_connection_attempt()
        self.client.abort()
        sending = getattr(self.client, "_run_out_filters", None)
        if sending is not None:
            sending.cancel()  # it would wait for ever, and complain when the loop goes
        await self.files.close()
        self.container.unregister(str(self.jid))

    # SPADE calls this where it would connect, and waits; we do not, because any order will do.
    async def _async_connect(self) -> None:
        client, place = self.client, self.place
        client.ssl_context = place.context
        client.enable_plaintext = client.enable_direct_tls = False
        client["feature_mechanisms"].use_mechs = set(MECHANISMS)
        client["xep_0199"].disable_keepalive()
        client.register_plugin("xep_0184", {"auto_ack": False, "auto_request": False})
        client.register_plugin("xep_0198")
        client["xep_0198"].window = 1
        for event, heard in (
            ("session_start", self._begun),
            ("session_resumed", self._resumed),
            ("disconnected", self._cut),
            ("connection_failed", self._unreachable),
            ("ssl_invalid_chain", self._untrusted),
            ("failed_all_auth", self._unwelcome),
            ("stream_error", self._scolded),
            ("message", self.inbox.hear),
            ("receipt_received", self.outbox.received),
            ("presence_available", self._presence),
            ("presence_unavailable", self._presence),
        ):
            client.add_event_handler(event, heard)
        self.files = Files(place.files, place.context, place.limit, place.address)
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        pause = _PAUSE_S
        while not self._closed:
            self._up.clear()
            self._down.clear()
            self.client.connect(host=self.place.address or self.place.host, port=self.place.port)
            if await self._either(_ATTEMPT_S) and self._up.is_set():
                pause = _PAUSE_S
                await self._stay()
                if self.refused:  # two processes with one account would throw each other out
                    pause = _LONGEST_PAUSE_S
            elif not self._down.is_set():
                self._fell(f"{self._where} does not answer")
            self.client.cancel_connection_attempt()
            self.client.abort()
            if self._closed:
                return
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _either(self, timeout_s: float) -> bool:
        waits = [asyncio.ensure_future(one.wait()) for one in (self._up, self._down)]
        done, open_ = await asyncio.wait(
            waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for wait in open_:
            wait.cancel()
        return bool(done)

    async def _stay(self) -> None:
        """While the session lasts: a sign of life to the others, and one from the server."""
        while not self._down.is_set():
            try:
                await self.client["xep_0199"].ping(JID(self.place.host), timeout=_PING_S)
            except IqError:
                pass  # an answer too
            except (IqTimeout, NotConnectedError):
                self._fell(f"{self._where} is silent")
                return
            self.beat()
            self.outbox.try_all()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._down.wait(), PRESENCE_S)

    def beat(self) -> None:
        """Overridden where an agent does not speak to all it knows."""
        for account in self.ends.others():
            self.greet(account)

    def greet(self, account: str) -> None:
        if self.connected:
            self.client.send_presence(pto=f"{account}/{RESOURCE}")

    @property
    def _where(self) -> str:
        return f"{self.place.host}:{self.place.port}"

    def _fell(self, why: str, refused: bool = False) -> None:
        if why != self.why:
            log.info("%s: %s", self.who, why)
        if self.connected:
            self.happened("lost")
        if refused and not self.refused:
            self.happened("refused")
        self.why, self.refused = why, refused
        self._down.set()

    def _begun(self, _: object) -> None:
        socket = self.client.socket
        if not isinstance(socket, ssl.SSLObject | ssl.SSLSocket):
            self._fell(f"{self._where} speaks no TLS", refused=True)
            return
        self._connected("connected")
        for account, name in self.ends.others().items():
            self.greet(account)
            self.say_join(account)
            self.outbox.again(name)

    def say_join(self, account: str) -> None:
        """Whoever has a new session says so: what the other could not deliver it sends again."""
        label = replace(labelled(b"", self.who, "up", uuid.uuid4().hex), msg_type="JOIN")
        self.outbox.speak(account, written(Message(label)), label.msg_id)

    def _resumed(self, _: object) -> None:
        self._connected("connected again")

    def _connected(self, how: str) -> None:
        log.info("%s: %s with %s", self.who, how, self._where)
        self.why, self.refused = CONNECTED, False
        self.happened("connected")
        self._up.set()

    def _cut(self, reason: object) -> None:
        if self._up.is_set() and self.connected:
            self._fell(f"the connection to {self._where} was cut ({reason or 'no reason'})")
        elif not self._down.is_set():
            self._fell(self.why if self.refused else f"{self._where} ended the connection")

    def _unreachable(self, error: object) -> None:
        self._fell(f"{self._where} cannot be reached ({error})")

    def _untrusted(self, error: ssl.SSLError) -> None:
        said = getattr(error, "verify_message", "") or error.reason or str(error)
        self._fell(f"{self._where} has no certificate of this federation ({said})", refused=True)

    def _unwelcome(self, _: object) -> None:
        self._fell(f"{self._where} does not accept this account", refused=True)

    def _scolded(self, error: Any) -> None:
        condition = error["condition"]
        if condition == "conflict":
            self._fell("another process uses this account", refused=True)
        else:
            self._fell(f"{self._where} ended the stream: {condition}")

    def name_of(self, jid: Any) -> str | None:
        return self.ends.others().get(jid.bare) if jid.resource == RESOURCE else None

    def _presence(self, presence: Any) -> None:
        name = self.name_of(presence["from"])
        if name is not None:
            self.ends.seen(name, presence["type"] != "unavailable")

    def spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class CoordinatorAgent(RoadAgent):
    """It greets whoever greets it, so that a hospital knows that it is there."""

    def beat(self) -> None: ...
