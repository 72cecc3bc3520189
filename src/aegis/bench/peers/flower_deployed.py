"""Rounds between processes over a real SuperLink: Flower as it comes, and our road over the same.

Each has a SuperLink with TLS and node authentication, and hospitals in processes of their own that
train the network of ``problem`` in PyTorch, one epoch a round. ``stock``: Flower's FedAvg in a
ServerApp, and one ``flower-supernode`` per hospital. ``road``: our courier and one long-lived line
per hospital. Both say the seconds of each round after the first. ``python -m
aegis.bench.peers.flower_deployed`` runs both, with state in SQLite and in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aegis.bench.problem import Measured, rows_of, start
from aegis.identity.certificates import Authority, Certified, pem
from aegis.messages import Vector
from aegis.transport.carrier import Trust

_HERE = "aegis.bench.peers.flower_deployed"
WITHIN_S = 300.0
_PYPROJECT = """\
[project]
name = "aegis-bench"
version = "1.0.0"
license = {{ file = "LICENSE" }}
dependencies = ["flwr>={version}"]

[tool.flwr.app]
publisher = "aegis"
fab-format-version = 1
flwr-version-target = "{version}"

[tool.flwr.app.components]
serverapp = "bench_server:app"
clientapp = "bench_client:app"

[tool.flwr.app.config]
out = ""
rounds = 1
hospitals = 1
"""
_SERVER = """\
import json
from pathlib import Path
import torch
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from aegis.bench.peers.flower import TimedFedAvg
from aegis.bench.peers.plain import network
from aegis.bench.problem import start
from time import perf_counter

app = ServerApp()


@app.main()
def main(grid, context):
    said = context.run_config
    strategy = TimedFedAvg(
        fraction_train=1.0, fraction_evaluate=0.0,
        min_train_nodes=said["hospitals"], min_available_nodes=said["hospitals"],
    )
    net = network()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(start()), net.parameters())
    strategy.start(grid, ArrayRecord(net.state_dict()), num_rounds=said["rounds"])
    found = {"began": [*strategy.began, perf_counter()], "weights": strategy.compared.tolist()}
    Path(said["out"]).write_text(json.dumps(found))
"""
_CLIENT = b"from aegis.bench.peers.flower import client as app\n"


def stock(hospitals: int, rounds: int, in_memory: bool = False) -> Measured:
    """Flower's own processes, on Flower's own settings."""
    from aegis.transport.flower import compat
    from aegis.transport.flower.control import Control
    from aegis.transport.flower.process import SuperLink, environment, program

    version = compat.package_version
    fab = compat.build_fab_from_files(
        {
            "pyproject.toml": _PYPROJECT.format(version=version).encode(),
            "LICENSE": b"As Aegis itself.\n",
            "bench_server.py": _SERVER.encode(),
            "bench_client.py": _CLIENT,
        }
    )[0]
    with _scene() as scene:
        superlink = SuperLink(
            scene.folder / "flower", None if in_memory else scene.folder / "state.db", look_s=1.0
        )
        superlink.start()
        nodes: list[subprocess.Popen[bytes]] = []
        control = Control(superlink.address, superlink.root)
        root = scene.folder / "flower" / "loopback-root.pem"
        try:
            for number in range(hospitals):
                key, public = scene.ssh_key(str(number))
                control.register(str(number), public)
                home = scene.folder / f"node-{number}"
                home.mkdir()
                command = [
                    program("flower-supernode"),
                    *("--superlink", superlink.address, "--root-certificates", str(root)),
                    *("--auth-supernode-private-key", str(key)),
                    *("--host", "127.0.0.1", "--port", str(_free_port())),
                    *("--node-config", f"partition-id={number} num-partitions={hospitals}"),
                ]
                nodes.append(_quiet(command, home / "log", environment(home)))
            out = scene.folder / "out.json"
            config: dict[str, str | int] = {
                "out": str(out),
                "rounds": rounds,
                "hospitals": hospitals,
            }
            package = compat.Fab(hashlib.sha256(fab).hexdigest(), fab, {})
            run = control.start(package, config)
            _wait(out, control, run)
        finally:
            control.close()
            _end(nodes)
            superlink.stop()
        found = json.loads(out.read_text())
        weights = np.array(found["weights"], np.float32)
        return Measured(np.diff(found["began"])[1:].tolist(), weights)


def road(hospitals: int, rounds: int, in_memory: bool = False) -> Measured:
    """Our courier, gateway and lines; SuperLink and relay as they come."""
    from aegis.transport.flower.engine import FlowerCourier

    with _scene() as scene:
        courier = FlowerCourier(
            scene.folder / "flower", scene.server(), "127.0.0.1", 0, in_memory=in_memory
        )
        carrier = courier.start()
        lines: list[subprocess.Popen[bytes]] = []
        try:
            for number in range(hospitals):
                trust, public = scene.client(str(number))
                admission = json.dumps(dict(courier.admit(str(number), public)))
                command = [sys.executable, "-m", _HERE, str(number), admission]
                command += [str(trust.root), str(trust.own)]
                lines.append(_quiet(command, scene.folder / f"line-{number}.log", dict(os.environ)))
            return _rounds(carrier, hospitals, rounds)
        finally:
            carrier.close()
            _end(lines)
            courier.stop()


def _rounds(carrier: Any, hospitals: int, rounds: int) -> Measured:
    """The weighted mean of what comes back, as FedAvg has it."""
    names = [str(number) for number in range(hospitals)]
    counts = {name: len(rows_of(int(name))[1]) for name in names}
    total, seconds, weights, compared = sum(counts.values()), [], start(), start()
    until = time.monotonic() + WITHIN_S
    while carrier.present() < set(names):
        assert time.monotonic() < until, "a hospital is missing"
        time.sleep(0.05)
    for round in range(1, rounds + 1):
        began = time.perf_counter()
        for name in names:
            carrier.send(name, round.to_bytes(4, "big") + weights.tobytes())
        mean = np.zeros_like(weights)
        for _ in names:
            came = carrier.receive(WITHIN_S)
            assert came is not None, "an answer is missing"
            mean += np.float32(counts[came[0]] / total) * np.frombuffer(came[1], np.float32)
        weights = mean
        seconds.append(time.perf_counter() - began)
        if round == 3:
            compared = weights
    return Measured(seconds[1:], compared)


def hospital(number: int, admission: dict[str, str], trust: Trust) -> None:
    """A hospital's process, until it is ended."""
    import torch

    from aegis.bench.peers.plain import fit, network
    from aegis.transport.flower.node import FlowerLine

    torch.set_num_threads(1)
    net, line = network(), FlowerLine(admission, trust)
    while True:
        parcel = line.receive(1)
        if parcel is None:
            continue
        weights: Vector = np.frombuffer(parcel.data[4:], np.float32).copy()
        torch.nn.utils.vector_to_parameters(torch.from_numpy(weights), net.parameters())
        fit(net, number, int.from_bytes(parcel.data[:4], "big"))
        trained = torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy()
        line.reply(parcel, trained.tobytes())


class _Scene:
    """A folder with a federation's certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = Authority.create("bench")
        self._root = folder / "root.pem"
        self._root.write_bytes(pem(self._authority.root.certificate))

    def server(self) -> Trust:
        own = self.folder / "server.pem"
        self._authority.issue("coordinator", "server", ("localhost", "127.0.0.1")).save(own)
        return Trust(self._root, own)

    def client(self, name: str) -> tuple[Trust, bytes]:
        own = self.folder / f"client-{name}.pem"
        self._authority.issue(name, "client").save(own)
        return Trust(self._root, own), _public(own)

    def ssh_key(self, name: str) -> tuple[Path, bytes]:
        from cryptography.hazmat.primitives import serialization as form

        trust, public = self.client(name)
        assert trust.own is not None
        path = self.folder / f"key-{name}"
        path.write_bytes(
            Certified.load(trust.own).key.private_bytes(
                form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()
            )
        )
        return path, public


def _public(own: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Certified.load(own).key.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@contextmanager
def _scene() -> Iterator[_Scene]:
    with tempfile.TemporaryDirectory(prefix="aegis-bench-") as folder:
        yield _Scene(Path(folder))


def _quiet(command: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603
            command, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait(out: Path, control: Any, run: int) -> None:
    until = time.monotonic() + WITHIN_S
    while not out.exists():
        why = control.ended(run)
        assert not why or out.exists(), why
        assert time.monotonic() < until, "Flower's run did not end in time"
        time.sleep(0.5)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main(rounds: int = 3, hospitals: int = 4) -> None:
    for in_memory in (True, False):
        ours = road(hospitals, 2 * rounds, in_memory)
        theirs = stock(hospitals, rounds, in_memory)
        apart = float(np.abs(ours.weights - theirs.weights).max())
        fast, slow = np.median(ours.seconds), np.median(theirs.seconds)
        print(
            f"{'memory' if in_memory else 'SQLite'}: road {fast:.2f} s a round, "
            f"stock {slow:.2f} s, {slow / fast:.1f} times; weights differ by {apart:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case [number, admission, root, own]:
            hospital(int(number), json.loads(admission), Trust(Path(root), Path(own)))
        case _:
            main()
