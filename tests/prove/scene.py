"""A whole federation of real processes, as people start them, for the proofs that play with them.

One coordinator, its courier and four hospitals; the first hospital's line goes through a wire that
can be cut without either end hearing of it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from aegis.console.calling import Calling
from aegis.errors import AegisError
from aegis.identity.join_code import JoinCode
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.joining import join
from aegis.operations.hospital.policies import for_public_data
from aegis.store.home import Home
from aegis.store.journal import Journal

ROADS = tuple(filter(None, os.environ.get("AEGIS_ROADS", "xmpp,flower").split(",")))
NAMES = tuple(f"hospital_{number:02d}" for number in range(1, 5))


class Wire:
    """Between one hospital and the courier. Cut, it carries nothing and says nothing."""

    def __init__(self, port: int) -> None:
        self.port, self.whole = port, threading.Event()
        self.whole.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds: float) -> None:
        self.whole.clear()
        time.sleep(seconds)
        self.whole.set()

    def _accept(self) -> None:
        while True:
            near, _ = self.server.accept()
            self.whole.wait()
            try:
                far = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                near.close()
                continue
            for end in (near, far):  # what is small is not to wait for more
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self.whole.wait()
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            end.close()


class Scene:
    """``processes`` by name; ``coordinator`` is one of them."""

    def __init__(self, root: Path, road: str) -> None:
        self.root, self.road, self.home = root, road, Home(root / "coordinator")
        self.ports = _free(), _free()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("coordinator")
        self.folders = {name: self._hospital(name, f"{i}/4") for i, name in enumerate(NAMES, 1)}
        self.wire = self._wired(self.folders[NAMES[0]])
        for name in NAMES:
            self.start(name)
        self._until(lambda: sum(one["present"] for one in self.state()["hospitals"]) == 4)

    def start(self, name: str) -> None:
        if name == "coordinator":
            port, road_port = self.ports
            said = ["coordinator", "--transport", self.road, "--json"]
            said += ["--port", str(port), "--road-port", str(road_port)]
        else:
            where = str(self.folders[name].root)
            said = ["hospital", "serve", "--json", "--hospital", name, "--home", where]
            if "--no-console" in _help():
                said.append("--no-console")
        env = os.environ | {"AEGIS_HOME": str(self.home.root), "OMP_NUM_THREADS": "1"}
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "aegis", *said],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
            )  # fmt: skip
        if name == "coordinator":
            self._until(lambda: self.state() is not None)

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def kill_courier(self) -> int:
        """Kill what carries the messages; the coordinator is to start it again."""
        found = self.couriers()
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    def couriers(self) -> list[int]:
        """The processes that carry the messages: SuperLink or Prosody, below the coordinator."""
        below = _children(self.processes["coordinator"].pid)
        found = [pid for pid, text in below if "superlink" in text or "prosody" in text]
        assert found, below
        return found

    @property
    def address(self) -> str:
        return f"localhost:{self.ports[0]}"

    def calling(self) -> Calling:
        return Calling(f"http://{self.address}", self.home)

    def state(self) -> dict:
        return self.calling()._call("GET", "/api/state")

    def begin(self, plan) -> str:
        self._until(lambda: self.state()["run"] is None)
        return self.calling().start(plan)

    def reached(self, run: str, round: int) -> None:
        def there() -> bool:
            journal = Journal.reading(self.home.database)
            try:
                events = journal.events(run)
            finally:
                journal.close()
            return any(e["event"] == "RoundOpened" and e["round"] >= round for _, _, e in events)

        self._until(there)

    def result(self, run: str, within_s: float = 300) -> dict:
        path = self.home.results(run) / "result.json"
        self._until(path.exists, within_s)
        return json.loads(path.read_text())

    def close(self) -> None:
        for name in (*NAMES, "coordinator"):
            if name in self.processes:
                self.processes[name].terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def _hospital(self, name: str, share: str) -> HospitalFolder:
        folder = HospitalFolder(self.root / name, name)
        identity = init(
            folder, Registered("breast_cancer", share=share), policy_text(name, for_public_data())
        )
        env = os.environ | {"AEGIS_HOME": str(self.home.root)}
        said = ["coordinator", "invite", name, "--trusted", "--json"]
        said += ["--address", self.address]
        code = subprocess.run(
            [sys.executable, "-m", "aegis", *said], capture_output=True, env=env, check=True
        )
        join(folder, identity, JoinCode.read(json.loads(code.stdout)["code"]))
        return folder

    def _wired(self, folder: HospitalFolder) -> Wire:
        """The hospital's road leads through a wire from now on."""
        path = folder.federation / "federation.json"
        said = json.loads(path.read_text())
        key = next(k for k in ("port", "address") if k in said["road"])
        wire = Wire(self.ports[1])
        port = wire.server.getsockname()[1]
        said["road"][key] = said["road"][key].replace(str(self.ports[1]), str(port))
        path.write_text(json.dumps(said))
        assert str(port) in str(Federation.load(folder.federation).road)
        return wire

    def _until(self, true, within_s: float = 120) -> None:
        end = time.monotonic() + within_s
        while True:
            try:
                if true():
                    return
            except (AegisError, OSError):
                pass
            for name, process in self.processes.items():
                log = (self.root / f"{name}.log").read_text("utf-8", "replace")
                assert process.poll() in (None, -9), (name, log[-1500:])
            assert time.monotonic() < end, "nothing came of it in time"
            time.sleep(0.1)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _help() -> str:
    command = [sys.executable, "-m", "aegis", "hospital", "serve", "--help"]
    env = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=env).stdout


def _children(pid: int) -> list[tuple[int, str]]:
    """(process, command line) of everything below ``pid``."""
    parents: dict[int, int] = {}
    texts: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            texts[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = []
    for one, text in texts.items():
        above = one
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and one != pid:
            found.append((one, text))
    return found
