"""A federation of this process: a coordinator, hospitals in threads, queues between them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from aegis.console.coordinator.opening import CoordinatorWindow, coordinator_window
from aegis.hospital.serving import Serving
from aegis.identity.certificates import certificate_request
from aegis.identity.enrolment import EnrolRequest, Welcome
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.operations.coordinator.office import Office
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.hospital import Hospital, record
from aegis.operations.hospital.policies import for_public_data
from aegis.operations.hospital.received import keeping
from aegis.store.home import Home
from aegis.store.replay import ReplayGuard, Sequence
from aegis.transport.carrier import Queues
from aegis.transport.sealed import Party


class Here:
    """``rest`` slows every hospital's answers down, so that a run can be disturbed."""

    def __init__(self, root: Path) -> None:
        self.root, self.queues, self.rest = root, Queues(), 0.0
        self.office = Office(Home(root / "coordinator")).open("test")
        self.coordinator = self.new()
        self._serving: dict[str, tuple[threading.Thread, threading.Event]] = {}
        self.errors: list[BaseException] = []

    def new(self) -> Coordinator:
        return Coordinator(self.office, "queues", self.queues)

    def window(self, token: str = "") -> CoordinatorWindow:
        """What listens in front of the coordinator."""
        return coordinator_window(self.office.home, self.coordinator, token=token)

    def folder(self, name: str) -> HospitalFolder:
        return HospitalFolder(self.root / "hospitals" / name, name)

    def make(self, name: str, data: Registered, policy=None) -> HospitalFolder:
        folder = self.folder(name)
        identity = init(folder, data, policy_text(name, policy or for_public_data()))
        code = self.coordinator.desk.invite(name, "localhost:8081", trusted=True)
        _, asked = certificate_request(name)
        request = EnrolRequest.of(code, identity, time.time(), asked)
        answer = self.coordinator.desk.enrol(request.to_bytes())
        welcome = Welcome.from_bytes(answer, code, request)
        federation = Federation(
            folder.federation, welcome.federation, welcome.authority, welcome.road, code.address
        )
        root = (self.office.tls / "root.pem").read_bytes()
        federation.save(root, welcome.membership, welcome.certificate.encode())
        return folder

    def serve(self, *names: str) -> None:
        for name in names:
            stop, ready = threading.Event(), threading.Event()
            thread = threading.Thread(target=self._run, args=(name, stop, ready), daemon=True)
            thread.start()
            ready.wait(20)
            self._serving[name] = thread, stop

    def _run(self, name: str, stop: threading.Event, ready: threading.Event) -> None:
        folder = self.folder(name)
        identity, federation = folder.identity(), Federation.load(folder.federation)
        hospital = Hospital(folder, identity, federation)
        guard = ReplayGuard(folder.root / "envelopes.db")
        numbers = Sequence(folder.root / "envelopes.db", name)
        line = self.queues.line(name)
        try:
            party = Party(identity, federation.file, guard, numbers)
            heard, write, keep = [], record(folder), keeping(folder)

            def hear(request, reply):
                heard.append(request)
                time.sleep(self.rest if reply is None else 0)
                write(request, reply)
                keep(request, reply)

            serving = Serving(hospital, party, line, "coordinator", hospital.replies, hear)
            serving.once(0.0)
            ready.set()
            while not stop.is_set():
                serving.once(0.02)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            line.close()
            hospital.close()
            guard.close()
            numbers.close()

    def end(self, *names: str) -> None:
        """As a crash would: what the hospital was at is lost."""
        for name in names or tuple(self._serving):
            thread, stop = self._serving.pop(name)
            stop.set()
            thread.join(20)

    def until(self, state, timeout_s: float = 30.0):
        end = time.monotonic() + timeout_s
        while not state(now := self.coordinator.state()):
            assert time.monotonic() < end, now
            time.sleep(0.01)
        return now
