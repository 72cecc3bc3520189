"""A federation in which everything goes wrong on purpose: one thread, one clock, one seed.

The real coordinator, the real hospitals, their files and their seals; only the courier and the
clock are made up. Messages are lost, late, repeated, overtaken and spoilt; lines are cut; any party
dies at any write or message and comes back from its files. What happens when is drawn from the
seed alone, so a seed that fails does so again.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aegis.hospital.answers import SqliteAnswers
from aegis.hospital.decisions import Decisions
from aegis.hospital.ledger import Ledger
from aegis.hospital.serving import Serving
from aegis.hospital.site import SqliteMemory
from aegis.identity.certificates import certificate_request
from aegis.identity.enrolment import EnrolRequest, Welcome
from aegis.operations.coordinator.conducting import Conducting
from aegis.operations.coordinator.enrolling import FrontDesk
from aegis.operations.coordinator.office import Office
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.hospital import Hospital
from aegis.operations.hospital.policies import for_public_data
from aegis.plan import Plan
from aegis.store.audit_log import AuditLog
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.replay import ReplayGuard, Sequence
from aegis.transport.carrier import PRESENCE_S, Parcel
from aegis.transport.forms import replies_to
from aegis.transport.road import Road
from aegis.transport.sealed import Party

COORDINATOR = "coordinator"
MOST_S = 6 * 3600.0
# A party may die before or after each of these.
STEPS = (
    (Journal, "save"),
    (Journal, "tell"),
    (AuditLog, "append"),
    (AuditLog, "checkpoint"),
    (AuditLog, "witnessed"),
    (Ledger, "reserve"),
    (Ledger, "store"),
    (SqliteAnswers, "keep"),
    (SqliteMemory, "keep"),
    (Decisions, "keep_plan"),
    (Decisions, "claim"),
)


class Died(BaseException):
    """A process ended here, as by SIGKILL."""


@dataclass(frozen=True)
class Faults:
    """Shares of messages, seconds, and how often a party dies. ``steps`` bounds how far a party
    gets before its next death."""

    lost: float = 0.0
    late_s: float = 0.05
    repeated: float = 0.0
    spoilt: float = 0.0
    cuts: int = 0
    coordinator_deaths: int = 0
    hospital_deaths: int = 0
    steps: int = 60

    @classmethod
    def drawn(cls, draw: random.Random) -> Faults:
        return cls(
            lost=draw.choice((0.0, 0.05, 0.2)),
            late_s=draw.choice((0.02, 0.3, 2.0)),
            repeated=draw.choice((0.0, 0.1, 0.3)),
            spoilt=draw.choice((0.0, 0.02, 0.1)),
            cuts=draw.choice((0, 0, 1, 2)),
            coordinator_deaths=draw.choice((0, 1, 2, 3)),
            hospital_deaths=draw.choice((0, 1, 2, 4)),
        )


class Ground:
    """What outlives every process: a coordinator's data root and hospitals that have joined."""

    def __init__(self, root: Path, hospitals: int = 5) -> None:
        self.root = root
        self.office = Office(Home(root / COORDINATOR)).open("chaos")
        self.names = tuple(f"hospital_{n:02d}" for n in range(1, hospitals + 1))
        desk = FrontDesk(self.office, lambda name, key: {"road": "chaos", "name": name})
        for number, name in enumerate(self.names, 1):
            self._joined(desk, name, Registered("breast_cancer", share=f"{number}/{hospitals}"))

    def folder(self, name: str) -> HospitalFolder:
        return HospitalFolder(self.root / name, name)

    def _joined(self, desk: FrontDesk, name: str, data: Registered) -> None:
        folder = self.folder(name)
        identity = init(folder, data, policy_text(name, for_public_data()))
        code = desk.invite(name, "localhost:8081", trusted=True)
        _, asked = certificate_request(name)
        request = EnrolRequest.of(code, identity, time.time(), asked)
        welcome = Welcome.from_bytes(desk.enrol(request.to_bytes()), code, request)
        federation = Federation(
            folder.federation, welcome.federation, welcome.authority, welcome.road, code.address
        )
        root = (self.office.tls / "root.pem").read_bytes()
        federation.save(root, welcome.membership, welcome.certificate.encode())


class _Hospital:
    """One process at a hospital, from its start to its death."""

    def __init__(self, world: World, name: str) -> None:
        folder = world.ground.folder(name)
        identity, federation = folder.identity(), Federation.load(folder.federation)
        envelopes = folder.root / "envelopes.db"
        self._guard = ReplayGuard(envelopes)
        self._numbers = Sequence(envelopes, name, world.wall)
        self._hospital = Hospital(folder, identity, federation)
        party = Party(identity, federation.file, self._guard, self._numbers, world.wall)
        self._here: list[Parcel] = []
        self.replies: list[bytes] = []
        self.serving = Serving(
            self._hospital, party, self, COORDINATOR, self._hospital.replies, world.heard
        )

    def take(self, data: bytes) -> list[bytes]:
        self._here.append(Parcel(data))
        self.serving.once(0.0)
        said, self.replies = self.replies, []
        return said

    def receive(self, timeout_s: float) -> Parcel | None:
        return self._here.pop() if self._here else None

    def reply(self, to: Parcel, data: bytes) -> None:
        self.replies.append(data)

    @property
    def status(self) -> str:
        return "connected"

    def close(self) -> None:
        self._hospital.close()
        self._guard.close()
        self._numbers.close()


@dataclass
class World:
    """``trace`` tells what happened when, in virtual seconds."""

    ground: Ground
    seed: int
    faults: Faults
    now: float = 0.0
    trace: list[tuple[float, str]] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self._began = time.time()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._inbox: list[tuple[str, bytes]] = []
        self._processes: dict[str, _Hospital] = {}
        self._acting = COORDINATOR
        self._left = dict.fromkeys((COORDINATOR, *self.ground.names), 0)
        self._deaths = self.faults.coordinator_deaths + self.faults.hospital_deaths
        self._cut: set[str] = set()
        self._seen = dict.fromkeys(self.ground.names, 0.0)
        for _ in range(self.faults.coordinator_deaths):
            self._doomed(COORDINATOR)
        for _ in range(self.faults.hospital_deaths):
            self._doomed(self.draw.choice(self.ground.names))
        for _ in range(self.faults.cuts):
            name, seconds = self.draw.choice(self.ground.names), self.draw.choice((5, 30, 120))
            self._at(self.draw.uniform(0, 30), lambda n=name, s=seconds: self._cut_for(n, s))
        for name in self.ground.names:
            self._start(name)

    def wall(self) -> float:
        return self._began + self.now

    def tell(self, what: str) -> None:
        self.trace.append((round(self.now, 4), what))

    # -- the carrier -------------------------------------------------------------------------

    def present(self) -> frozenset[str]:
        for name in self._processes:
            if name not in self._cut:
                self._seen[name] = self.now
        return frozenset(n for n, at in self._seen.items() if self.now - at < 3 * PRESENCE_S)

    def send(self, hospital: str, data: bytes) -> None:
        self.step("send")
        self._carried(hospital, data, lambda spoilt: self._arrived(hospital, spoilt))

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        self.step("receive")
        end = self.now + max(timeout_s, 0.0)
        while not self._inbox and self._later and self._later[0][0] <= end:
            at, _, what = heapq.heappop(self._later)
            self.now = max(self.now, at)  # while a process was down, messages waited
            what()
        if self._inbox:
            return self._inbox.pop(0)
        self.now = end
        assert self.now < MOST_S, "this run finds no end"
        return None

    def close(self) -> None: ...

    # -- what an Event of ``closing`` is to the road -----------------------------------------------

    def is_set(self) -> bool:
        return False

    def wait(self, timeout_s: float | None = None) -> bool:
        if self.receive(timeout_s or 0.2) is not None:
            self.tell("an answer to nobody")
        return False

    # -- processes -----------------------------------------------------------------------------

    def step(self, what: str) -> None:
        """The acting party gets this far, or no further."""
        left = self._left[self._acting]
        if left == 0:
            return
        self._left[self._acting] = left - 1
        if left == 1 and self._deaths > 0:
            self._deaths -= 1
            self.tell(f"{self._acting} dies at {what}")
            raise Died(self._acting)

    def heard(self, request: Any, reply: Any) -> None:
        self.step(f"{type(request).__name__} {'comes' if reply is None else 'answered'}")

    def conduct(self, plan: Plan, run: str) -> dict[str, Any]:
        """The run's result, however often its coordinator had to be started again. Raises
        ``RunAborted`` where it has none."""
        office = self.ground.office
        with Opened(office.home.database) as journal:
            options = {"transport": "chaos"}
            journal.open_run(run, plan.task, plan.to_json(), plan.sha256, options)
        with stepping(self):
            while True:
                try:
                    return self._life(plan, run)
                except Died:
                    self._acting = COORDINATOR
                    if self.faults.coordinator_deaths and self.draw.random() < 0.5:
                        self._doomed(COORDINATOR)
                    self.now += self.draw.uniform(0.5, 20)
                    self.tell("coordinator starts again")

    def _life(self, plan: Plan, run: str) -> dict[str, Any]:
        """One process of the coordinator."""
        office = self.ground.office
        path = office.home.root / "logs" / "envelopes.db"
        guard, numbers = ReplayGuard(path), Sequence(path, COORDINATOR, self.wall)
        try:
            party = Party(office.identity, office.registrar.file, guard, numbers, self.wall)
            road = Road(
                party,
                self,
                office.hospitals,
                listed=lambda: (office.registrar.folder / "federation.json").read_text("utf-8"),
                replies=lambda request: replies_to(request, newton=False),
                closing=self,  # type: ignore[arg-type]
                clock=lambda: self.now,
            )
            listeners = [lambda event: self.tell(type(event).__name__)]
            conducting = Conducting(office, "chaos", lambda plan: road, listeners, self)  # type: ignore[arg-type]
            with Opened(office.home.database) as journal:
                return conducting.run(journal, run)
        finally:
            guard.close()
            numbers.close()

    def end(self) -> None:
        for process in self._processes.values():
            process.close()

    # -- the weather -----------------------------------------------------------------------------

    def _carried(self, hospital: str, data: bytes, arrive: Callable[[bytes], None]) -> None:
        self.wire.append(data)
        if hospital in self._cut or self.draw.random() < self.faults.lost:
            return
        copies = 1 + (self.draw.random() < self.faults.repeated) * self.draw.randint(1, 2)
        for _ in range(copies):
            sent = data
            if self.draw.random() < self.faults.spoilt:
                sent = _spoilt(self.draw, data)
            self._at(self.draw.expovariate(1 / self.faults.late_s), lambda s=sent: arrive(s))

    def _arrived(self, hospital: str, data: bytes) -> None:
        process = self._processes.get(hospital)
        if process is None or hospital in self._cut:
            return
        before, self._acting = self._acting, hospital
        try:
            said = process.take(data)
        except Died:
            self._gone(hospital)
            said = []
        finally:
            self._acting = before
        for reply in said:
            work = self.draw.uniform(0.01, 0.3)
            self._at(work, lambda r=reply: self._carried(hospital, r, self._back(hospital)))

    def _back(self, hospital: str) -> Callable[[bytes], None]:
        return lambda data: self._inbox.append((hospital, data))

    def _gone(self, hospital: str) -> None:
        self._seen[hospital] = self.now
        self._processes.pop(hospital).close()
        self._at(self.draw.uniform(0.5, 40), lambda: self._start(hospital))

    def _start(self, hospital: str) -> None:
        self._processes[hospital] = _Hospital(self, hospital)
        self.tell(f"{hospital} starts")

    def _cut_for(self, hospital: str, seconds: float) -> None:
        self._seen[hospital] = self.now
        self._cut.add(hospital)
        self.tell(f"{hospital} is cut off for {seconds} s")
        self._at(seconds, lambda: self._cut.discard(hospital))

    def _doomed(self, name: str) -> None:
        self._left[name] = self.draw.randint(1, self.faults.steps)

    def _at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (self.now + seconds, next(self._count), what))


class Opened:
    """A journal for the length of a block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Journal:
        self._journal = Journal(self._path)
        return self._journal

    def __exit__(self, *error: object) -> None:
        self._journal.close()


@contextmanager
def stepping(world: World) -> Iterator[None]:
    """Each of ``STEPS`` asks the world first, and afterwards, whether the party lives on."""
    with ExitStack() as stack:
        for kind, name in STEPS:
            original = getattr(kind, name)

            def stepped(self, *given, _do=original, _what=f"{kind.__name__}.{name}", **named):
                world.step(f"before {_what}")
                done = _do(self, *given, **named)
                world.step(f"after {_what}")
                return done

            stack.enter_context(patch.object(kind, name, stepped))
        yield


def _spoilt(draw: random.Random, data: bytes) -> bytes:
    kind, at = draw.randrange(3), draw.randrange(max(len(data), 1))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data + b"\0"
    found = bytearray(data)
    if found:
        found[at] ^= 1 << draw.randrange(8)
    return bytes(found)
