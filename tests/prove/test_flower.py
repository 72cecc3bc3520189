"""The Flower road under fire: each process killed, a stock SuperNode, and updates of 45 MB."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from aegis.transport.flower.engine import FlowerCourier
from aegis.transport.flower.local_line import LocalLine, supernode_command
from aegis.transport.flower.node import FlowerLine
from tests.transport.flower.federation import Certificates, echo, public_key

pytestmark = [pytest.mark.prove, pytest.mark.engine]
ROOT = Path(__file__).parents[2]
HOSPITALS = ("a", "b", "c", "d")


class Road:
    """A courier with four hospitals that echo, and a coordinator that asks until it is answered."""

    def __init__(self, folder: Path, in_memory: bool = False) -> None:
        self.certificates = Certificates(folder / "ca")
        self.courier = FlowerCourier(
            folder / "flower", self.certificates.server(), "127.0.0.1", 0, in_memory=in_memory
        )
        self.carrier = self.courier.start()
        self.lines = []
        for name in HOSPITALS:
            trust = self.certificates.client(name)
            line = FlowerLine(self.courier.admit(name, public_key(trust)), trust)
            self.lines.append(line)
            echo(line)

    def round(self, within_s: float, size: int = 300) -> float:
        """Seconds until all four answered; what stays silent for 3 s is asked again."""
        began, asked = time.monotonic(), {name: os.urandom(size) for name in HOSPITALS}
        again = 0.0
        while asked:
            now = time.monotonic()
            assert now - began < within_s, (asked.keys(), self.carrier.status)
            if now >= again:
                for name, data in asked.items():
                    self.carrier.send(name, data)
                again = now + 3
            came = self.carrier.receive(0.2)
            if came is not None and asked.get(came[0]) == came[1]:
                del asked[came[0]]
        return time.monotonic() - began

    def processes(self, word: str) -> list[int]:
        """Those of this SuperLink whose command line says ``word``."""
        port = str(self.courier.superlink.port)
        return [pid for pid, line in commands() if word in line and port in line]

    def close(self) -> None:
        for line in self.lines:
            line.close()
        self.courier.stop()


def commands() -> list[tuple[int, str]]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append((int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode()))
        except (OSError, UnicodeDecodeError):
            continue
    return found


@contextmanager
def road(folder, **options):
    road = Road(folder, **options)
    try:
        yield road
    finally:
        road.close()


@pytest.mark.parametrize("in_memory", [False, True], ids=["sqlite", "in memory"])
def test_a_superlink_killed_at_random_points_costs_seconds(tmp_path, in_memory) -> None:
    chance = random.Random(7)
    with road(tmp_path, in_memory=in_memory) as going:
        going.round(60)
        for _ in range(3):
            pids = going.processes("flower-superlink")
            delay = chance.uniform(0, 2)
            threading.Timer(delay, lambda pids=pids: [_kill(pid) for pid in pids]).start()
            until = time.monotonic() + delay + 0.5
            while time.monotonic() < until:
                going.round(120)
            print(f"\nkilled after {delay:.1f} s; next round took {going.round(120):.1f} s")
        assert all(line.status == "connected" for line in going.lines)


def test_a_relay_killed_at_random_points_costs_a_new_flower_run(tmp_path) -> None:
    chance = random.Random(8)
    with road(tmp_path, in_memory=True) as going:
        going.round(60)
        for _ in range(3):
            (pid, *_) = going.processes("flwr-serverapp")
            threading.Timer(chance.uniform(0, 0.5), _kill, (pid,)).start()
            time.sleep(0.6)
            print(f"\nthe round after took {going.round(60):.1f} s")


COORDINATOR = """
import json, sys, time
from pathlib import Path
from aegis.transport.carrier import Trust
from aegis.transport.flower.engine import FlowerCourier
folder, port = Path(sys.argv[1]), int(sys.argv[2])
trust = Trust(folder / "ca/root.pem", folder / "ca/coordinator.pem")
courier = FlowerCourier(folder / "flower", trust, "127.0.0.1", port)
carrier = courier.start()
key = (folder / "key.pem")
if len(sys.argv) > 3:
    (folder / "admission.json").write_text(json.dumps(dict(courier.admit("a", key.read_bytes()))))
print(courier.port, courier.superlink.port, flush=True)
carrier.send("a", b"are you there?")
while (came := carrier.receive(60)) is None:
    pass
print(came, flush=True)
time.sleep(600)
"""


def test_a_killed_coordinator_leaves_nothing_behind_and_finds_its_hospitals_again(tmp_path) -> None:
    certificates = Certificates(tmp_path / "ca")
    certificates.server()
    trust = certificates.client("a")
    (tmp_path / "key.pem").write_bytes(public_key(trust))

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", COORDINATOR, str(tmp_path), *arguments],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    line = None
    with start("0", "admit") as first:
        port, superlink = first.stdout.readline().split()
        line = FlowerLine(json.loads((tmp_path / "admission.json").read_text()), trust)
        echo(line)
        try:
            assert "are you there?" in first.stdout.readline()
            first.kill()
            first.wait()
            until = time.monotonic() + 5
            while left := [text for _, text in commands() if superlink in text]:
                assert time.monotonic() < until, left
                time.sleep(0.1)
            with start(port) as second:
                try:
                    assert second.stdout.readline().split()[0] == port
                    assert "are you there?" in second.stdout.readline()
                finally:
                    second.kill()
        finally:
            first.kill()
            line.close()


def test_a_stock_supernode_carries_the_same_bytes(tmp_path) -> None:
    certificates = Certificates(tmp_path / "ca")
    courier = FlowerCourier(tmp_path / "flower", certificates.server(), "127.0.0.1", 0)
    carrier = courier.start()
    trust = certificates.client("stock")
    admission = courier.admit("stock", public_key(trust))
    line = LocalLine(tmp_path / "line.json")
    echo(line, b"seen: ")
    beside = Path(sys.executable).parent
    home = tmp_path / "node"
    home.mkdir()
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "PATH": f"{beside}:{os.environ['PATH']}",
    }
    log = (tmp_path / "supernode.log").open("w")
    program, *options = supernode_command(admission, trust, tmp_path / "line.json", _free_port())
    node = subprocess.Popen(
        [str(beside / program), *options],
        env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        for data in (b"one", os.urandom(6_000_000)):
            began = time.monotonic()
            while "stock" not in carrier.present():
                assert node.poll() is None, (tmp_path / "supernode.log").read_text()
                assert time.monotonic() - began < 60
                time.sleep(0.1)
            carrier.send("stock", data)
            assert carrier.receive(90) == ("stock", b"seen: " + data)
            print(f"\n{len(data)} bytes over a stock SuperNode: {time.monotonic() - began:.1f} s")
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        log.close()
        line.close()
        courier.stop()


def test_updates_of_a_resnet_18_cross(tmp_path) -> None:
    with road(tmp_path) as going:
        print(f"\n4 x 45 MB both ways: {going.round(600, 45 * 2**20):.1f} s")
        going.round(60)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize("example", ["heart", "wisconsin"])
def test_flwr_run_ends_with_the_model_of_one_process(tmp_path, example) -> None:
    from aegis.plan import load_plan
    from aegis.simulation.local import run

    path = ROOT / "examples" / f"{example}.yaml"
    plan = load_plan(path).plan
    data = os.environ.get("AEGIS_DATA_DIR", "")
    if example.startswith("heart") and not data:
        pytest.skip("needs AEGIS_DATA_DIR")
    directory = Path(data) if data else None
    here = run(plan, home=tmp_path / "here", data_directory=directory, compare=False, audit=False)
    beside = Path(sys.executable).parent
    environment = {
        **os.environ,
        "FLWR_HOME": str(tmp_path / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{beside}:{os.environ['PATH']}",
    }
    (tmp_path / "flower").mkdir()
    said = f'plan="{path}" home="{tmp_path / "there"}" data-dir="{data}"'
    nodes = f"num-supernodes={len(here.document['hospitals'])}"
    try:
        ran = subprocess.run(
            [
                str(beside / "flwr"),
                *("run", ".", "--stream", "-c", said, "--federation-config", nodes),
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
    finally:
        for pid, line in commands():
            if str(tmp_path) in line:
                _kill(pid)
    assert f"model_sha256 {here.model_sha256}" in ran.stdout, ran.stdout + ran.stderr
