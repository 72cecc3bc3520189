"""Real networks between a coordinator and its hospitals, on one machine: a namespace and a virtual
wire for each hospital, all at one bridge. A line that goes down loses packets, as a cut cable does,
and nobody hears of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aegis.console.calling import Calling
from tests.prove.scene import NAMES, Scene


def _ip(*words: str, quiet: bool = False) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0 and not quiet:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Lines:
    """One namespace for each hospital; the coordinator stays where it is, at ``address``."""

    def __init__(self) -> None:
        mark = f"{os.getpid() % 10_000:04d}"
        net = os.getpid() % 200 + 20
        self.bridge, self.address = f"aegis{mark}", f"10.{net}.77.1"
        self._names = {name: f"aegis{mark}-{i}" for i, name in enumerate(NAMES, 2)}
        self._wires = {name: (f"ae{mark}a{i}", f"ae{mark}b{i}") for i, name in enumerate(NAMES, 2)}
        try:
            _ip("link", "add", self.bridge, "type", "bridge")
            _ip("addr", "add", f"{self.address}/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
            for number, name in enumerate(NAMES, 2):
                space, (here, there) = self._names[name], self._wires[name]
                _ip("netns", "add", space)
                _ip("link", "add", here, "type", "veth", "peer", "name", there)
                _ip("link", "set", there, "netns", space)
                _ip("link", "set", here, "master", self.bridge)
                _ip("link", "set", here, "up")
                _ip("-n", space, "addr", "add", f"10.{net}.77.{number}/24", "dev", there)
                _ip("-n", space, "link", "set", there, "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except OSError:
            self.close()
            raise

    @classmethod
    def laid(cls) -> Lines:
        if os.geteuid() != 0 or shutil.which("ip") is None or sys.platform != "linux":
            pytest.skip("only root, on Linux with iproute2, may lay lines between namespaces")
        try:
            return cls()
        except OSError as error:
            pytest.skip(f"no namespaces here: {error}")

    def inside(self, hospital: str) -> list[str]:
        """What a command begins with to run there."""
        return ["ip", "netns", "exec", self._names[hospital]]

    def set(self, hospital: str, how: str) -> None:
        _ip("link", "set", self._wires[hospital][0], how)

    def cut(self, hospitals: tuple[str, ...], seconds: float) -> None:
        for name in hospitals:
            self.set(name, "down")
        time.sleep(seconds)
        for name in hospitals:
            self.set(name, "up")

    def close(self) -> None:
        for name, space in self._names.items():
            _ip("link", "del", self._wires[name][0], quiet=True)
            _ip("netns", "del", space, quiet=True)
        _ip("link", "del", self.bridge, quiet=True)


class FarScene(Scene):
    """A scene whose hospitals live behind lines, and whose coordinator listens on the network."""

    def __init__(self, root: Path, road: str, lines: Lines) -> None:
        self.lines = lines
        super().__init__(root, road)

    def start(self, name: str) -> None:
        env = os.environ | {"AEGIS_HOME": str(self.home.root), "OMP_NUM_THREADS": "1"}
        aegis = [sys.executable, "-m", "aegis"]
        if name == "coordinator":
            port, road_port = self.ports
            said = [*aegis, "coordinator", "--transport", self.road, "--json"]
            said += ["--host", self.lines.address, "--public-host", self.lines.address]
            said += ["--port", str(port), "--road-port", str(road_port)]
        else:
            said = [*self.lines.inside(name), *aegis, "hospital", "serve", "--json"]
            said += ["--no-console", "--hospital", name, "--home", str(self.folders[name].root)]
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                said, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )
        if name == "coordinator":
            self._until(lambda: self.state() is not None)

    @property
    def address(self) -> str:
        return f"{self.lines.address}:{self.ports[0]}"

    def calling(self) -> Calling:
        return Calling(f"https://{self.address}", self.home)

    def _wired(self, folder: object) -> None:  # type: ignore[override]
        """The lines are wires enough."""
