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
import hashlib
import logging
import random
import ssl
import sys
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slixmpp import JID
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.xmlstream import NotConnectedError
from spade.agent import Agent
from spade.behaviour import CyclicBehaviour, FSMBehaviour, State
from spade.message import Message as Spoken
from spade.template import Template
from spade.trace import TraceStore

from aegis.errors import AegisError, RunAborted
from aegis.transport.carrier import PRESENCE_S
from aegis.transport.xmpp.files import Files
from aegis.transport.xmpp.machines import Happening, Machine
from aegis.transport.xmpp.messages import (
    INLINE,
    LARGEST_TEXT,
    File,
    Label,
    Message,
    Type,
    labelled,
    read,
    written,
)

log = logging.getLogger("aegis.xmpp")

RESOURCE = "aegis"
CONNECTED = "connected"
MECHANISMS = {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}
_ATTEMPT_S, _PING_S = 10.0, 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 4.0
_KEPT, _AT_ONCE, _REMEMBERED, _FETCHES = 4, 16, 512, 3
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


@dataclass
class _Kept:
    """Something on its way. Sensitive until sealed; here it is always sealed."""

    label: Label
    data: bytes | None
    body: str | None = None
    sent: bool = False


@dataclass
class _Out:
    kept: deque[_Kept] = field(default_factory=lambda: deque(maxlen=_KEPT))
    busy: bool = False


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
        self._out: dict[str, _Out] = {}
        self._pending: Counter[str] = Counter()
        self._recent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._files: Files | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        return self.why == CONNECTED

    def happened(self, *happenings: Happening) -> None:
        for happening in happenings:
            self.happenings.put_nowait(happening)

    def hand_over(self, name: str, data: bytes, direction: Any, msg_id: str) -> None:
        label = labelled(data, self.who, direction, msg_id)
        self._out.setdefault(name, _Out()).kept.append(_Kept(label, data))
        self._spawn(self._pump(name))

    async def setup(self) -> None:
        walk = FSMBehaviour()
        for name in self.machine.states:
            walk.add_state(name, _Standing(name), initial=name == self.machine.initial)
        for source, target in self.machine.transitions():
            walk.add_transition(source, target)
        self.add_behaviour(walk, Template(thread="none"))  # it hears happenings, not messages
        self.add_behaviour(_Listening())

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
        if self._files is not None:
            await self._files.close()
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
            ("message", self._heard),
            ("receipt_received", self._receipt),
            ("presence_available", self._presence),
            ("presence_unavailable", self._presence),
        ):
            client.add_event_handler(event, heard)
        self._files = Files(place.files, place.context, place.limit, place.address)
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
            for name in list(self._out):
                self._spawn(self._pump(name))
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
            self.again(name)

    def say_join(self, account: str) -> None:
        """Only a hospital says it."""

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

    def _name(self, jid: Any) -> str | None:
        return self.ends.others().get(jid.bare) if jid.resource == RESOURCE else None

    def _presence(self, presence: Any) -> None:
        name = self._name(presence["from"])
        if name is not None:
            self.ends.seen(name, presence["type"] != "unavailable")

    def _heard(self, stanza: Any) -> None:
        """Whatever is not plainly meant for us ends here, before it is read."""
        if stanza["type"] == "error":
            return
        name, body = self._name(stanza["from"]), stanza["body"]
        if name is None:
            log.warning("%s: a message from a stranger, %s, is dropped", self.who, stanza["from"])
        elif len(body) > LARGEST_TEXT:
            log.warning("%s: %d characters from %s are dropped", self.who, len(body), name)
        elif self._pending[name] >= _AT_ONCE:
            log.warning("%s: %s sends too much at once; it is dropped", self.who, name)
        else:
            self._pending[name] += 1
            self._message_received(stanza)

    async def take(self, spoken: Spoken) -> None:
        name = self._name(spoken.sender)
        if name is None:
            return
        try:
            message = read(spoken.body or "")
            label = message.label
            if label.sender_id != name or label.msg_type not in self.ends.takes:
                raise RunAborted(f"a {label.msg_type} of {label.sender_id} is not for {self.who}")
        except AegisError as error:
            self._pending[name] -= 1
            log.warning("%s: a message from %s is refused: %s", self.who, name, error)
            return
        log.debug("%s: %s %s from %s", self.who, label.msg_type, label.msg_id, name)
        if isinstance(message.payload, File):
            self._spawn(self._fetched(name, label, message.payload, spoken.sender))
            return
        self._delivered(name, label, message.payload or b"", spoken.sender)

    async def _fetched(self, name: str, label: Label, file: File, sender: Any) -> None:
        for left in reversed(range(_FETCHES)):
            try:
                assert self._files is not None
                data = await self._files.fetch(file)
            except RunAborted as error:
                if left:
                    await asyncio.sleep(0.5)
                    continue
                fault: AegisError = error
            except AegisError as error:
                fault = error
            else:
                self._delivered(name, label, data, sender)
                return
            break
        self._pending[name] -= 1
        log.warning("%s: a file from %s is refused: %s", self.who, name, fault)

    def _delivered(self, name: str, label: Label, data: bytes, sender: Any) -> None:
        self._pending[name] -= 1
        key = (name, label.msg_id)
        if key not in self._recent:
            self._recent[key] = None
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
            self.ends.arrived(name, label, data)
        receipt = self.client.Message()
        receipt["to"], receipt["receipt"] = sender, label.msg_id
        receipt.send()

    def _receipt(self, stanza: Any) -> None:
        name = self._name(stanza["from"])
        out = self._out.get(name or "")
        if out is not None:
            left = (kept for kept in out.kept if kept.label.msg_id != stanza["receipt"])
            out.kept = deque(left, maxlen=_KEPT)

    def again(self, name: str) -> None:
        """The other side, or the server, is there anew: what has no receipt goes out once more."""
        out = self._out.get(name)
        if out is not None:
            for kept in out.kept:
                kept.sent = False
            self._spawn(self._pump(name))

    async def _pump(self, name: str) -> None:
        out = self._out[name]
        if out.busy:
            return
        out.busy = True
        try:
            while self.connected:
                kept = next((one for one in out.kept if not one.sent), None)
                if kept is None:
                    return
                await self._post(name, kept)
        except (AegisError, IqError, IqTimeout, NotConnectedError) as error:
            log.info("%s: not sent to %s yet: %s", self.who, name, str(error) or "no answer")
        finally:
            out.busy = False

    async def _post(self, name: str, kept: _Kept) -> None:
        if kept.body is None:
            assert kept.data is not None
            payload: bytes | File = kept.data
            if len(kept.data) > INLINE:
                payload = await self._upload(kept.label, kept.data)
            kept.body, kept.data = written(Message(kept.label, payload)), None
        account = next((one for one, who in self.ends.others().items() if who == name), None)
        if account is None:
            kept.sent = True
            return
        self.speak(account, kept.body, kept.label.msg_id)
        kept.sent = True
        self.ends.posted(kept.label)

    def speak(self, account: str, body: str, msg_id: str) -> None:
        spoken = Spoken(to=f"{account}/{RESOURCE}", sender=str(self.jid), body=body)
        stanza = spoken.prepare(self.client)
        stanza["id"], stanza["request_receipt"] = msg_id, True
        stanza.send()

    async def _upload(self, label: Label, data: bytes) -> File:
        if len(data) > self.place.limit:
            raise RunAborted(f"{len(data)} bytes in one file", f"at most {self.place.limit}")
        assert self._files is not None
        loop = asyncio.get_running_loop()
        digest = loop.run_in_executor(None, lambda: hashlib.sha256(data).hexdigest())
        answer = await self.client["xep_0363"].request_slot(
            JID(self.place.host), f"{label.msg_id}.aegis", len(data), timeout=_ATTEMPT_S
        )
        slot = answer["http_upload_slot"]
        headers = {one["name"]: one["value"] for one in slot["put"]["headers"]}
        await self._files.put(slot["put"]["url"], headers, data)
        return File(slot["get"]["url"], await digest, len(data))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class HospitalAgent(RoadAgent):
    def say_join(self, account: str) -> None:
        label = replace(labelled(b"", self.who, "up", uuid.uuid4().hex), msg_type="JOIN")
        self.speak(account, written(Message(label)), label.msg_id)


class CoordinatorAgent(RoadAgent):
    """It greets whoever greets it, so that a hospital knows that it is there."""

    def beat(self) -> None: ...


class _Standing(State):  # type: ignore[misc]
    """One state: it ends with the first happening that leads elsewhere."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def run(self) -> None:
        agent = self.agent
        while (happening := await agent.happenings.get()) is not None:
            target = agent.machine.after(self.name, happening)
            if target is None:
                log.debug("%s: %s changes nothing in %s", agent.who, happening, self.name)
            elif target != self.name:
                log.info("%s: %s -> %s (%s)", agent.who, self.name, target, happening)
                agent.standing = target
                self.set_next_state(target)
                return
        self.next_state = None


class _Listening(CyclicBehaviour):  # type: ignore[misc]
    async def run(self) -> None:
        spoken = await self.receive(timeout=1)
        if spoken is None:
            return
        try:
            await self.agent.take(spoken)
        except Exception:  # a behaviour that raises is ended by SPADE, and the agent with it deaf
            log.exception("%s: a message could not be taken", self.agent.who)
